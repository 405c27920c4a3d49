"""An environment behind a URL does what it does in process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import orjson
import pytest

from gym_core import (
    ComponentContext,
    Done,
    Item,
    Options,
    ResourceServer,
    Response,
    Session,
    Task,
    Trajectory,
    UsageError,
    Verdict,
    encode_json,
    tool,
    user_message,
)
from gym_core.spi import run_config
from tests.support.agents import LoopAgent
from tests.support.envs import ask, env, row
from tests.support.models import ScriptedModel, call, say
from tests.support.running import Ended, config, execute, timeless_calls
from tests.support.served_envs import in_loop, served


class CounterSession(Session[Any]):
    """One of everything that a session can do."""

    concurrent_tools = False

    def setup(self) -> Sequence[Item]:
        self.count = self.task.get("start", 0)
        return [user_message(f"The counter is at {self.count}, the seed {self.seed}.")]

    @tool
    def increment(self, by: int) -> str:
        """Add `by` to the counter."""
        self.count += by
        return str(self.count)

    @tool
    async def look(self) -> dict[str, int]:
        """Read the counter."""
        await asyncio.sleep(0)
        return {"count": self.count}

    @tool
    def fail(self) -> str:
        """Fail."""
        raise RuntimeError("no such luck")

    @tool
    def picture(self) -> list[dict[str, str]]:
        """Show the counter."""
        return [{"type": "input_image", "image_url": "data:,x"}]

    @tool
    def finish(self) -> Done:
        """End the episode."""
        return Done("bye", reason="gave_up")

    def reply(self, response: Response) -> Sequence[Item] | Done:
        if "more" in response.output_text:
            return [user_message("Go on.")]
        return Done(reason="user_left") if "leave" in response.output_text else Done()

    def verify(self, trajectory: Trajectory) -> Verdict:
        calls = [call.role for call in trajectory.model_calls]
        return Verdict(
            float(self.count), {"calls": len(trajectory.tool_calls)}, {"stop": trajectory.stop_reason, "asked": calls}
        )


class Counter(ResourceServer):
    """A counter."""

    session_type = CounterSession

    def tasks(self) -> Iterator[Task]:
        return iter([ask(number, start=number) for number in range(5)])


def counter() -> ResourceServer:
    return Counter(None, ComponentContext(name="counter"))


def both(model: Any, server: Any = counter, **settings: Any) -> tuple[Ended, Ended]:
    """The same run in process and over HTTP; `model` and `server` make new ones."""

    async def main() -> tuple[Ended, Ended]:
        here = await execute(config(model(), server(), LoopAgent(), **settings))
        async with served(server()) as url:
            there = await execute(config(model(), url, LoopAgent(), **settings))
        return here, there

    return in_loop(main)


def comparable(ended: Ended) -> list[Any]:
    """The rows without what differs from run to run."""
    rows = []
    for rollout in sorted(ended.rollouts, key=lambda rollout: rollout.key):
        about = {name: value for name, value in rollout.row["rollout"].items() if name not in ("run_id", "timing")}
        rows.append({**rollout.row, "rollout": timeless_calls(about)})
    return rows


@pytest.mark.parametrize(
    "turns",
    [
        pytest.param([call("increment", {"by": 2}), call("look"), say("Done.")], id="tools"),
        pytest.param([call("increment", {"by": "x"}), say("Done.")], id="bad-arguments"),
        pytest.param([call("increment", "{by"), say("Done.")], id="bad-json"),
        pytest.param([call("nothing"), say("Done.")], id="unknown-tool"),
        pytest.param([call("fail"), say("Done.")], id="raises"),
        pytest.param([call("picture"), say("Done.")], id="parts"),
        pytest.param([call("finish"), say("Never.")], id="done"),
        pytest.param([say("more"), say("Done.")], id="reply"),
        pytest.param([say("leave")], id="reply-done"),
    ],
)
def test_rows_are_those_of_the_same_run_in_process(turns: list[Any]) -> None:
    here, there = both(lambda: ScriptedModel(*turns), limit=2, repeats=2, seed=7)
    assert comparable(here) == comparable(there)
    assert {rollout.row["rollout"]["env"] for rollout in there.rollouts} == {"counter"}


class OddSession(Session[Any]):
    """Gives what is no plain JSON, wherever something is given."""

    def setup(self) -> Sequence[Item]:
        return [user_message(os.fsdecode(b"caf\xe9")) | {"at": {3, 1}, "n": 2**70}]

    @tool
    def values(self) -> Any:
        """Values."""
        return {"path": PurePosixPath("a"), "n": 2**70, "mean": np.float32(0.5), 3: Decimal("1.5"), "s": "\ud800"}

    @tool
    def parts(self) -> Any:
        """Parts."""
        return [{"type": "input_text", "text": os.fsdecode(b"\xff"), "n": {2**70}}]

    @tool
    def finish(self) -> Done:
        """End the episode."""
        return Done({2, 1}, reason=os.fsdecode(b"\xff"))

    def reply(self, response: Response) -> Sequence[Item] | Done:
        if response.output_text == "more":
            return [user_message("Go on.") | {"seen": np.arange(2), "p": Decimal(1)}]
        return Done()

    def verify(self, trajectory: Trajectory) -> Verdict:
        info = {"at": {2, 1}, "n": 2**70, "s": "\ud800", 1: PurePosixPath("a"), "mean": np.mean([0.5])}
        return Verdict(np.bool_(True), {"half": Decimal("0.5"), "n": np.int64(1)}, info)  # type: ignore[arg-type, dict-item]


@pytest.mark.parametrize(
    "turns",
    [
        pytest.param([call("values"), say("Done.")], id="values"),
        pytest.param([call("parts"), say("Done.")], id="parts"),
        pytest.param([call("finish"), say("Never.")], id="done"),
        pytest.param([say("more"), say("Done.")], id="reply"),
    ],
)
def test_what_is_no_plain_json_comes_to_the_same_row(turns: list[Any]) -> None:
    here, there = both(lambda: ScriptedModel(*turns), lambda: env(OddSession), tasks=[ask(0)])
    written = [encode_json(comparable(ended)) for ended in (here, there)]
    assert here.statuses() == ["completed"]
    assert written[0] == written[1]
    (rollout,) = there.rollouts
    assert rollout.reward == 1.0
    assert rollout.info == {"at": [1, 2], "n": 2**70, "s": "\ufffd", "1": "a", "mean": 0.5}


class OpenSession(Session[Any]):
    """Answers tools that only the request names."""

    open_tools = True
    concurrent_tools = True

    def call_open_tool(self, name: str, arguments: Any) -> str:
        return f"{name} {orjson.dumps(arguments).decode()}"

    def verify(self, trajectory: Trajectory) -> float:
        return 1.0


def test_open_and_concurrent_tools() -> None:
    tools = [{"type": "function", "name": "anything", "parameters": {"type": "object"}}, {"type": "web_search"}]
    task = ask(params={"tools": tools})
    turns: list[Any] = [[call("anything", {"a": 1}), call("anything", "[]", "c2")], say("Done.")]
    here, there = both(
        lambda: ScriptedModel(*turns),
        lambda: env(OpenSession, [task]),
    )
    assert comparable(here) == comparable(there)


def test_a_tool_that_the_environment_lacks_fails_the_rollout_when_it_opens() -> None:
    task = ask(params={"tools": [{"type": "function", "name": "missing", "parameters": {}}]})
    here, there = both(lambda: ScriptedModel(say("Hm.")), lambda: env(CounterSession, [task]))
    assert here.statuses() == there.statuses() == ["env_error"]
    assert "missing" in (there.rollouts[0].error or {})["message"]


class BrokenSession(Session[Any]):
    def setup(self) -> None:
        if self.task["where"] == "setup":
            raise KeyError("the library is broken")

    def reply(self, response: Response) -> Done:
        if self.task["where"] == "reply":
            raise ValueError("the user is gone")
        return Done()

    def verify(self, trajectory: Trajectory) -> float:
        raise ZeroDivisionError("the verifier is broken")


@pytest.mark.parametrize("where", ["setup", "reply", "verify"])
def test_failures_there_are_those_of_the_same_phase(where: str) -> None:
    here, there = both(lambda: ScriptedModel(say("Done.")), lambda: env(BrokenSession, [ask(where=where)]))
    assert here.statuses() == there.statuses()
    ours, theirs = (ended.rollouts[0].error or {} for ended in (here, there))
    assert theirs["phase"] == ours["phase"] == where
    assert ours["message"].strip("'") in theirs["message"]
    assert theirs["class"] == "RemoteError"


async def collect(url: str, *turns: Any, **settings: Any) -> Ended:
    return await execute(config(ScriptedModel(*(turns or (say("Done."),))), url, LoopAgent(), **settings))


def test_tasks_come_page_by_page_and_no_more_than_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gym_http.remote.environment.PAGE", 3)
    taken: list[int] = []

    class Endless(ResourceServer):
        """Endless."""

        session_type = CounterSession

        def tasks(self) -> Iterator[Task]:
            number = 0
            while True:
                taken.append(number)
                yield ask(number)
                number += 1

    async def main() -> Ended:
        async with served(Endless(None, ComponentContext(name="endless"))) as url:
            return await collect(url, limit=7)

    ended = in_loop(main)
    assert sorted(rollout.task_id for rollout in ended.rollouts) == [f"t{number}" for number in range(7)]
    assert len(taken) < 20


def test_over_a_socket_file_with_a_token(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> Ended:
        async with served(counter(), uds=str(short_folder / "s"), token="tiger-tiger") as url:
            assert url == f"unix:{short_folder / 's'}"
            with pytest.raises(UsageError, match="wants a token") as caught:
                await collect(url)
            assert "GYM_REMOTE_TOKEN" in caught.value.hint
            monkeypatch.setenv("GYM_REMOTE_TOKEN", "wrong")
            with pytest.raises(UsageError, match="token"):
                await collect(url)
            monkeypatch.setenv("GYM_REMOTE_TOKEN", "tiger-tiger")
            return await collect(url, output=short_folder / "out.jsonl")

    assert in_loop(main).statuses() == ["completed"] * 5
    assert not any(b"tiger" in path.read_bytes() for path in short_folder.glob("out*"))


class Sized(Counter):
    """A counter with an option."""

    class Options(Options):
        """Its options."""

        size: int = 1


def test_the_manifest_says_what_is_behind_the_url_and_resuming_compares(short_folder: Path) -> None:
    out = short_folder / "out.jsonl"

    def started(size: int) -> ResourceServer:
        return Sized(Sized.Options(size=size), ComponentContext(name="counter"))

    async def go(size: int, **settings: Any) -> Ended:
        async with served(started(size), uds=str(short_folder / "s")) as url:
            return await collect(url, output=out, **settings)

    in_loop(lambda: go(3, limit=2))
    about = orjson.loads((short_folder / "out.run.json").read_bytes())["settings"]["env"]
    assert about["ref"] == f"unix:{short_folder / 's'}"
    assert about["component"]["name"] == "counter"
    assert about["component"]["options"] == {"size": 3}
    assert len(in_loop(lambda: go(3, limit=4, mode="resume")).rollouts) == 2
    with pytest.raises(UsageError, match=r"env\.component\.options\.size: 3 -> 4"):
        in_loop(lambda: go(4, mode="resume"))


class JudgedSession(Session[Any]):
    """Asks a judge."""

    roles = ("judge",)

    async def verify(self, trajectory: Trajectory) -> float:
        answer = await self.models["judge"].respond("How good was it?")
        return float(answer.output_text)


def test_a_judge_of_the_run_is_lent_to_the_server() -> None:
    async def main() -> Ended:
        async with served(env(JudgedSession, 3)) as url:
            models = {
                "policy": ScriptedModel(say("Done.")),
                "judge": ScriptedModel(say("0.5")),
            }
            return await execute(config(models, url, LoopAgent()))

    ended = in_loop(main)
    assert [rollout.reward for rollout in ended.rollouts] == [0.5] * 3
    assert [made["role"] for made in ended.rollouts[0].model_calls] == ["policy", "judge"]


def test_a_server_with_a_judge_of_its_own_needs_none() -> None:
    async def main() -> Ended:
        async with served(env(JudgedSession, 1), models={"judge": ScriptedModel(say("0.25"))}) as url:
            return await collect(url)

    assert in_loop(main).rollouts[0].reward == 0.25


def test_a_run_without_the_judge_is_refused_before_anything_is_asked() -> None:
    async def main() -> None:
        async with served(env(JudgedSession, 1)) as url:
            await collect(url)

    with pytest.raises(UsageError, match="asks a `judge` model") as caught:
        in_loop(main)
    assert caught.value.hint == "--model judge=REF"


def test_the_agent_that_the_environment_prefers_is_taken() -> None:
    class Preferring(Counter):
        """Prefers another agent."""

        preferred_agent = "nobody_has_this_one"

    async def main() -> None:
        async with served(Preferring(None, ComponentContext(name="counter"))) as url:
            wanted = config(ScriptedModel(), url)
            await execute(run_config(models=wanted.components.models, env=url))

    with pytest.raises(UsageError, match="nobody_has_this_one"):
        in_loop(main)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://user:pass@127.0.0.1:1", "user name or a password"),
        ("http://127.0.0.1:1/?a=b", "ends with its path"),
        ("http://", "is no URL"),
        ("unix:", "names no socket"),
    ],
)
def test_a_url_that_is_none_is_refused(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        in_loop(lambda: collect(url))
    assert "pass" not in str(caught.value).replace("password", "")


def test_our_own_server_by_the_routes_of_nemo_gym() -> None:
    tasks = [row(number, start=number) for number in range(3)]
    for each in tasks:
        each["responses_create_params"]["tools"] = [{"type": "function", "name": "increment", "parameters": {}}]

    async def main() -> Ended:
        async with served(counter()) as url:
            return await collect(
                url, call("increment", {"by": 2}), say("Done."), tasks=tasks, env_options={"api": "nemo"}
            )

    ended = in_loop(main)
    assert sorted(rollout.reward or 0 for rollout in ended.rollouts) == [2.0, 3.0, 4.0]
    for rollout in ended.rollouts:
        assert (rollout.reward_components, rollout.info["calls"]) == ({}, 1)  # they do not sum to the reward
        assert rollout.response.output[0]["content"].startswith("The counter is at")
