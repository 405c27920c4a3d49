"""The suite for model backends finds what it is there to find; and what all suites ask of a package."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

import pytest

import gym_core
from gym_core import CallContext, ModelBackend, Request, Response
from gym_core.errors import ConnectionFailedError
from gym_testing import AgentConformance, IsolatedPlugins, ModelBackendConformance, say


class EchoOptions(gym_core.Options):
    """Options."""

    down: bool = False


class Echo(ModelBackend[EchoOptions]):
    """Says what it hears."""

    async def respond(self, request: Request, context: CallContext) -> Response:
        if self.options.down:
            raise ConnectionFailedError("nobody is there")
        await asyncio.sleep(0)
        return Response(self.body(request))

    def body(self, request: Request) -> dict[str, Any]:
        return {"output": [say("hello")], "usage": {"input_tokens": 1, "output_tokens": 1}}


class Suite(ModelBackendConformance):
    """The suite over a class that is not installed."""

    reference = "it"
    unreachable: Mapping[str, Any] | None = {"down": True}
    cancel_seconds = 0.2

    def __init__(self, backend: type[ModelBackend]) -> None:
        self.backend = backend

    def component(self) -> type[Any]:
        return self.backend


METADATA = ("test_import_is_light", "test_entry_point_offers_the_component", "test_options_are_described")
CHECKS = [name for name in dir(Suite) if name.startswith("test_") and name not in METADATA]


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_backend_passes(check: str) -> None:
    getattr(Suite(Echo), check)()


def answering(given: Mapping[str, Any]) -> type[ModelBackend]:
    class Odd(Echo):
        """Answers oddly."""

        def body(self, request: Request) -> dict[str, Any]:
            return dict(given)

    return Odd


class Texts(Echo):
    """Returns text."""

    async def respond(self, request: Request, context: CallContext) -> Any:
        return "hello"


class Writing(Echo):
    """Writes into the request."""

    def body(self, request: Request) -> dict[str, Any]:
        request.body["model"] = "echo"
        return super().body(request)


class OneAtATime(Echo):
    """Fails when two ask."""

    busy = False

    async def respond(self, request: Request, context: CallContext) -> Response:
        assert not self.busy
        self.busy = True
        response = await super().respond(request, context)
        self.busy = False
        return response


class Deaf(Echo):
    """Does not hear a cancellation."""

    async def respond(self, request: Request, context: CallContext) -> Response:
        if context.key[0] == "cancelled":
            for _ in range(10):
                try:
                    await asyncio.sleep(0.1)
                except asyncio.CancelledError:
                    continue
        return await super().respond(request, context)


class Swallowing(Echo):
    """Makes an error of a cancellation."""

    async def respond(self, request: Request, context: CallContext) -> Response:
        try:
            if context.key[0] == "cancelled":
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("interrupted") from None
        return await super().respond(request, context)


class Brittle(Echo):
    """Knows messages and nothing else."""

    def body(self, request: Request) -> dict[str, Any]:
        return super().body(request) if request.input[0]["role"] else {}


class OwnErrors(Echo):
    """Raises what its client raises."""

    async def respond(self, request: Request, context: CallContext) -> Response:
        if self.options.down:
            raise OSError("refused")
        return await super().respond(request, context)


class Renaming(Echo):
    """Has another name every time."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.numbers = itertools.count()

    @property
    def model_id(self) -> str:
        return f"echo-{next(self.numbers)}"


class Nameless(Echo):
    """Loses its context."""

    def __init__(self, options: Any, context: Any) -> None:
        super().__init__(options)


CALL = {"type": "function_call", "name": "add", "arguments": {"a": 1}, "call_id": "c"}
DEFECTS = [
    (Texts, "test_respond_answers", "returned str, not a Response"),
    (answering({"choices": []}), "test_respond_answers", "`output` of a response must be a list"),
    (answering({"output": []}), "test_respond_answers", "no output items"),
    (answering({"output": [say("x")], "usage": {"input_tokens": 1.5}}), "test_respond_answers", "a whole number"),
    (answering({"output": [say("x")], "raw": object()}), "test_respond_answers", "must be JSON"),
    (answering({"output": [CALL]}), "test_tools_are_taken", "must be JSON text"),
    (answering({"output": [{**CALL, "call_id": ""}]}), "test_tools_are_taken", "no `call_id`"),
    (Writing, "test_the_request_is_left_alone", "changed the request"),
    (Deaf, "test_cancelling_ends_a_call", "went on for"),
    (Swallowing, "test_cancelling_ends_a_call", "ended with RuntimeError"),
    (Brittle, "test_a_strange_request_is_a_model_error", "raised KeyError"),
    (OwnErrors, "test_an_unreachable_endpoint_is_a_gym_error", "raised OSError"),
    (Renaming, "test_identity_is_stable", "`model_id` was"),
    (Nameless, "test_options_resolve", "loses its context"),
    (Echo, "test_options_are_described", "without a description: down"),
]


@pytest.mark.parametrize(("backend", "check", "words"), DEFECTS)
def test_a_defect_is_found(backend: type[ModelBackend], check: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        getattr(Suite(backend), check)()


def test_calls_that_cannot_run_at_once_are_found() -> None:
    with pytest.raises(AssertionError):
        Suite(OneAtATime).test_calls_run_at_once()


def test_unreachable_options_that_reach_are_found() -> None:
    suite = Suite(Echo)
    suite.unreachable = {"down": False}
    with pytest.raises(AssertionError, match="the call succeeded"):
        suite.test_an_unreachable_endpoint_is_a_gym_error()


# What all suites ask of a package

CODE = """
{}
from gym_core import hookimpl

@hookimpl(contract=1)
def gym_agents():
    from gym_testing import LoopAgent
    return {{"looping": LoopAgent}}
"""


class Installed(AgentConformance):
    """The suite over a package that a test installs."""

    reference = "looping"


def install(plugins: IsolatedPlugins, first_line: str = "") -> None:
    plugins.add("gym-looping", CODE.format(first_line), name="looping")


def test_a_sound_package_passes(isolated_plugins: IsolatedPlugins) -> None:
    install(isolated_plugins)
    Installed().test_import_is_light()
    Installed().test_entry_point_offers_the_component()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import httpx", r"imports httpx.*: import it in the function"),
        ("print('hello')", "prints 'hello'"),
        ("import no_such_module_", "cannot be imported"),
    ],
)
def test_a_heavy_or_noisy_import_is_found(isolated_plugins: IsolatedPlugins, line: str, words: str) -> None:
    install(isolated_plugins, line)
    with pytest.raises(AssertionError, match=words):
        Installed().test_import_is_light()


def test_what_counts_as_heavy_is_the_authors_choice(isolated_plugins: IsolatedPlugins) -> None:
    install(isolated_plugins, "import httpx, wave")
    suite = Installed()
    suite.heavy = {"wave"}
    with pytest.raises(AssertionError, match="imports wave:"):
        suite.test_import_is_light()


def test_names_that_do_not_agree_are_found(isolated_plugins: IsolatedPlugins) -> None:
    isolated_plugins.add("gym-looping", CODE.format(""), name="loping")
    suite = Installed()
    with pytest.raises(AssertionError, match="is the package installed"):
        suite.test_entry_point_offers_the_component()
    suite.reference = "loping"
    with pytest.raises(AssertionError, match="offers 'looping', but the entry point's name is 'loping'"):
        suite.test_entry_point_offers_the_component()
    suite.reference = ""
    with pytest.raises(AssertionError, match="reference is not set"):
        suite.test_entry_point_offers_the_component()
