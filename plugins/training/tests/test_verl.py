"""The model that verl trains as a backend, and groups as verl's outputs, without verl."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

import gym_core
from gym_core import Group, Task, UsageError, tool, user_message
from gym_core.errors import InputError
from gym_training import VerlPolicy, to_prompts, verl_outputs, verl_sampling, verl_task
from tests.support.envs import PlainSession, ask, env
from tests.support.models import ScriptedModel, say

END = 1


class Tokenizer:
    """A token for each character."""

    eos_token_id, all_special_tokens = END, ["\x01"]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        return "".join(map(chr, ids)).replace("\x01", "" if skip_special_tokens else "\x01")


class Encoder:
    """What verl's does: new messages come behind the tokens that were sampled. `broken`: it cannot."""

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def build_initial_tokens(self, messages: list[dict[str, Any]], *, tools: Any = None) -> list[int]:
        return [*map(ord, "".join(f"{m['role'][0]}{m['content']}\x01" for m in messages) + ">")]

    def merge_context_tokens(self, before: list[Any], now: list[Any], ids: list[int], *, tools: Any = None) -> Any:
        if self.broken:
            raise ValueError("token-id suffix diff failed")
        return SimpleNamespace(token_ids=[*ids, *self.build_initial_tokens(now[len(before) :])])


class Client:
    """Samples by script: texts, and exceptions that are raised. `seen`: prompts, what was sampled, and how."""

    def __init__(self, *script: Any, **said: Any) -> None:
        self.script, self.said = [*script], said
        self.seen: list[tuple[str, list[int], list[int], dict[str, Any]]] = []

    async def generate(self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any]) -> Any:
        said = self.script.pop(0)
        if isinstance(said, Exception):
            raise said
        ids = [*map(ord, said)][: sampling_params["max_tokens"]]
        self.seen.append((request_id, prompt_ids, ids, sampling_params))
        fields = {"token_ids": ids, "log_probs": [-0.5] * len(ids), "stop_reason": "completed"}
        return SimpleNamespace(**{**fields, "extra_fields": {"global_steps": 7}, **self.said})


async def parse(ids: list[int], tools: list[dict[str, Any]]) -> Any:
    """`!name{...}` is a call."""
    text, mark, call = "".join(map(chr, ids)).partition("!")
    if not mark:
        return text, []
    name, brace, arguments = call.replace("\x01", "").partition("{")
    return f"{text}\x01", [(name, brace + arguments)]


class Office(PlainSession):
    """A tool, a second question, and verifiers that break where the task says so."""

    def setup(self) -> None:
        self.asked = not self.task.get("twice")

    @tool
    def look(self, at: str) -> str:
        """Look."""
        return f"seen {at}"

    def reply(self, response: Any) -> Any:
        again, self.asked = ([] if self.asked else [user_message("again")]), True
        return again

    def verify(self, trajectory: Any) -> float:
        repeat = self._context.repeat
        if repeat in self.task.get("breaks", []):
            raise RuntimeError("the verifier broke")
        return float(repeat)


def grouped(client: Client, size: int = 1, *, encoder: Any = None, length: int = 200, **task: Any) -> Group:
    """A group of rollouts with verl's model."""

    async def work() -> Group:
        policy = VerlPolicy(
            client, encoder or Encoder(), Tokenizer(), parse, prompt_length=length, response_length=length
        )
        async with gym_core.open(model={"policy": policy}, env=env(Office, [ask(0, **task)]), concurrency=1) as gym:
            group = await gym.group(await gym.task(0), size, sampling=verl_sampling({"temperature": 0.7, "top_k": 9}))
            policy.forget(group.rollouts)
            assert not policy._rollouts
            return group

    return asyncio.run(work())


def outputs(group: Group, length: int = 200, **others: Any) -> list[list[dict[str, Any]]]:
    return verl_outputs(group, prompt_length=length, response_length=length, **others)


