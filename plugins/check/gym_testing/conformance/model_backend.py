"""Whether a model backend keeps the contract."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson
import pytest

from gym_core import CallContext, GymError, ModelBackend, ModelError, ModelInfo, Request, Response
from gym_core.spi import Kind
from gym_testing.conformance.component import ComponentConformance
from gym_testing.conformance.over_http import over_http
from gym_testing.conformance.spied_model import SpiedModel
from gym_testing.rehearsal import run
from gym_testing.served import Served

ADD = {
    "type": "function",
    "name": "add",
    "description": "Add two numbers.",
    "parameters": {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "description": "The first."},
            "b": {"type": "integer", "description": "The second."},
        },
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "strict": True,
}
STRANGE = (
    Request({"input": [{"type": "no_such_item_", "value": 1}]}),
    Request.ask("Say hello.", extra={"no_such_parameter_": 1}),
    Request({"input": []}),
)


class ModelBackendConformance(ComponentConformance):
    """Subclass it for a backend, and name the backend with `reference`. The calls are real: give it an endpoint.

        class TestMyModel(ModelBackendConformance):
            reference = "my_model"

            @pytest.fixture(autouse=True)
            def endpoint(self, fake_openai):
                self.options = {"base_url": fake_openai.base_url}
                self.fake = fake_openai

    `unreachable`: options with which no call can succeed, such as a port where nobody listens. `supports_tools`: False
    for a backend that takes no tools. `call_seconds` bounds a call, `cancel_seconds` the end of a cancelled one.
    Override `hang`, to have the next call hang, so that cancelling it is seen.
    """

    kind: ClassVar[Kind] = Kind.MODEL
    unreachable: Mapping[str, Any] | None = None
    supports_tools: bool = True
    call_seconds: float = 60.0
    cancel_seconds: float = 5.0

    def request(self) -> Request:
        """A request that the backend can answer."""
        return Request.ask("Say hello.")

    async def hang(self) -> None:
        """Make the next call one that does not end by itself, where that can be arranged."""

    def test_respond_answers(self) -> None:
        """A response has output items, is JSON, and says what it took in whole numbers."""
        self._check_response(run(self._ask(self.request())))

    def test_tools_are_taken(self) -> None:
        """A request with tools, and one with a call and its output, are answered; calls are whole."""
        if not self.supports_tools:
            pytest.skip("supports_tools = False")
        asked = Request.ask("Add 1 and 2.", tools=[ADD])
        made = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 1, "b": 2}'}
        answered = asked.with_input(
            [*asked.input, made, {"type": "function_call_output", "call_id": "c1", "output": "3"}]
        )

        async def both() -> list[Response]:
            async with self._made() as backend:
                return [await self._call(backend, request) for request in (asked, answered)]

        for response in run(both(), 2 * self.call_seconds):
            self._check_response(response)
            ids = [item.call_id for item in response.function_calls]
            assert all(ids), "a function call has no `call_id`"
            assert len(ids) == len(set(ids)), f"function calls share a `call_id` among {ids}"
            for item in response.function_calls:
                assert item.name, "a function call has no `name`"
                assert isinstance(item.get("arguments"), str), "`arguments` of a function call must be JSON text"

    def test_the_request_is_left_alone(self) -> None:
        """The engine keeps what it asked: a backend copies what it changes."""
        request = self.request()
        before = orjson.dumps(request.body)
        run(self._ask(request))
        assert orjson.dumps(request.body) == before, "`respond` changed the request; copy what is to be changed"

    def test_calls_run_at_once(self) -> None:
        """Several calls under way at once are all answered."""

        async def several() -> list[Response]:
            async with self._made() as backend:
                count = min(4, backend.describe().max_inflight or 4)
                return await asyncio.gather(
                    *(self._call(backend, self.request(), CallContext((f"t{number}", 0))) for number in range(count))
                )

        for response in run(several(), 4 * self.call_seconds):
            self._check_response(response)

    def test_cancelling_ends_a_call(self) -> None:
        """A cancelled call ends promptly and as cancelled, and the backend goes on working."""

        async def cancel() -> float:
            loop = asyncio.get_running_loop()
            async with self._made() as backend:
                await self.hang()
                call = asyncio.create_task(backend.respond(self.request(), CallContext(("cancelled", 0))))
                await asyncio.wait([call], timeout=0.05)
                call.cancel()
                started = loop.time()
                await asyncio.wait([call], timeout=self.cancel_seconds)
                seconds = loop.time() - started
                assert call.done(), (
                    f"a cancelled call went on for {self.cancel_seconds:g} s; `respond` must let the cancellation pass"
                )
                if not call.cancelled() and (error := call.exception()) is not None:
                    raise AssertionError(
                        f"a cancelled call ended with {type(error).__name__}: {error}; let CancelledError pass"
                    )
                self._check_response(await self._call(backend, self.request(), CallContext(("next", 0))))
                return seconds

        run(cancel(), 2 * self.call_seconds + self.cancel_seconds)

    def test_a_strange_request_is_a_model_error(self) -> None:
        """What cannot be sent is answered, or fails with a `ModelError`; never with anything else."""

        async def ask() -> None:
            async with self._made() as backend:
                for request in STRANGE:
                    try:
                        await self._call(backend, request)
                    except ModelError:
                        continue
                    except Exception as error:
                        raise AssertionError(
                            f"{request!r:.200} raised {type(error).__name__}: {error}; raise a subclass of ModelError"
                        ) from error

        run(ask(), 4 * self.call_seconds)

    def test_an_unreachable_endpoint_is_a_gym_error(self) -> None:
        """Where nobody answers, opening or the call fails with an error that gym knows."""
        if self.unreachable is None:
            pytest.skip("no `unreachable` options: give some to see what a failed call raises")
        self.options = {**self.options, **self.unreachable}

        async def ask() -> str:
            try:
                async with self._made() as backend:
                    await self._call(backend, self.request())
            except GymError as error:
                return error.message
            except Exception as error:
                raise AssertionError(
                    f"an endpoint that does not answer raised {type(error).__name__}: {error}; "
                    "raise ConnectionFailedError, which gym retries"
                ) from error
            raise AssertionError("the call succeeded with the options in `unreachable`")

        assert run(ask(), 2 * self.call_seconds).strip(), "the error has no message"

    def test_identity_is_stable(self) -> None:
        """`endpoint` and `model_id` are texts that calls do not change."""

        async def look() -> list[ModelInfo]:
            async with self._made() as backend:
                before = backend.describe()
                await self._call(backend, self.request())
                assert before.max_inflight is None or (
                    isinstance(before.max_inflight, int) and before.max_inflight > 0
                ), "`max_inflight` must be None or a number above 0"
                assert isinstance(before.sends_seed, bool), "`sends_seed` must be True or False"
                listed = await backend.list_models()
                assert all(isinstance(name, str) and name for name in listed), "`list_models` must give names"
                assert all(isinstance(warning, str) for warning in await backend.check()), "`check` must give texts"
                return [before, backend.describe()]

        before, after = run(look(), 2 * self.call_seconds)
        for name in ("endpoint", "model_id"):
            first, second = getattr(before, name), getattr(after, name)
            assert isinstance(first, str), f"`{name}` must be a text, not {first!r}"
            assert first, f"`{name}` is empty"
            assert first == second, f"`{name}` was {first!r} before a call and {second!r} after it"

    def test_served_is_the_same(self) -> None:
        """Served over HTTP, requests reach the backend as they are, and its answers and errors come back."""
        asked = [self.request(), Request.ask("Say hello.", temperature=0.5)]
        if self.supports_tools:
            asked.append(Request.ask("Add 1 and 2.", tools=[ADD]))
        asked += STRANGE

        async def ask() -> None:
            spy = SpiedModel(self.make())
            async with Served(spy) as server, server.remote() as backend:
                for request in asked:
                    spy.calls.clear()
                    try:
                        came: Response | ModelError = await self._call(backend, request)
                    except ModelError as error:
                        came = error
                    assert spy.calls, f"over HTTP {request!r:.200} did not reach the backend but came to {came!r:.200}"
                    found = spy.calls[-1].difference(request, came)
                    assert not found, f"over HTTP {found}"

        run(ask(), 2 * self.call_seconds)

    # Helpers

    def _made(self) -> ModelBackend:
        backend: ModelBackend = self.make()
        return over_http(backend) if self.over_http else backend

    async def _ask(self, request: Request) -> Response:
        async with self._made() as backend:
            return await self._call(backend, request)

    async def _call(self, backend: ModelBackend, request: Request, context: CallContext | None = None) -> Response:
        return await asyncio.wait_for(backend.respond(request, context or CallContext(("t", 0))), self.call_seconds)

    def _check_response(self, response: Response) -> None:
        assert isinstance(response, Response), f"`respond` returned {type(response).__name__}, not a Response"
        output = response.body.get("output")
        assert isinstance(output, list), f"`output` of a response must be a list, not {type(output).__name__}"
        assert output, "the response has no output items"
        for item in output:
            assert isinstance(item, dict), f"an output item must be an object, not {type(item).__name__}"
            assert isinstance(item.get("type"), str), f"an output item has no `type`: {item!r:.200}"
        try:
            orjson.dumps(response.body)
        except TypeError as error:
            raise AssertionError(f"the body of a response must be JSON: {error}") from None
        usage = response.body.get("usage")
        assert usage is None or isinstance(usage, dict), f"`usage` must be an object, not {type(usage).__name__}"
        for name in ("input_tokens", "output_tokens"):
            count = (usage or {}).get(name, 0)
            assert type(count) is int, f"`usage.{name}` must be a whole number, not {count!r}"
            assert count >= 0, f"`usage.{name}` is {count}"
