"""Loading a task, by Inspect's own rules; what its author's code raises is one line."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gym_core import UsageError
from gym_core.spi import asked_to_end, described
from gym_inspect.model import POLICY, model, standing_in
from gym_inspect.names import REQUIREMENT, Named, registered

SANDBOXES = ("local",)
"""The kinds of Inspect's sandboxes that are opened here: others have to be started for a whole task."""
_PLACES = (re.compile(r"(https?://[^\s'\"<>)]+)"), re.compile(r"host='([\w.-]+)'"), re.compile(r"Dataset (\S+) is not"))
_UNREACHABLE = (
    "connect", "resolve", "offline", "reach", "timed out", "max retries", "name or service", "is not cached", "'clone'",
)  # fmt: skip


def load(wanted: Named, args: Mapping[str, Any], sandbox: str | None) -> Any:
    """An `inspect_ai.Task`. `sandbox`: the kind to take instead of its own. Raises `UsageError`."""
    try:
        import inspect_ai  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"Inspect is not installed here: {error}", hint=f"gym install --isolated {wanted}, or {REQUIREMENT}"
        ) from error
    read = {name: _read(value) for name, value in args.items()}
    with _by_its_author(wanted):
        # in a context of its own: that the policy is the model at work ends with the loading
        task = copy_context().run(_made, wanted, read)
        if sandbox is not None:
            task.sandbox = _spec(sandbox)
            for sample in task.dataset:
                sample.sandbox = None
        kinds = {one.type for one in (task.sandbox, *(sample.sandbox for sample in task.dataset)) if one is not None}
    for kind in sorted(kinds.difference(SANDBOXES)):
        raise UsageError(
            f"{wanted} wants a sandbox of Inspect's kind `{kind}`, and only `local` can be opened here",
            hint="-E sandbox=local runs its commands in a folder of this machine, which protects nothing",
        )
    return task


def _made(wanted: Named, args: Mapping[str, Any]) -> Any:
    from inspect_ai.model import GenerateConfig
    from inspect_ai.model._model import init_active_model

    with standing_in(), _without_keys():
        init_active_model(model(POLICY), GenerateConfig())
        return _of_file(wanted, args) if wanted.file else _of_package(wanted, args)


@contextmanager
def _without_keys() -> Iterator[None]:
    """What is loaded must not ask a model with the user's key, past the run."""
    hidden = {name: os.environ.pop(name) for name in tuple(os.environ) if name.endswith("_API_KEY")}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _spec(kind: str) -> Any:
    from inspect_ai.util import SandboxEnvironmentSpec

    return SandboxEnvironmentSpec(kind)


def _of_package(wanted: Named, args: Mapping[str, Any]) -> Any:
    from inspect_ai._eval.registry import task_create
    from inspect_ai._util.registry import registry_find, registry_info, registry_lookup

    if wanted.package not in registered():
        near = get_close_matches(wanted.package, registered() - {"inspect_ai"}, n=3)
        raise UsageError(
            f"no package {wanted.package} that registers with Inspect is installed here{_guess(near)}",
            hint=f"gym install --isolated {wanted} --with PKG names the package that brings it",
        )
    name = f"{wanted.package}/{wanted.task}"
    factory = registry_lookup("task", name) if wanted.task else None
    if factory is None:
        tasks = [registry_info(one).name for one in registry_find(lambda info: info.type == "task")]
        own = sorted(one for one in tasks if one.startswith(f"{wanted.package}/"))
        near = get_close_matches(name, own, n=3) if wanted.task else []
        lacking = f"has no task {wanted.task!r}" if wanted.task else "is a package, and no task of it is named"
        raise UsageError(f"{wanted.package} {lacking}{_guess(near)}", hint=f"it has {len(own)}: {', '.join(own)[:200]}")
    _check_args(wanted, args, registry_info(factory).metadata.get("params", ()))
    return task_create(name, **args)


def _of_file(wanted: Named, args: Mapping[str, Any]) -> Any:
    from inspect_ai._eval.loader import create_file_tasks, load_file_tasks
    from inspect_ai._util.decorator import parse_decorators

    path = Path(wanted.file).absolute()
    if not path.is_file():
        raise UsageError(f"there is no file {wanted.file}", hint="inspect:./FILE.py@TASK")
    names = [name for name, _ in parse_decorators(path, "task")]
    if not wanted.task and len(names) != 1:
        raise UsageError(f"{wanted.file} has {len(names)} tasks", hint=f"inspect:{wanted.file}@{'|'.join(names)}"[:300])
    task = wanted.task or names[0]
    if task not in names:
        near = get_close_matches(task, names, n=3)
        raise UsageError(f"{wanted.file} has no task {task!r}{_guess(near)}", hint=f"it has {', '.join(names)}"[:300])
    load_file_tasks(path)
    return create_file_tasks(path, [task], dict(args))[0]


def _check_args(wanted: Named, args: Mapping[str, Any], known: Any) -> None:
    """Inspect goes on without an argument that it does not know."""
    for name in args:
        if name not in known and "kwargs" not in known:
            raise UsageError(
                f"{wanted} takes no argument {name!r}{_guess(get_close_matches(name, known))}",
                hint=f"it takes {', '.join(known) or 'none'}",
            )


def _guess(near: list[str]) -> str:
    return f"; did you mean {' or '.join(near)}?" if near else ""


@contextmanager
def _by_its_author(wanted: Named) -> Iterator[None]:
    try:
        yield
    except UsageError:
        raise
    except BaseException as error:
        if asked_to_end(error):
            raise
        logging.getLogger("gym").debug("%s could not be loaded", wanted, exc_info=error)
        causes = list(_causes(error))
        words = " ".join(described(causes[-1]).split())[:300]
        if isinstance(causes[-1], SystemExit):
            words = f"it left with sys.exit({causes[-1].code!r})"
        raise UsageError(f"{wanted} cannot be loaded: {words}", hint=_hint(wanted, causes)) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _hint(wanted: Named, causes: list[BaseException]) -> str:
    if isinstance(missing := causes[-1], ModuleNotFoundError):
        return f"gym install --isolated {wanted} --with {wanted.package or wanted.file} --with {missing.name}"
    text = " | ".join(str(one) for one in causes)
    if "docker" in text.lower():
        return "it wants Docker, which is not here or does not work"
    if any(word in text.lower() for word in _UNREACHABLE):
        found = next((one for pattern in _PLACES if (one := pattern.search(text))), None)
        where = f" from {(found[1] or found[0]).rstrip(':')}" if found else ""
        return f"it fetches its dataset{where}, and did not get there"
    return "the log of the run, or -v, shows where"


def _read(value: Any) -> Any:
    """A value of the command line: JSON where it is some, else the text that it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
