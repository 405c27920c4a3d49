"""Whether a failure ever becomes a reward: `python benchmarks/false_zeros.py [--rollouts 1000] [--faults NAME,...]`.

A failed rollout that is taken for a reward of 0 is trained on, and shifts what the others of its group are compared
with. Here groups of four run against an endpoint of this process, two members well and two into a fault: one at its
first model call, one at its second. Each fault hits `--rollouts` of them asked of an open gym, and as many by each way
to ask a served agent over loopback. The verifier gives a reward that is never 0 to a whole answer, and 0 to half of
one, as verifiers do. Then every place where a trainer takes rewards is read: the groups, what they are for TRL and
verl, the replies of the served agent, and the rows in each format of `gym export`. Counted are rewards that are not the
true one, and groups whose mean is not that of their true rewards. `--docs` writes the table into the documentation.

In TRL's own loop, by `GymSpec`, those are tried that can befall it, with `--trl PYTHON`, an interpreter that has both;
`make test-foreign` makes one. Without one the table says so.

`--beside PYTHON`, an interpreter with verifiers before 0.4, has the loop of verifiers meet those of the faults that do
not need gym, in environments of its own, instead; `--beside-trl PYTHON` has TRL's trainer do so.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import re
import resource
import subprocess
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import orjson

import gym_core
from gym_core import ComponentContext, Group, Gym, Item, ResourceServer, Session, Task, Trajectory, tool, user_message
from gym_core.errors import GymError, SessionError
from gym_core.responses import item_text
from gym_core.spi import Deadlines, Redactor, open_rollouts, run_command, run_config
from gym_http.serve.agent import openapi, routes
from gym_http.serve.agent.rollouts import ServedRollouts
from gym_http.serve.application import build
from gym_http.serve.listener import Listener
from gym_http.serve.settings import ServeSettings
from gym_testing import FakeOpenAI, Received, Reply, faults
from gym_training import as_columns, to_trl, verl_outputs

SIZE, WELL = 4, 2
"""Members of a group; of those the first ones are well."""
TRUE = (0.25, 0.75)
"""The rewards of members, in turns."""
SECONDS = 2.0
"""What a model call, and what a tool call may take where it is the fault."""
FAULTS = (
    "5xx to the end",
    "finish_reason: abort",
    "dead server",
    "time-out",
    "killed tool",
    "raising verifier",
    "judge answers 429",
    "weight update in a call",
    "cancellation",
    "full disk",
)
HELD = ("dead server", "time-out", "weight update in a call", "cancellation")
"""Faults for which model calls are left without an answer."""
_MEMBER = re.compile(rb"Group (\d+) of ([^.]+)\.(?:.*?)Member (\d+)\.", re.DOTALL)
ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "train" / "failures.md"
AT_ONCE = 250
"""Groups that run at once."""
Reward = tuple[str, int, float | None]
"""What a reader takes from a rollout: task, member, reward."""


def true_reward(member: int) -> float:
    """The reward of a member, where it has one."""
    return TRUE[member % len(TRUE)]


# The environment


class Member(Session[Any]):
    """Looks once, then says its number."""

    def __init__(self, task: Task, server: Any, context: Any) -> None:
        super().__init__(task, server, context)
        self.member = context.repeat
        self.fault = task["fault"] if self.member >= WELL else ""

    def setup(self) -> list[Item]:
        """Say which member it is."""
        return [user_message(f"Member {self.member}.")]

    @tool
    async def look(self) -> str:
        """Look around, by a program."""
        if self.fault == "time-out" and self.member % 2:
            await asyncio.sleep(3600)
        if self.fault == "killed tool":
            program = await asyncio.create_subprocess_exec("/bin/sh", "-c", "kill -9 $$; echo seen")
            status = await program.wait()
            raise SessionError(f"the program that looks ended with {status}")
        return "seen"

    async def verify(self, trajectory: Trajectory) -> float:
        """The member's reward for its whole answer, 0 for anything else."""
        if self.fault == "raising verifier":
            raise ZeroDivisionError("no tests were found")
        if "judge" in self.models:
            await self.models["judge"].respond(
                f"Group {self.task['group']} of {self.task['fault']}. Member {self.member}."
            )
        said = item_text(trajectory.items[-1]) if trajectory.items else ""
        return true_reward(self.member) if said == answer(self.member) else 0.0