def test_a_conversation_keeps_the_tokens_that_were_sampled() -> None:
    client = Client('so !look{"at":  "Oslo"}\x01', "it is  there\x01", "yes\x01")
    group = grouped(client, twice=True)
    rollout = group.rollouts[0]
    assert [call["call"] for call in rollout.tool_calls]
    assert rollout.trajectory.output_text.endswith("yes")
    ((row,),) = outputs(group)
    whole = [*row["prompt_ids"], *row["response_ids"]]
    assert whole == [*client.seen[-1][1], *client.seen[-1][2]]
    trained = [token for token, mask in zip(row["response_ids"], row["response_mask"], strict=True) if mask]
    assert trained == [token for _, _, sampled, _ in client.seen for token in sampled]
    assert len({name for name, *_ in client.seen}) == 1, "one server keeps the conversation"
    assert row["num_turns"] == 6
    assert (row["reward_score"], row["extra_fields"]["min_global_steps"]) == (0.0, 7)
    asked = client.seen[0][3]
    assert (asked["temperature"], asked["top_k"], asked["logprobs"], asked["max_tokens"]) == (0.7, 9, True, 200)
    assert client.seen[1][3]["max_tokens"] == 200 - (len(client.seen[1][1]) - len(client.seen[0][1]))


def test_a_template_that_cannot_go_on_breaks_the_sequence() -> None:
    client = Client("one\x01", "two\x01")
    group = grouped(client, encoder=Encoder(broken=True), twice=True)
    (rows,) = outputs(group)
    assert [[*row["response_ids"]] for row in rows] == [ids for _, _, ids, _ in client.seen]
    assert all(0 not in row["response_mask"] for row in rows)


def test_a_failure_is_no_output() -> None:
    group = grouped(Client(*["ok\x01"] * 3), 3, breaks=[1])
    found = outputs(group)
    assert [len(rows) for rows in found] == [1, 0, 1]
    assert [rows[0]["reward_score"] for rows in found if rows] == [0.0, 2.0]


def test_an_answer_that_was_broken_off_is_asked_for_again() -> None:
    client = Client("half", "ok\x01", stop_reason="aborted")
    client.script.insert(0, RuntimeError("no available servers"))

    async def once(*args: Any, **kwargs: Any) -> Any:
        said = await Client.generate(client, *args, **kwargs)
        client.said = {}
        return said

    client.generate = once  # type: ignore[method-assign]
    group = grouped(client)
    assert group.rewards == [0.0]
    assert group.rollouts[0].trajectory.output_text == "ok"


def test_a_long_answer_is_cut_and_what_does_not_fit_is_left_out() -> None:
    group = grouped(Client("x" * 50), length=40)
    rollout = group.rollouts[0]
    assert (rollout.status.value, rollout.reward) == ("truncated", 0.0)
    ((row,),) = outputs(group, 40)
    assert len(row["response_ids"]) == 40
    assert outputs(group, 5) == [[]], "its prompt is longer"
    short = outputs(grouped(Client("x" * 9 + "\x01")), 200)[0][0]
    assert len(outputs(grouped(Client("x" * 9 + "\x01")), len(short["prompt_ids"]))[0][0]["response_ids"]) == 10
    ended = grouped(Client("ab", "cd"), length=1, twice=True)
    assert ended.rollouts[0].stop_reason == "context_length"


def test_without_log_probabilities_it_is_said() -> None:
    with pytest.raises(UsageError, match="t0/0 has no exact tokens"):
        outputs(grouped(Client("ok\x01", log_probs=None)))

    async def work() -> Group:
        async with gym_core.open(model=ScriptedModel([say("ok")]), env=env(Office)) as gym:
            return await gym.group(await gym.task(0), 1)

    with pytest.raises(UsageError, match="t0/0 has no exact tokens"):
        outputs(asyncio.run(work()))


def test_where_the_server_says_no_version_it_is_that_of_the_step() -> None:
    ((row,),) = outputs(grouped(Client("ok\x01", extra_fields={})), step=3)
    assert (row["extra_fields"]["min_global_steps"], row["extra_fields"]["max_global_steps"]) == (3, 3)


def test_a_row_of_the_data_set_is_its_task() -> None:
    task = Task.ask("what?", task_id="t7", answer="so", instructions="Be brief.")
    (row,) = to_prompts([task])
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    found = verl_task(row["extra_info"])
    assert (found.task_id, found["answer"]) == ("t7", "so")
    for broken in ({}, None, {"task": "{"}, {"task": json.dumps([1])}):
        with pytest.raises(InputError, match=r"extra_info\.task"):
            verl_task(broken)
