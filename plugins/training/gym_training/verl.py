"""A live seam to verl, without verl: its servers as a model backend, and groups as what its agent loops return.

`verl_agent_loop` has the class that a configuration of verl names.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

from gym_chat import chat_request
from gym_core import (
    CallContext,
    ComponentContext,
    Group,
    Item,
    JsonError,
    ModelBackend,
    Request,
    Response,
    Rollout,
    Sampling,
    Task,
    Tokens,
    UsageError,
    parse_json,
)
from gym_core.errors import BadRequestError, ContextLengthError, InputError, ModelError, ServerError
from gym_core.spi import MAIN
from gym_training.messages import Messages, plain
from gym_training.tokens import Row, to_verl

Found = tuple[str, Sequence[tuple[str, str]]]
"""What a parser of verl found in sampled tokens: the text besides calls, and calls as name and arguments."""
Parse = Callable[[list[int], list[dict[str, Any]]], Awaitable[Found]]

_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty")
_KEPT = 8
"""Branches of a conversation whose tokens are remembered."""


class Server(Protocol):
    """verl's `LLMServerClient`."""

    async def generate(self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any]) -> Any:
        """A `TokenOutput`."""
        ...


class Encoder(Protocol):
    """verl's `ContinuousTokenBuilder`: it puts new messages behind the very tokens that were sampled."""

    def build_initial_tokens(self, messages: Messages, *, tools: Any = None) -> list[int]:
        """The tokens of a conversation that begins."""
        ...

    def merge_context_tokens(self, before: Messages, now: Messages, ids: list[int], *, tools: Any = None) -> Any:
        """A `MergeResult`, the tokens of one that goes on. Raises `ValueError` where a template cannot say it so."""
        ...


@dataclass(slots=True)
class _Branch:
    """A conversation up to an answer: its messages, its tokens, and how many of those its first prompt had."""

    messages: Messages
    ids: list[int]
    start: int


@dataclass(slots=True)
class _Known:
    """What is remembered of a rollout. `name`: by which verl keeps its calls at one server."""

    name: str = field(default_factory=lambda: uuid4().hex)
    branches: deque[_Branch] = field(default_factory=lambda: deque(maxlen=_KEPT))


class VerlPolicy(ModelBackend):
    """The model that verl trains, asked through verl's own client: tokens in, tokens out.

    A conversation that goes on keeps the tokens that were sampled, put together by verl's own encoder, so that there
    is no break. `parse`: how calls of tools are found in what was sampled. `prompt_length`, `response_length`: verl's
    bounds of a sequence; a conversation that outgrows them ends as truncated. A call that is cancelled goes on at the
    server, since verl's client has no word for that.
    """

    def __init__(
        self,
        server: Server,
        encoder: Encoder,
        tokenizer: Any,
        parse: Parse,
        *,
        prompt_length: int,
        response_length: int,
        stop_token_ids: Sequence[int] = (),
    ) -> None:
        super().__init__(context=ComponentContext(name="verl"))
        self._server = server
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._parse = parse
        self._stops = [*stop_token_ids]
        self._response = response_length
        self._whole = prompt_length + response_length
        self._rollouts: dict[tuple[str, int], _Known] = {}

    def forget(self, rollouts: Sequence[Rollout]) -> None:
        """Forget the conversations of rollouts that have ended."""
        for rollout in rollouts:
            self._rollouts.pop((rollout.task_id, rollout.repeat), None)

    async def respond(self, request: Request, context: CallContext) -> Response:
        """One call. Raises `ContextLengthError`, `ServerError`, and `BadRequestError` for what is no text."""
        messages, tools = _asked(request)
        known = self._rollouts.setdefault(context.key, _Known())
        prompt, start = await asyncio.to_thread(self._prompt, [*known.branches], messages, tools)
        most = min(start + self._response, self._whole) - len(prompt)
        if most < 1:
            raise ContextLengthError(
                f"the conversation has {len(prompt):,} tokens, which leaves none for an answer",
                hint="raise data.max_prompt_length or data.max_response_length",
            )
        asked = request.body.get("max_output_tokens")
        most = min(most, asked) if asked else most
        said = await self._generate(known.name, prompt, self._sampling(request.body, most))
        ids = [*said.token_ids]
        items = await self._items(ids, tools)
        answer = [*map(plain, chat_request({"input": items})["messages"])]
        known.branches.append(_Branch([*messages, *answer], [*prompt, *ids], start))
        cut = said.stop_reason == "length" or (len(ids) >= most and ids[-1] != self._tokenizer.eos_token_id)
        ended = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}} if cut else {}
        usage = {"input_tokens": len(prompt), "output_tokens": len(ids)}
        return Response({"output": items, "usage": usage, **ended}, _tokens(prompt, ids, said))

    def _prompt(self, branches: Sequence[_Branch], messages: Messages, tools: Any) -> tuple[list[int], int]:
        """The tokens of a conversation, and how many its first prompt had."""
        goes_on = [branch for branch in branches if _goes_on(branch.messages, messages)]
        if goes_on:
            last = max(goes_on, key=lambda branch: len(branch.messages))
            try:
                merged = self._encoder.merge_context_tokens(last.messages, messages, last.ids, tools=tools)
                return [*merged.token_ids], last.start
            except ValueError:
                pass  # this template cannot be continued so: it is encoded anew, which is recorded as a break
        prompt = [*self._encoder.build_initial_tokens(messages, tools=tools)]
        return prompt, len(prompt)

    def _sampling(self, body: Mapping[str, Any], most: int) -> dict[str, Any]:
        asked: dict[str, Any] = {name: body[name] for name in _SAMPLING if body.get(name) is not None}
        asked |= {"logprobs": True, "max_tokens": most}
        if body.get("stop") is not None:
            asked["stop"] = body["stop"]
        if self._stops:
            asked["stop_token_ids"] = self._stops
        return asked

    async def _generate(self, name: str, prompt: list[int], sampling: dict[str, Any]) -> Any:
        try:
            said = await self._server.generate(request_id=name, prompt_ids=prompt, sampling_params=sampling)
        except ModelError:
            raise
        except Exception as error:
            raise ServerError(f"verl's server failed: {type(error).__name__}: {error!s:.300}") from error
        if said.stop_reason in ("abort", "aborted"):
            raise ServerError("verl's server broke the answer off, for new weights or for want of memory")
        if not said.token_ids:
            raise ServerError("verl's server sampled nothing")
        return said

    async def _items(self, ids: list[int], tools: list[dict[str, Any]]) -> list[Item]:
        """What was sampled as items: a text and calls, or a text alone."""
        text, calls = await self._parse(ids, tools) if tools else ("", ())
        if not calls:
            return [_message(self._tokenizer.decode(ids, skip_special_tokens=True))]
        for special in self._tokenizer.all_special_tokens:
            text = text.replace(special, "")
        said: list[Item] = [_message(text.strip())] if text.strip() else []
        for name, arguments in calls:
            said.append(
                {
                    "type": "function_call",
                    "call_id": f"call_{uuid4().hex[:16]}",
                    "name": name,
                    "arguments": arguments,
                    "status": "completed",
                }
            )
        return said