class Judged(Member):
    """The same, with a judge."""

    roles = ("judge",)


class Faulty(ResourceServer):
    """Groups whose later members run into a fault."""

    session_type = Member

    def tasks(self) -> list[Task]:
        """None of its own."""
        return [task(FAULTS[0], 0)]


class FaultyJudged(Faulty):
    """The same, with a judge."""

    session_type = Judged


def task(fault: str, group: int) -> Task:
    """The task of a group."""
    asked = f"Group {group} of {fault}."
    return Task.ask(asked, task_id=f"{fault} {group}", fault=fault, group=group)


def answer(member: int) -> str:
    """What a member says at last."""
    return f"This is all that member {member} has to say."


# The endpoint


@dataclass
class Endpoint:
    """Answers with tokens, and does to the calls of those members what their fault says."""

    aborts: bool = False
    """Whether a weight update is the server's own doing: calls end with `abort` once."""
    held: int = 0
    updated: bool = False
    retried: bool = True
    aborted: set[tuple[int, int]] = field(default_factory=set)

    def begin(self, *, retried: bool) -> None:
        """Begin a batch. `retried`: calls that a weight update breaks off are made again."""
        self.held, self.updated, self.retried = 0, False, retried

    def turn(self, request: Received) -> Reply:
        """The reply to a model call."""
        found = _MEMBER.search(request.data)
        assert found is not None, request.data[:400]
        group, fault, member = int(found[1]), found[2].decode(), int(found[3])
        if request.body["model"] == "judge":
            return faults.rate_limited(retry_after=0) if member >= WELL else completion([], "fine", "stop")
        turn = len(request.tool_outputs)
        read = [1000 + group, 200 + member]
        first, second = [7, 8, 9], [20 + member, 21, 22]
        if member >= WELL and turn == member % 2:
            broken = self.broken(fault, group, member, read)
            if broken is not None:
                return broken
        if not turn:
            return completion(read, None, "tool_calls", first)
        return completion([*read, *first, 11, 12], answer(member), "stop", second)

    def broken(self, fault: str, group: int, member: int, read: list[int]) -> Reply | None:
        """What a fault makes of a model call; None for the usual reply."""
        if fault == "5xx to the end":
            return faults.server_error((500, 502, 503, 504, 529)[group % 5])
        if fault == "finish_reason: abort":
            return completion(read, "This is all", "abort", [20])
        if fault == "dead server" and group % 2:
            return faults.drop_before() if member % 2 else faults.drop_inside()
        if fault == "time-out" and member % 2:
            return None
        if fault == "weight update in a call" and self.aborts:
            if (group, member) in self.aborted:
                return None
            self.aborted.add((group, member))
            return completion(read, "This is all", "abort", [20])
        if fault not in HELD or self.updated:
            return None
        self.held += 1
        return faults.hang()


def completion(read: list[int], text: str | None, finish: str, sampled: Iterable[int] = (20,)) -> Reply:
    """A chat completion with its tokens as vLLM says them; without a text it looks."""
    ids = [*sampled]
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if text is None:
        message["tool_calls"] = [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    entries = [{"token": f"token_id:{one}", "logprob": -one / 64, "bytes": None, "top_logprobs": []} for one in ids]
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": finish,
        "token_ids": ids,
        "logprobs": {"content": entries},
    }
    usage = {"prompt_tokens": len(read), "completion_tokens": len(ids), "total_tokens": len(read) + len(ids)}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "policy", "prompt_token_ids": read}
    return Reply({**body, "choices": [choice], "usage": usage})


# What was taken for a reward


