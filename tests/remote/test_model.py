"""A model behind a URL does what it does in process, its errors among it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gym_core import CallContext, ComponentContext, ModelBackend, ModelError, ModelInfo, UsageError
from gym_core import Request as ModelRequest
from gym_core.domain import errors
from gym_core.errors import model_error_classes
from gym_http.protocol.wire import PROTOCOL
from gym_http.remote.model import RemoteModel
from gym_http.serve.listener import Listener
from tests.serve.serving import served_model
from tests.support.agents import LoopAgent
from tests.support.models import ScriptedModel, call, say
from tests.support.running import config, execute
from tests.support.served_envs import in_loop


def remote(url: str, **options: Any) -> RemoteModel:
    return RemoteModel(RemoteModel.Options.model_validate({"url": url, **options}), ComponentContext(name="remote"))


async def ask(model: ModelBackend) -> Any:
    return await model.respond(ModelRequest.ask("Hello."), CallContext(key=("a/b", 2)))


def test_a_run_over_it_records_what_the_model_said() -> None:
    async def main() -> Any:
        backend = ScriptedModel(call("nothing"), say("Done."))
        async with served_model(backend) as server:
            ended = await execute(config(remote(server.url), None, LoopAgent(), seed=3))
            return ended, backend

    ended, backend = in_loop(main)
    assert ended.statuses() == ["completed"]
    assert ended.rollouts[0].response.output_text == "Done."
    assert ended.rollouts[0].usage.input_tokens == 20
    assert {context.key for context in backend.contexts} == {("t0", 0)}, (
        "calls of one rollout belong together there, too"
    )


class Failing(ModelBackend):
    """Fails as it is told to."""

    def __init__(self, error: ModelError) -> None:
        super().__init__(None, ComponentContext(name="failing"))
        self._error = error
        self.calls = 0

    async def respond(self, request: ModelRequest, context: CallContext) -> Any:
        self.calls += 1
        raise self._error


@pytest.mark.parametrize("cls", model_error_classes(), ids=lambda cls: cls.__name__)
def test_an_error_keeps_its_class_and_what_it_says(cls: type[ModelError]) -> None:
    async def main() -> None:
        failing = Failing(cls("so it is", hint="do that", status=418, retry_after=3.0))
        async with served_model(failing) as server, remote(server.url) as model:
            try:
                await ask(model)
            finally:
                assert failing.calls == 1, "trying again is up to the run"

    with pytest.raises(cls) as caught:
        in_loop(main)
    assert type(caught.value) is cls
    assert (caught.value.message, caught.value.hint) == ("so it is", "do that")
    assert (caught.value.status, caught.value.retry_after) == (418, 3.0)


@asynccontextmanager
async def answering(status: int, content: str, **about: Any) -> AsyncIterator[str]:
    """A served model whose calls are answered by something in front of it."""

    async def component(request: Request) -> Response:
        return JSONResponse({"protocol": PROTOCOL, "kind": "model", "name": "m", **about})

    async def responses(request: Request) -> Response:
        return PlainTextResponse(content, status)

    routes = [Route("/v1/component", component), Route("/v1/responses", responses, methods=["POST"])]
    async with Listener(Starlette(routes=routes)) as listener:
        yield listener.url


@pytest.mark.parametrize(
    ("status", "content", "cls"),
    [
        (200, "<html>", errors.BrokenReplyError),
        (200, "{}", errors.BrokenReplyError),
        (200, '{"output": ["done"]}', errors.BrokenReplyError),
        (401, "who?", errors.AuthenticationError),
        (402, "pay", errors.QuotaError),
        (404, "", errors.EndpointError),
        (407, "log in", errors.EndpointError),
        (408, "", errors.ServerError),
        (410, "", errors.EndpointError),
        (302, "", errors.EndpointError),
        (413, "too long", errors.BadRequestError),
        (429, "slower", errors.RateLimitError),
        (502, "<html>", errors.ServerError),
        (503, "", errors.OverloadedError),
        (522, "error code: 522", errors.ServerError),
        (529, "", errors.OverloadedError),
    ],
)
def test_an_answer_of_something_in_between_has_the_class_of_its_status(
    status: int, content: str, cls: type[ModelError]
) -> None:
    async def main() -> None:
        async with answering(status, content) as url, remote(url) as model:
            await ask(model)

    with pytest.raises(cls) as caught:
        in_loop(main)
    assert type(caught.value) is cls


@pytest.mark.parametrize(
    ("status", "content", "seconds"),
    [(429, "Please try again in 1m30s.", 90), (503, '{"error": {"retry_after": 2}}', 2), (400, "retry in 5s", None)],
)
def test_something_in_between_may_ask_to_wait(status: int, content: str, seconds: float | None) -> None:
    async def main() -> None:
        async with answering(status, content) as url, remote(url) as model:
            await ask(model)

    with pytest.raises(ModelError) as caught:
        in_loop(main)
    assert caught.value.retry_after == seconds


def test_an_answer_is_read_as_far_as_the_option_allows() -> None:
    async def main() -> None:
        async with answering(200, " " * (2 << 20)) as url, remote(url, max_reply_mb=1) as model:
            await ask(model)

    with pytest.raises(errors.ReplyTooLongError, match="max_reply_mb") as caught:
        in_loop(main)
    assert not caught.value.retryable


def test_nobody_there_any_more_is_an_error_of_the_connection_that_cost_nothing() -> None:
    async def main() -> None:
        async with answering(200, "{}") as url:
            model = await remote(url).__aenter__()
        try:
            await ask(model)
        finally:
            await model.__aexit__(None, None, None)

    with pytest.raises(errors.ConnectionFailedError) as caught:
        in_loop(main)
    assert caught.value.unsent


def test_what_it_says_of_itself_is_what_the_run_goes_by() -> None:
    async def main() -> None:
        capabilities = {"model_id": "small", "endpoint": "http://there", "max_inflight": 3, "sends_seed": True}
        async with answering(200, "{}", capabilities=capabilities, version="7") as url, remote(url) as model:
            component = {"name": "m", "distribution": "", "version": "7", "options": {}}
            assert model.describe() == ModelInfo(
                component=component, model_id="small", endpoint=url, max_inflight=3, sends_seed=True
            )

    in_loop(main)


def test_models_can_be_listed_before_it_is_opened() -> None:
    async def main() -> Any:
        async with served_model(ScriptedModel(name="gpt")) as server:
            return await remote(server.url).list_models()

    assert in_loop(main) == ["gpt"]


def test_an_endpoint_of_another_maker_is_named_with_what_takes_it() -> None:
    async def main() -> None:
        async def openapi(request: Request) -> Response:
            return JSONResponse({"paths": {"/v1/responses": {}}})

        async with Listener(Starlette(routes=[Route("/openapi.json", openapi)])) as listener, remote(listener.url):
            pass

    with pytest.raises(UsageError, match="another maker") as caught:
        in_loop(main)
    assert "-M base_url=" in caught.value.hint