def _asked(request: Request) -> tuple[Messages, list[dict[str, Any]]]:
    try:
        asked = chat_request(request.body)
    except ValueError as error:
        raise BadRequestError(f"this cannot be said as chat messages: {error}") from error
    messages = [*map(plain, asked["messages"])]
    if any(not isinstance(message.get("content"), str) for message in messages):
        raise BadRequestError("images, audio and files do not reach verl's servers by this agent loop")
    return messages, asked.get("tools") or []


def _goes_on(before: Messages, now: Messages) -> bool:
    return len(now) > len(before) and now[-1].get("role") != "assistant" and now[: len(before)] == before


def _message(text: str) -> Item:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "status": "completed", "content": content}


def _tokens(prompt: list[int], ids: list[int], said: Any) -> Tokens:
    if said.log_probs is None or len(said.log_probs) != len(ids):
        return Tokens(problem="verl's server said no log probabilities that fit")
    version = said.extra_fields.get("max_global_steps", said.extra_fields.get("global_steps"))
    return Tokens(prompt, ids, [*map(float, said.log_probs)], None if version is None else str(version))


def verl_task(extra_info: Any) -> Task:
    """The task of a row of verl's data set, from the `extra_info` that `to_prompts` writes. Raises `InputError`."""
    written = extra_info.get("task") if isinstance(extra_info, Mapping) else None
    try:
        row = parse_json(written) if isinstance(written, str) else written
    except JsonError as error:
        raise InputError(f"`extra_info.task` is no JSON: {error}") from error
    if not isinstance(row, dict):
        raise InputError(
            "the row has no task of gym in `extra_info.task`",
            hint="make the data set with `to_prompts` or `gym export --format prompts`",
        )
    return Task(row, task_id=str(extra_info.get("task_id") or ""))


def verl_sampling(params: Mapping[str, Any]) -> Sampling:
    """verl's `sampling_params` as those of a rollout. Log probabilities are always asked for."""
    extra = {name: value for name, value in params.items() if name not in ("temperature", "top_p", "logprobs")}
    return {"temperature": params.get("temperature", 1.0), "top_p": params.get("top_p", 1.0), "extra": extra}


def verl_outputs(group: Group, *, prompt_length: int, response_length: int, step: int = 0) -> list[list[Row]]:
    """The fields of verl's `AgentLoopOutput`, for each rollout of a group one for each sequence, the main actor's last.

    None for a rollout that failed, and for one nothing of which fits `prompt_length`; responses are cut at
    `response_length`. `step`: the version of weights where the server says none. Raises `UsageError` where a rollout
    with a reward has no exact tokens.
    """
    return [[_cut(row, response_length, step) for row in _fitting(rollout, prompt_length)] for rollout in group.judged]


def _fitting(rollout: Rollout, prompt_length: int) -> list[Row]:
    rows = [*to_verl([rollout])]
    if not rows and rollout.reward is not None and rollout.model_calls:
        raise UsageError(f"the rollout {rollout.task_id}/{rollout.repeat} has no exact tokens")
    rows.sort(key=lambda row: bool(row["extra_fields"]["actor"] == MAIN))  # the last has the reward of the rollout
    return [row for row in rows if len(row["prompt_ids"]) <= prompt_length]


def _cut(row: Row, response_length: int, step: int) -> Row:
    said = row["extra_fields"]
    steps = [int(version) for version in said["versions"] if version.isdecimal()] or [step]
    weights = {"min_global_steps": min(steps), "max_global_steps": max(steps)}
    fields = {name: [*row[name]][:response_length] for name in ("response_ids", "response_mask", "response_logprobs")}
    # verl reads these of every output
    extra = {**said, **weights, "turn_scores": [], "tool_rewards": [], "reward_extra_info": {}}
    return {**row, **fields, "prompt_ids": [*row["prompt_ids"]], "extra_fields": extra}