@dataclass
class Account:
    """What readers took for the rewards of the rollouts of a fault, by place, and how many rollouts it befell."""

    fault: str
    asked: int = 0
    served: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    in_trl: Mapping[str, Any] = field(default_factory=dict)
    """What came of it in TRL's own loop: rollouts that it `befell`, or rewards `before` it ended the training, `false`
    rewards, `groups`, and `shifted` ones; by `package`.
    """
    read: dict[str, list[Reward]] = field(default_factory=lambda: defaultdict(list))

    def fails(self, place: str, task: str, member: int) -> bool:
        """Whether no reward of this member can be true."""
        if member < WELL or self.fault == "full disk":
            return False
        retried = place in SERVED or int(task.rpartition(" ")[2]) % 2
        return not (self.fault == "weight update in a call" and retried)

    def false(self, place: str) -> int:
        """How many rewards are not true ones."""
        return sum(
            reward is not None and (self.fails(place, task, member) or reward != true_reward(member))
            for task, member, reward in self.read[place]
        )

    def groups(self, place: str) -> dict[str, dict[int, float]]:
        """The rewards of each group that has some."""
        found: dict[str, dict[int, float]] = defaultdict(dict)
        for task, member, reward in self.read[place]:
            if reward is not None:
                found[task][member] = reward
        return found

    def shifted(self, place: str) -> int:
        """How many groups have another mean than that of their true rewards."""
        shifted = 0
        for task, rewards in self.groups(place).items():
            true = [true_reward(member) for member in rewards if not self.fails(place, task, member)]
            shifted += not true or fmean(rewards.values()) != fmean(true)
        return shifted

    def take_group(self, group: int, ended: Group | BaseException) -> None:
        """Read what an open gym handed out, and what of it TRL and verl are given."""
        if isinstance(ended, BaseException):
            if not isinstance(ended, GymError):
                raise ended
            self.asked += SIZE
            return
        self.asked += 0 if self.fault == "full disk" else SIZE - WELL
        for place, reader in HANDED.items():
            self.read[place] += reader(ended)

    def take_replies(self, place: str, rewards: Iterable[Reward]) -> None:
        """Read what a served agent replied to those who asked for a group."""
        self.served[place] += SIZE - WELL
        self.read[place] += rewards


# Places where rewards are taken while a trainer trains


def _handed(group: Group) -> Iterator[Reward]:
    for rollout, reward in zip(group.rollouts, group.rewards, strict=True):
        yield rollout.task_id, rollout.repeat, reward


def _for_trl(group: Group) -> Iterator[Reward]:
    columns = as_columns(to_trl(group.rollouts))
    yield from zip(columns["task_id"], columns["repeat"], columns["reward"], strict=True)


def _for_verl(group: Group) -> Iterator[Reward]:
    for outputs in verl_outputs(group, prompt_length=64, response_length=64):
        for output in outputs:
            yield from _verl(output)


HANDED: Mapping[str, Callable[[Group], Iterator[Reward]]] = {
    "an open gym's": _handed,
    "those for TRL": _for_trl,
    "those for verl": _for_verl,
}
"""What an open gym hands out, and what of it those trainers are given."""
Post = Callable[[str, Any], Awaitable[tuple[int, Any]]]
"""Sends JSON to a path; returns status and body, 0 and nothing where the caller has left."""


async def _by_run(post: Post, fault: str, group: int) -> list[Reward]:
    """A member at a time. A failure is an error status, or a row that bears a mask where that was asked for."""
    rows = [{**task(fault, group).row, "_ng_rollout_index": member} for member in range(SIZE)]
    replies = await asyncio.gather(*(post("/run", row) for row in rows))
    taken = [body if status == 200 else body.get("row") or {} for status, body in replies]
    return [(f"{fault} {group}", member, _unmasked(row)) for member, row in enumerate(taken)]


async def _by_run_group(post: Post, fault: str, group: int) -> list[Reward]:
    """All at once: the rewards of the group, and those of its rows."""
    status, body = await post("/run_group", {"task": task(fault, group).row, "size": SIZE})
    found = body if status == 200 else body.get("group") or {"rewards": [None] * SIZE, "rollouts": []}
    rewards = [*found["rewards"], *(row["reward"] for row in found["rollouts"])]
    return [(f"{fault} {group}", place % SIZE, reward) for place, reward in enumerate(rewards)]


