"""Environments of NeMo Gym that speak `/reset` and `/step`."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gym_core.spi import open_run, run_config
from gym_http.serve.listener import Listener
from tests.support.models import ScriptedModel, call, say
from tests.support.running import Ended
from tests.support.served_envs import in_loop

TOOL = {"type": "function", "name": "guess", "parameters": {"type": "object"}}


class Guessing:
    """A number is guessed: by a call, which is answered with an output, or in words, with an observation."""

    def __init__(self, **said: Any) -> None:
        self.seen: list[tuple[str, Any, str]] = []
        self.said = said

    def app(self) -> Starlette:
        names = {"/reset": self.reset, "/step": self.step, "/close": self.close, "/aggregate_metrics": self.close}
        routes = [Route(path, one, methods=["POST"]) for path, one in names.items()]
        return Starlette(routes=[*routes, Route("/openapi.json", self.openapi)])

    async def openapi(self, request: Request) -> Response:
        return JSONResponse({"paths": {"/reset": {}, "/step": {}, "/aggregate_metrics": {}}})

    async def _body(self, request: Request) -> Any:
        body = await request.json()
        self.seen.append((request.url.path, body, request.headers.get("cookie", "")))
        return body

    async def reset(self, request: Request) -> Response:
        await self._body(request)
        info = {"supports_explicit_close": True, "supports_step_idempotency": True}
        answer = JSONResponse({"observation": "Guess a number.", "info": info})
        answer.set_cookie("session", "s1")
        return answer

    async def step(self, request: Request) -> Response:
        body = await self._body(request)
        item = body["response"]["output"][-1]
        if item["type"] == "function_call":
            output = {"call_id": item["call_id"], "output": "too low"}
            return JSONResponse({"reward": 0.25, "info": {"tool_outputs": [output]}, **self.said})
        done = item["content"][0]["text"] == "7"
        return JSONResponse({"observation": None if done else "Again.", "reward": float(done), "terminated": done})

    async def close(self, request: Request) -> Response:
        await self._body(request)
        return JSONResponse({})


def collect(server: Guessing, *turns: Any, **settings: Any) -> Ended:
    rows = [{"responses_create_params": {"input": "Play.", "tools": [TOOL]}, "number": 7}]
    rollouts: list[Any] = []

    async def main() -> Ended:
        async with Listener(server.app()) as listener:
            model = ScriptedModel(*turns)
            wanted = run_config(models={"policy": model}, env=listener.url, tasks=rows, **settings)
            async with open_run(wanted) as run:
                summary = await run.execute(rollouts.append)
            return Ended(rollouts, summary, run.error, run.notices)

    return in_loop(main)


def test_rewards_of_steps_are_summed_and_observations_are_shown() -> None:
    server = Guessing()
    (rollout,) = collect(server, call("guess", {"n": 3}), say("5"), say("7")).rollouts
    assert (rollout.status.value, rollout.reward, rollout.stop_reason) == ("completed", 1.25, "completed")
    assert rollout.info["step_rewards"] == [0.25, 0.0, 1.0]
    kinds = [item.get("type", "message") for item in rollout.response.output]
    assert kinds.count("function_call_output") == 1
    texts = [item["content"] for item in rollout.response.output if item.get("role") == "user"]
    assert texts == ["Guess a number.", "Again."]
    assert [path for path, _, _ in server.seen] == ["/reset", "/step", "/step", "/step", "/close"]
    assert {cookie for path, _, cookie in server.seen if path != "/reset"} == {"session=s1"}
    reset, first = server.seen[0][1], server.seen[1][1]
    assert (reset["_ng_task_index"], reset["_ng_rollout_index"], reset["number"]) == (0, 0, 7)
    assert {"_ng_step_request_id", "response"} <= set(first)


def test_it_ends_after_so_many_steps_and_closes() -> None:
    server = Guessing()
    (rollout,) = collect(server, *[say("5")] * 3, agent="steps", agent_options={"max_steps": 2}).rollouts
    assert (rollout.reward, len(rollout.model_calls)) == (0.0, 2)
    assert server.seen[-1][0] == "/close"


@pytest.mark.parametrize("said", [{"mask_sample": True}, {"reward": "much"}, {"reward": None}])
def test_a_step_without_a_reward_is_a_failure(said: dict[str, Any]) -> None:
    server = Guessing(**said)
    (rollout,) = collect(server, call("guess", {"n": 3}), say("7")).rollouts
    assert not rollout.status.has_verdict
    assert rollout.reward is None
    assert server.seen[-1][0] == "/close"
