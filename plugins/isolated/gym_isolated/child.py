"""What is done in an isolated environment: a distribution described, options resolved, a component served.

Each of the three is what a child process performs, see `gym_core.spi.ChildProcess`: it is sent one message, a JSON
object, and sends one, an object with `error` where it failed. Options stand in the message, secrets among them, so that
no other user of the machine can read them. One that serves goes on until its parent lets go.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import gym_core
from gym_core import ComponentContext, UsageError, encode_json, parse_json
from gym_core.errors import GymError, PluginError
from gym_core.spi import (
    MAY_BE_ELSEWHERE,
    Configured,
    Deadlines,
    Kind,
    Loaded,
    PluginManager,
    Redactor,
    class_tools,
    construct,
    describe_component,
    described,
    operational_fields,
    read_message,
    resolve_options,
    run_loop,
    secret_fields,
    when_let_go,
    write_message,
)
from gym_http.protocol.wire import info_to_wire

if TYPE_CHECKING:
    from gym_http.serve.opening import Wanted

Answer: TypeAlias = Callable[[Mapping[str, Any]], None]

LEVEL_MARK = "\x1e"
"""Begins a line on standard error that is a record of the logger `gym`: the mark, its level, a space, its message."""
SANDBOX_VARIABLE = "GYM_RUN_SANDBOX"
"""Names what makes sandboxes in an isolated environment, where several are installed in it."""
_UNLIMITED = 1 << 31
_DRAIN_SECONDS = 5.0
_LONG = float(_UNLIMITED)
# The run bounds everything, by its own deadlines; what it gives up it closes here.
_DEADLINES = Deadlines(rollout=_LONG, setup=_LONG, model_call=_LONG, tool=_LONG, verify=_LONG, waiting=_LONG)


def describe(requests: IO[bytes], replies: IO[bytes], grace: float) -> None:
    """Answer with what `distribution` offers, each component as `gym plugins show --json` has it."""
    _perform(requests, replies, lambda request, answer, redactor: answer(_described(request["distribution"])))


def resolve(requests: IO[bytes], replies: IO[bytes], grace: float) -> None:
    """Answer with the options of a component; it is made with them, too, since it may refuse what they allow."""
    _perform(requests, replies, lambda request, answer, redactor: answer(_resolved(request, redactor)))


def serve(requests: IO[bytes], replies: IO[bytes], grace: float) -> None:
    """Serve a component; answer with its URL, and with the secrets that it has found, once it can be asked."""
    channel = requests.fileno()

    def act(request: Mapping[str, Any], answer: Answer, redactor: _Collecting) -> None:
        run_loop(_serve(request, answer, redactor, channel, grace))

    _perform(requests, replies, act)


def _perform(
    requests: IO[bytes], replies: IO[bytes], act: Callable[[Mapping[str, Any], Answer, _Collecting], None]
) -> None:
    _log_to_stderr()
    redactor = _Collecting()

    def answer(value: Mapping[str, Any]) -> None:
        write_message(replies, encode_json(value, fallback=str))

    try:
        act(parse_json(read_message(requests)), answer, redactor)
    except BaseException as error:  # a plugin may call `sys.exit`
        answer({"error": {name: redactor.redact(text) for name, text in _as_wire(error).items()}})
        sys.exit(1)


def _described(distribution: str) -> dict[str, Any]:
    manager = PluginManager()
    own = [plugin for plugin in manager.plugins if plugin.belongs_to(distribution)]
    components = [manager.load(one.kind, one.qualified_name) for one in own if one.kind in MAY_BE_ELSEWHERE]
    return {
        "core": metadata.version("gym-core"),
        "contract": gym_core.CONTRACT_VERSION,
        "python": platform.python_version(),
        "components": [_component(loaded) for loaded in components],
        "extensions": [plugin.name for plugin in own if plugin.kind not in MAY_BE_ELSEWHERE],
    }


def _component(loaded: Loaded) -> dict[str, Any]:
    session = getattr(loaded.component, "session_type", None)
    return {
        "kind": loaded.plugin.kind.value,
        "name": loaded.plugin.name,
        **describe_component(loaded),
        "roles": list(session.roles) if session is not None else [],
        "tools": [spec.schema for spec in class_tools(session)] if session is not None else None,
    }


def _resolved(request: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    loaded = PluginManager().load(Kind(request["kind"]), request["reference"])
    reference = loaded.reference
    configured = _configured(request)
    resolved = resolve_options(
        loaded.component,
        reference.name,
        request["given"],
        reference.selector,
        environ=os.environ,
        what=request["what"],
        configured=configured,
    )
    redactor.add(*resolved.secrets)
    component = construct(loaded, resolved.options, ComponentContext(name=reference.name))
    cls = type(resolved.options)
    return {
        "values": resolved.options.model_dump(mode="json", exclude=secret_fields(cls)),
        "set": sorted(resolved.options.model_fields_set),
        "operational": sorted(operational_fields(cls)),
        "origins": resolved.origins,
        "secrets": [*resolved.secrets, *component.secrets],
        "described": info_to_wire(component.describe()),
    }


def _configured(request: Mapping[str, Any]) -> Configured | None:
    """What a file says, as `stand_in.configured_to_wire` writes it."""
    given = request["configured"]
    if given is None:
        return None
    recorded = given["recorded"]
    return Configured(
        **{**given, "folder": Path(given["folder"]), "recorded": None if recorded is None else frozenset(recorded)}
    )


async def _serve(request: Mapping[str, Any], answer: Answer, redactor: _Collecting, channel: int, grace: float) -> None:
    from gym_http.serve.listener import Listener
    from gym_http.serve.opening import open_application
    from gym_http.serve.settings import ServeSettings

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    when_let_go(channel, grace, lambda: loop.call_soon_threadsafe(ended.set))
    settings = ServeSettings(
        token=request["token"],
        max_sessions=_UNLIMITED,
        session_life=_UNLIMITED,
        session_idle=_UNLIMITED,
        max_body=_UNLIMITED,
        drain=_DRAIN_SECONDS,
        seed=request["seed"],
        deadlines=_DEADLINES,
    )
    async with AsyncExitStack() as stack:
        app, notices = await open_application(_wanted(request), settings, stack, redactor)
        for notice in notices:
            logging.getLogger("gym").warning("%s", notice)
        listener = Listener(app, **request["address"], grace=_DRAIN_SECONDS)
        await stack.enter_async_context(listener)
        answer({"url": listener.url, "secrets": redactor.found})
        await ended.wait()
    if "uds" in request["address"]:
        with contextlib.suppress(OSError):  # the parent removes it, unless it was killed
            os.rmdir(os.path.dirname(request["address"]["uds"]))


class _Collecting(Redactor):
    """Remembers what is hidden, for the parent to hide it, too."""

    def __init__(self) -> None:
        self.found: list[str] = []
        super().__init__()

    def add(self, *secrets: str) -> None:
        super().add(*secrets)
        self.found += secrets


def _wanted(request: Mapping[str, Any]) -> Wanted:
    from gym_http.serve.opening import Wanted

    kind, reference, given, place = Kind(request["kind"]), request["reference"], request["given"], request["place"]
    configured = _configured(request)
    about: dict[str, Any] = {
        "concurrency": request["concurrency"],
        "configured": {} if configured is None else {place: configured},
    }
    if kind is Kind.RESOURCE_SERVER:
        return Wanted(env=reference, env_options=given, sandbox=_sandbox(), takes_options=True, **about)
    if kind in Kind.AGENT.accepted:
        return Wanted(agent=reference, agent_options=given, **about)
    return Wanted(models={place: reference}, model_options={place: given}, role=place, **about)


def _sandbox() -> str | None:
    """What makes sandboxes here: the only one that is installed, or of several the one that the variable names."""
    installed = [
        plugin for plugin in PluginManager().plugins if plugin.kind is Kind.SANDBOX and plugin.state == "ready"
    ]
    return installed[0].qualified_name if len(installed) == 1 else os.environ.get(SANDBOX_VARIABLE) or None


class _ToParent(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = " ".join(record.getMessage().split())
            sys.stderr.write(f"{LEVEL_MARK}{record.levelno} {text}\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


def _log_to_stderr() -> None:
    sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    logger = logging.getLogger("gym")
    logger.addHandler(_ToParent())
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _as_wire(error: BaseException) -> dict[str, str]:
    """An error as the parent raises it again."""
    if not isinstance(error, GymError):
        import traceback

        traceback.print_exception(error)
        return {"kind": "crash", "message": described(error), "hint": ""}
    kind = "usage" if isinstance(error, UsageError) else "plugin" if isinstance(error, PluginError) else "other"
    message = error.message
    if isinstance(error, PluginError):
        message = message.removeprefix(f"{error.distribution}: ")
    return {"kind": kind, "message": message, "hint": error.hint}