MASKED, GROUPED = "`/run`, masked", "`POST /run_group`"
SERVED: Mapping[str, Callable[[Post, str, int], Awaitable[list[Reward]]]] = {
    "`POST /run`": _by_run,
    MASKED: _by_run,
    GROUPED: _by_run_group,
}
"""Ways to ask a served agent for a group."""


# Asking for rollouts

OPTIONS = {"api": "chat", "api_key": "unused", "max_retries": 1}


def settings(fault: str, url: str) -> dict[str, Any]:
    """Of an open gym, and of a served agent."""
    policy: dict[str, Any] = {**OPTIONS, "base_url": url, "tokens": True, "token_server": "vllm"}
    if fault == "time-out":
        policy = {**policy, "request_timeout": SECONDS, "max_retries": 0}
    judged = fault == "judge answers 429"
    models = {"policy": "openai:policy"} | ({"judge": "openai:judge"} if judged else {})
    options = {"policy": policy} | ({"judge": {**OPTIONS, "base_url": url}} if judged else {})
    server = (FaultyJudged if judged else Faulty)(None, ComponentContext(name="faulty"))
    deadlines = Deadlines(tool=SECONDS) if fault == "time-out" else Deadlines()
    return {
        "model": models,
        "model_options": options,
        "env": server,
        "agent": "simple_agent",
        "concurrency": 4096,
        "deadlines": deadlines,
    }


async def act(fault: str, gym: Gym | None, endpoint: Endpoint, server: FakeOpenAI, ready: Callable[[], bool]) -> None:
    """Do what the fault is, once all calls that it is to befall are under way."""
    while not ready():  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    if fault == "dead server":
        await server.go_down()
    elif gym is not None and fault == "cancellation":
        gym.cancel()
    elif gym is not None and fault == "weight update in a call":
        async with gym.paused(abort=True, retry=endpoint.retried):
            gym.version = int(gym.version or 0) + 1
            endpoint.updated = True


def held(fault: str, batch: Sequence[int], *, served: bool) -> int:
    """How many model calls of these groups are left without an answer until something is done."""
    if fault not in ("dead server", "weight update in a call", "cancellation") or (
        served and fault.startswith("weight")
    ):
        return 0
    return sum(not (fault == "dead server" and group % 2) for group in batch) * (SIZE - WELL)


def batches(groups: int) -> Iterator[list[int]]:
    """Groups to run at once: those with an even number first."""
    for half in (0, 1):
        numbers = [*range(half, groups, 2)]
        for start in range(0, len(numbers), AT_ONCE):
            yield numbers[start : start + AT_ONCE]


async def ask(fault: str, groups: int, output: Path, account: Account) -> None:
    """Ask an open gym for groups, and keep what it hands out, and what that is for TRL."""
    endpoint = Endpoint()
    async with FakeOpenAI(endpoint.turn, models=("policy", "judge")) as server, AsyncExitStack() as stack:
        gym = await stack.enter_async_context(gym_core.open(**settings(fault, server.base_url), output=output))
        for number, batch in enumerate(batches(groups)):
            endpoint.begin(retried=bool(batch[0] % 2))
            well = gym.spent.rollouts + len(batch) * WELL
            if fault == "full disk" and number:
                fill_disk(output)
            going = [asyncio.create_task(gym.group(task(fault, group), SIZE)) for group in batch]
            if wanted := held(fault, batch, served=False):
                await act(
                    fault, gym, endpoint, server,
                    lambda wanted=wanted, well=well: endpoint.held >= wanted and gym.spent.rollouts >= well,
                )  # fmt: skip
            for group, ended in zip(batch, await asyncio.gather(*going, return_exceptions=True), strict=True):
                account.take_group(group, ended)
            if fault == "dead server" and wanted:
                await server.come_back()
        free_disk()


def fill_disk(output: Path) -> None:
    """Let the file of rows grow by no more than half of one: from then on the system refuses its writes."""
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (output.stat().st_size + 500, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    )


def free_disk() -> None:
    """Let files grow again."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


async def ask_served(place: str, fault: str, groups: int, account: Account) -> None:
    """Ask a served agent for the same, over HTTP."""
    endpoint = Endpoint(aborts=True)
    redactor = Redactor()
    async with FakeOpenAI(endpoint.turn, models=("policy", "judge")) as server, AsyncExitStack() as stack:
        given = settings(fault, server.base_url)
        opened, _ = await open_rollouts(stack, run_config(models=given.pop("model"), **given), redactor)
        app = build(
            "agent",
            routes.routes(ServedRollouts(opened, redactor=redactor), masks_failures=place == MASKED),
            settings=ServeSettings(),
            describe={"name": "faulty", "gym_core": "0"},
            openapi=[openapi.openapi()],
            redactor=redactor,
        )
        listener = await stack.enter_async_context(Listener(app))
        # A thousand callers at once on a busy machine: nobody hurries, and nobody asks over a connection that may just
        # be closed for want of use.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        patient = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=patient))
        asking: set[asyncio.Task[tuple[int, Any]]] = set()

        async def answered(path: str, body: Any) -> tuple[int, Any]:
            async with http.post(f"{listener.url}{path}", json=body) as reply:
                return reply.status, await reply.json()

        async def post(path: str, body: Any) -> tuple[int, Any]:
            one = asyncio.create_task(answered(path, body))
            asking.add(one)
            try:
                return await one
            except asyncio.CancelledError:
                return 0, {}
            finally:
                asking.discard(one)

        for batch in batches(groups):
            endpoint.begin(retried=True)
            going = [asyncio.create_task(SERVED[place](post, fault, group)) for group in batch]
            if wanted := held(fault, batch, served=True):
                most = max(wanted, len(batch))  # callers, of members or groups, who wait where all that is well is over
                await act(
                    fault, None, endpoint, server,
                    lambda wanted=wanted, most=most: (
                        endpoint.held >= wanted >= opened.running and len(asking) <= most
                    ),
                )  # fmt: skip
                if fault == "cancellation":
                    for one in asking:
                        one.cancel()  # which closes the caller's connection
            for rewards in await asyncio.gather(*going):
                account.take_replies(place, rewards)
            if fault == "dead server" and wanted:
                await server.come_back()


# In TRL's own loop

IN_TRL = ("time-out", "killed tool", "raising verifier", "judge answers 429", "full disk")
"""What can befall TRL's own loop: it samples by itself, so it meets no server of the policy, and nobody cancels."""
MOST_IN_TRL = 100
"""Rollouts that each befalls there: all of them are trained on, which takes its time."""


def python_with_trl() -> Path | None:
    """The interpreter that `make test-foreign` made for TRL and gym, where it has."""
    python = ROOT / ".foreign" / "trl-live" / "bin" / "python"
    return python if python.exists() else None


def tried_in_trl(fault: str, rollouts: int, python: Path | None) -> Mapping[str, Any]:
    """Have a fault befall gym's environments in TRL's own loop; `said` where it was not tried, and why."""
    if fault not in IN_TRL:
        return {"said": "befalls nothing"}
    if python is None:
        return {"said": "not run: no TRL"}
    package, found = in_other_python("faults_trl.py", str(python), min(rollouts, MOST_IN_TRL), [fault], "gym")
    return {"package": package, **found[fault]}


# Reading what was exported


def exported(name: str, output: Path) -> list[Reward]:
    """The rewards that a format has of a run. `name`: of the format, and after a comma of what is to be masked."""
    written = output.with_name(f"{name}.jsonl")
    options = ("-O", "failures=masked") if name == MASKED_ROWS else ()
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        status = run_command(
            ("export", "--format", name.partition(",")[0], str(output), "--output", str(written), *options)
        )
    if status:
        raise SystemExit(f"gym export --format {name} ended with {status}: {said.getvalue()}")
    rows = [orjson.loads(line) for line in written.read_bytes().splitlines()]
    return [reward for row in rows for reward in READERS[name](row)]


def _plain(row: Mapping[str, Any]) -> Iterator[Reward]:
    yield row["task_id"], row["repeat"], row["reward"]


def _kto(row: Mapping[str, Any]) -> Iterator[Reward]:
    yield row["task_id"], row["repeat"], TRUE[row["label"]]


def _preference(row: Mapping[str, Any]) -> Iterator[Reward]:
    for side in ("rejected", "chosen"):
        member = int(item_text({"content": row[side][-1]["content"]}).split()[5])
        yield row["task_id"], member, row[f"{side}_reward"]


def _verl(row: Mapping[str, Any]) -> Iterator[Reward]:
    yield row["extra_fields"]["task_id"], row["extra_fields"]["repeat"], row["reward_score"]


def _verifiers(row: Mapping[str, Any]) -> Iterator[Reward]:
    reward = row["rewards"]["reward"]
    yield row["info"]["gym"]["task_id"], row["info"]["gym"]["repeat"], None if reward is None else reward["score"]


def _openenv(row: Mapping[str, Any]) -> Iterator[Reward]:
    for turn in row["turns"]:
        yield turn["metadata"]["task_id"], turn["metadata"]["repeat"], turn["metadata"]["reward"]


def _nemo(row: Mapping[str, Any]) -> Iterator[Reward]:
    yield row["task_id"], row["_ng_rollout_index"], _unmasked(row)


def _unmasked(row: Mapping[str, Any]) -> float | None:
    """The reward of a row where it bears no mask; one counts where it stands in both places that are looked at."""
    config = row.get("instance_config") or {}
    return None if row.get("mask_sample") and config.get("mask_sample") else row.get("reward")


MASKED_ROWS = "nemo, masked"


READERS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Reward]]] = {
    **dict.fromkeys(("sft", "tokens", "trl", "prime-rl"), _plain),
    "kto": _kto,
    "preference": _preference,
    "verl": _verl,
    "verifiers": _verifiers,
    "openenv": _openenv,
    "nemo": _nemo,
    MASKED_ROWS: _nemo,
}


# All of it


def measured(fault: str, rollouts: int, python: Path | None = None) -> Account:
    """Have a fault befall so many rollouts of an open gym, and as many that are served; read all places.

    `python`: the interpreter that has TRL and gym.
    """
    groups = max(rollouts // (SIZE - WELL), 2)
    account = Account(fault)
    with TemporaryDirectory(prefix="false-zeros-") as folder:
        output = Path(folder) / "x.jsonl"
        try:
            asyncio.run(ask(fault, groups, output, account))
        except GymError:
            if fault != "full disk":
                raise
        finally:
            free_disk()
        if fault != "full disk":  # a served agent writes no file
            for place in SERVED:
                asyncio.run(ask_served(place, fault, groups, account))
        for name in READERS:
            account.read[name] = exported(name, output)
    account.in_trl = tried_in_trl(fault, rollouts, python)
    return account


HEADS = (
    *("fault", "rollouts that it befell", *HANDED, *SERVED),
    *(f"{len(READERS)} formats", "`GymSpec` in TRL", "groups shifted"),
)


def line(account: Account) -> tuple[str, ...]:
    """The line of a fault: how many false rewards there are in each place, and how many groups have another mean."""
    places = (*READERS, *HANDED, *SERVED)
    trl = account.in_trl
    groups = sum(len(account.groups(place)) for place in places) + trl.get("groups", 0)
    shifted = sum(map(account.shifted, places)) + trl.get("shifted", 0)
    served = {*account.served.values()}
    if "before" in trl:
        in_trl = f"ends the training; {trl['false']} of {trl['before']:,} before it"
    else:
        in_trl = trl["said"] if "said" in trl else f"{trl['false']} of {trl['befell']:,}"
    return (
        account.fault,
        f"{account.asked:,}" + "".join(f" and {len(SERVED)} x {count:,} served" for count in served),
        *(str(account.false(place)) for place in HANDED),
        *(str(account.false(place)) if served else "writes none" for place in SERVED),
        str(sum(account.false(name) for name in READERS)),
        in_trl,
        f"{shifted:,} of {groups:,}",
    )


def write_table(part: str, heads: Sequence[str], lines: Sequence[Sequence[str]], about: str) -> None:
    """Put a table into the documentation, with the day."""
    sys.path.append(str(PAGE.parents[2] / "scripts"))
    from docs_markdown import replace_part, table

    replace_part(PAGE, part, f"Run on {datetime.now(UTC):%Y-%m-%d}: {about}.\n\n{table(heads, lines)}")


BESIDE = (
    *("5xx to the end", "finish_reason: abort", "dead server", "time-out", "killed tool"),
    *("raising verifier", "judge answers 429"),
)
BESIDE_TRL = ("time-out", "killed tool", "raising verifier", "judge answers 429")
"""Those that need no server of the policy: TRL samples by itself."""
BESIDE_HEADS = ("fault", "rollouts that it befell", "with a reward of 0.0")
SCRIPTS = ROOT / "plugins" / "training" / "tests" / "foreign"


def beside_turn(request: Received) -> Reply:
    """What the endpoint answers verifiers, and the judge of TRL's environments."""
    found = _MEMBER.search(request.data)
    assert found is not None
    group, fault, member = int(found[1]), found[2].decode(), int(found[3])
    if request.body["model"] == "judge":
        return faults.rate_limited(retry_after=0)
    if member < WELL:
        return completion([1], answer(member), "stop")
    if fault == "time-out":
        return faults.hang()
    if fault == "dead server":
        return faults.drop_before()
    if fault == "killed tool":  # a model that is told of an error gives up
        told = any(message["role"] == "tool" for message in request.body["messages"])
        return completion([1], "I cannot look." if told else None, "stop" if told else "tool_calls")
    if fault in ("5xx to the end", "finish_reason: abort"):
        return Endpoint().broken(fault, group, member, [1]) or faults.hang()
    return completion([1], answer(member), "stop")


def in_other_python(
    script: str, python: str, rollouts: int, which: Sequence[str], *more: str
) -> tuple[str, dict[str, dict[str, Any]]]:
    """Have a script of another interpreter meet faults: which package it has, and what it found by fault."""
    ours = [ROOT, ROOT / "plugins" / "training", ROOT / "plugins" / "simple_agent"]
    with FakeOpenAI(beside_turn, models=("policy", "judge")) as server:
        command = [python, str(SCRIPTS / script), server.base_url, str(rollouts), json.dumps(which), *more]
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, ours)), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    said = json.loads(done.stdout.splitlines()[-1])
    return said["package"], said["found"]


def beside(script: str, python: str, rollouts: int, which: Sequence[str]) -> tuple[str, list[tuple[str, ...]]]:
    """What others make of the same faults: which version it is, and the lines of a table."""
    package, found = in_other_python(script, python, rollouts, which)
    lines = [
        (fault, *(value if isinstance(value, str) else f"{value:,}" for value in one.values()))
        for fault, one in found.items()
    ]
    return package, lines


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=1000, help="that each fault befalls")
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--docs", action="store_true", help="write the table into the documentation")
    parser.add_argument("--trl", metavar="PYTHON", type=Path, default=python_with_trl(), help="that has TRL and gym")
    parser.add_argument("--beside", metavar="PYTHON", help="an interpreter that has verifiers, whose loop is tried")
    parser.add_argument("--beside-trl", metavar="PYTHON", help="an interpreter that has TRL, whose trainer is tried")
    arguments = parser.parse_args()
    others = [
        (arguments.beside, "verifiers", BESIDE, "without an error", "its own loop and rubric"),
        (arguments.beside_trl, "trl", BESIDE_TRL, "the training", "its own loop, with a scripted model"),
    ]
    for python, name, which, head, about in others:
        if python:
            package, lines = beside(f"faults_{name}.py", python, arguments.rollouts, which)
            print(package, *map(" | ".join, lines), sep="\n")
            if arguments.docs:
                write_table(f"false-zeros-{name}", (*BESIDE_HEADS, head), lines, f"{package}, {about}")
    if arguments.beside or arguments.beside_trl:
        return
    accounts = []
    for fault in arguments.faults.split(","):
        accounts.append(measured(fault, arguments.rollouts, arguments.trl))
        print(" | ".join(line(accounts[-1])), flush=True)
    if arguments.docs:
        packages = {account.in_trl["package"]: None for account in accounts if "package" in account.in_trl}
        about = ", with ".join(["`python benchmarks/false_zeros.py`, each fault in a run of its own", *packages])
        write_table("false-zeros", HEADS, [*map(line, accounts)], about)


if __name__ == "__main__":
    main()
