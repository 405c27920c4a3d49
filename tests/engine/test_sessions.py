"""A session's part in a rollout: opening, replying, judging, closing."""

from __future__ import annotations

import asyncio
import threading
from collections import UserDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import orjson
import pytest
from pydantic import BaseModel

from gym_core import Done, ResourceServer, Session, Status, Task, Trajectory, Verdict, blocking, user_message
from gym_core.errors import BadRequestError
from tests.support.envs import PlainSession, ask
from tests.support.models import ScriptedModel, say
from tests.support.running import collect, rollout


@pytest.mark.parametrize("style", ["plain", "async", "blocking"])
def test_functions_may_be_plain_async_or_blocking(style: str) -> None:
    calls: list[tuple[str, str]] = []

    def note(name: str) -> None:
        calls.append((name, threading.current_thread().name.partition("_")[0]))

    class Plain(Session[Any]):
        def setup(self) -> Any:
            note("setup")
            return [user_message("observed")]

        def reply(self, response: Any) -> Any:
            note("reply")
            return Done()

        def verify(self, trajectory: Trajectory) -> Any:
            note("verify")
            return 0.5

        def close(self) -> Any:
            note("close")

    class Async(Plain):
        async def setup(self) -> Any:
            return super().setup()

        async def reply(self, response: Any) -> Any:
            return super().reply(response)

        async def verify(self, trajectory: Trajectory) -> Any:
            return super().verify(trajectory)

        async def close(self) -> Any:
            super().close()

    class Blocking(Plain):
        @blocking
        def setup(self) -> Any:
            return super().setup()

        @blocking
        def reply(self, response: Any) -> Any:
            return super().reply(response)

        @blocking
        def verify(self, trajectory: Trajectory) -> Any:
            return super().verify(trajectory)

        @blocking
        def close(self) -> Any:
            super().close()

    ended = rollout(session={"plain": Plain, "async": Async, "blocking": Blocking}[style])
    assert ended.reward == 0.5
    assert [name for name, _ in calls] == ["setup", "reply", "verify", "close"]
    place = "gym-blocking" if style == "blocking" else "MainThread"
    assert {thread for _, thread in calls} == {place}


def test_what_setup_returns_is_the_opening_observation() -> None:
    class Opening(PlainSession):
        def setup(self) -> Any:
            return [user_message("You stand in a room.")]

    model = ScriptedModel("I look around.")
    ended = rollout(model, Opening)
    assert [item["content"] for item in model.requests[0].input] == ["Task 0.", "You stand in a room."]
    assert ended.response.output[0]["content"] == "You stand in a room."
    assert ended.row["responses_create_params"] == ask().row["responses_create_params"]


def test_reply_plays_the_user_until_it_is_done() -> None:
    class User(PlainSession):
        def setup(self) -> None:
            self.left = 2

        def reply(self, response: Any) -> Any:
            if not self.left:
                return Done(reason="satisfied")
            self.left -= 1
            return [user_message(f"More than {response.output_text}?")]

    model = ScriptedModel("1", "2", "3")
    ended = rollout(model, User)
    assert ended.stop_reason == "satisfied"
    texts = [item["content"] for item in model.requests[-1].input if item["role"] == "user"]
    assert texts == ["Task 0.", "More than 1?", "More than 2?"]
    assert [item["role"] for item in ended.response.output] == ["assistant", "user"] * 2 + ["assistant"]


def test_a_reply_that_is_done_leaves_the_models_stop_reason() -> None:
    assert rollout(ScriptedModel("done")).stop_reason == "completed"


@pytest.mark.parametrize("wrong", [None, 3, "text", [3]])
def test_a_reply_that_is_no_list_of_items_is_the_environments_failure(wrong: Any) -> None:
    class Wrong(PlainSession):
        def reply(self, response: Any) -> Any:
            return wrong

    ended = rollout(session=Wrong)
    assert (ended.status, ended.error and ended.error["phase"]) == (Status.ENV_ERROR, "reply")


@pytest.mark.parametrize("wrong", ["text", {"type": "message"}, [3]])
def test_an_opening_that_is_no_list_of_items_is_the_environments_failure(wrong: Any) -> None:
    class Wrong(PlainSession):
        def setup(self) -> Any:
            return wrong

    ended = rollout(session=Wrong)
    assert (ended.status, ended.error and ended.error["phase"]) == (Status.ENV_ERROR, "setup")


@pytest.mark.parametrize(
    "made",
    [
        lambda item: (each for each in [item]),
        lambda item: deque([item]),
        lambda item: [UserDict(item)],
        lambda item: [Said(**item)],
    ],
    ids=["generator", "deque", "mapping", "model"],
)
def test_items_of_any_json_form_are_an_opening_and_a_reply(made: Any) -> None:
    class Saying(PlainSession):
        def setup(self) -> Any:
            self.left = 1
            return made({"role": "user", "content": "first"})

        def reply(self, response: Any) -> Any:
            self.left -= 1
            return made({"role": "user", "content": "second"}) if self.left >= 0 else []

    model = ScriptedModel("1", "2")
    assert rollout(model, Saying).error is None
    assert [item["content"] for item in model.requests[-1].input if item["role"] == "user"][1:] == ["first", "second"]


def test_what_is_no_item_is_named() -> None:
    class Wrong(PlainSession):
        def setup(self) -> Any:
            return [{"role": "user", "content": "a"}, "a text"]

    error = rollout(session=Wrong).error
    assert error is not None
    assert error["message"] == "`setup` returned a list with 'a text' in it; an item is an object"


def judged(answer: Any) -> Any:
    class Judging(Session[Any]):
        def verify(self, trajectory: Trajectory) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    return rollout(session=Judging)


@pytest.mark.parametrize("reward", [0, 1, 0.25, -3.5, 7])
def test_a_finite_number_is_a_reward(reward: float) -> None:
    assert judged(reward).reward == reward


def test_a_verdict_has_components_and_info() -> None:
    ended = judged(Verdict(0.5, {"calls": 1.0, "answer": 0}, {"why": ["half"]}))
    assert (ended.reward, dict(ended.reward_components), ended.info) == (
        0.5,
        {"calls": 1.0, "answer": 0},
        {"why": ["half"]},
    )
    assert ended.row["reward_components"] == {"calls": 1.0, "answer": 0}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "1.0",
        b"1",
        1 + 0j,
        (1.0, {}),
        {"reward": 1.0},
        float("nan"),
        float("inf"),
        10**400,
        Decimal("NaN"),
        np.float32("inf"),
        np.str_("1.0"),
        np.array([1.0]),
        Verdict(float("nan")),
        Verdict("1"),  # type: ignore[arg-type]
        Verdict(1.0, None),  # type: ignore[arg-type]
        Verdict(1.0, [1.0]),  # type: ignore[arg-type]
        Verdict(1.0, {"x": np.array([1.0, 2.0])}),  # type: ignore[dict-item]
        Verdict(1.0, {"x": float("inf")}),
        Verdict(1.0, {"x": None}),  # type: ignore[dict-item]
        Verdict(1.0, {1: 2.0}),  # type: ignore[dict-item]
        RuntimeError("broken"),
    ],
    ids=repr,
)
def test_anything_else_is_a_failure_of_the_verifier_and_never_a_reward(answer: Any) -> None:
    ended = judged(answer)
    assert ended.status is Status.VERIFIER_ERROR
    assert ended.reward is None
    assert ended.row["reward"] is None
    assert ended.error is not None
    assert ended.error["phase"] == "verify"
    assert ended.response.output_text == "done"


@pytest.mark.parametrize(
    "info",
    [{"x": object()}, {"n": 10**5000}, {"b": b"\xff"}, "text", None],
    ids=["object", "endless int", "bytes", "no mapping", "none"],
)
def test_info_that_is_no_json_is_a_failure_of_the_verifier(info: Any) -> None:
    ended = judged(Verdict(1.0, info=info))
    assert (ended.status, ended.reward) == (Status.VERIFIER_ERROR, None)


class Said(BaseModel):
    role: str
    content: str


class Graded(Verdict):
    """A verdict of somebody's own."""


@pytest.mark.parametrize(
    "answer",
    [
        1,
        True,
        Decimal("1.0"),
        Fraction(1),
        np.float32(1),
        np.float64(1),
        np.int8(1),
        np.bool_(True),
        np.longdouble(1),
        np.array(1.0),
        Verdict(True),
        Verdict(np.float16(1), {"x": np.uint8(1), "y": True, "z": Fraction(1)}),  # type: ignore[arg-type, dict-item]
        Graded(1.0, {"x": Decimal(1)}),  # type: ignore[dict-item]
    ],
    ids=repr,
)
def test_a_number_of_any_kind_is_a_reward(answer: Any) -> None:
    ended = judged(answer)
    assert (repr(ended.reward), ended.error) == ("1.0", None)
    assert {repr(value) for value in ended.reward_components.values()} <= {"1.0"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "`verify` returned NoneType; it must be a number or a Verdict"),
        (np.array([1.0]), "`verify` returned numpy.ndarray of shape (1,); it must be a number or a Verdict"),
        (Verdict(np.float64("nan")), "`verify` gave reward = nan; it must be a finite number"),
        (Verdict(1.0, {"x": "high"}), "`verify` gave x = 'high', which is str; it must be a number"),  # type: ignore[dict-item]
        (Verdict(1.0, info={"x": [object()]}), "`verify` gave info that is no JSON: object has no JSON form"),
    ],
    ids=["none", "array", "nan", "component", "info"],
)
def test_a_verdict_that_is_none_is_told_why(answer: Any, said: str) -> None:
    assert judged(answer).error == {
        "class": "SessionError",
        "message": said,
        "phase": "verify",
        "retryable": False,
    }


def test_names_of_components_are_plain_text() -> None:
    names = judged(Verdict(1.0, {np.str_("a"): 1, "\ud800": 1})).reward_components
    assert [(name, type(name)) for name in names] == [("a", str), ("\ufffd", str)]


def test_a_model_is_info() -> None:
    assert judged(Verdict(1.0, info=Said(role="user", content="x"))).info == {  # type: ignore[arg-type]
        "role": "user",
        "content": "x",
    }


def test_info_is_kept_as_the_json_that_it_is() -> None:
    gone = iter([1, 2])
    info = {"n": 2**70, "s": "\ud800", "set": {2, 1}, "path": PurePosixPath("a"), "once": gone, 3: np.arange(2)}
    assert judged(Verdict(1.0, info=info)).info == {  # type: ignore[arg-type]
        "n": 2**70,
        "s": "�",
        "set": [1, 2],
        "path": "a",
        "once": [1, 2],
        "3": [0, 1],
    }


@pytest.mark.parametrize("depth", [300, 600, 5000])
def test_the_depth_of_info_costs_no_other_rollout(depth: int, tmp_path: Path) -> None:
    class Deep(Session[Any]):
        def verify(self, trajectory: Trajectory) -> Verdict:
            info: Any = "here"
            for _ in range(depth if self.task["deep"] else 0):
                info = [info]
            return Verdict(1.0, {}, {"info": info})

    class Server(ResourceServer):
        session_type = Deep

        def tasks(self) -> list[Task]:
            return [Task.ask("?", deep=number == 1) for number in range(4)]

    ended = collect(server=Server(), output=str(tmp_path / "o.jsonl"))
    assert sum(each.reward == 1.0 for each in ended) >= 3
    assert all(each.reward == 1.0 or each.status is Status.VERIFIER_ERROR for each in ended)
    lines = (tmp_path / "o.jsonl").read_bytes().splitlines()
    assert all(orjson.loads(line)["reward"] == 1.0 for line in lines)
    assert len(lines) == sum(each.reward == 1.0 for each in ended)


def test_the_verifier_sees_the_whole_trajectory() -> None:
    seen: list[Trajectory] = []

    class Looking(Session[Any]):
        def verify(self, trajectory: Trajectory) -> float:
            seen.append(trajectory)
            return 1.0

    rollout(ScriptedModel("the answer"), Looking)
    assert seen[0].input == ask().input
    assert seen[0].items == [say("the answer")]
    assert seen[0].output_text == "the answer"
    assert seen[0].stop_reason == "completed"
    assert len(seen[0].model_calls) == 1


@pytest.mark.parametrize("phase", ["__init__", "setup", "reply", "verify", "agent", "model"])
def test_the_session_is_closed_once_whatever_fails(phase: str) -> None:
    closed: list[str] = []

    class Failing(PlainSession):
        def __init__(self, *args: Any) -> None:
            if phase == "__init__":
                raise RuntimeError("broken")
            super().__init__(*args)

        def setup(self) -> None:
            if phase == "setup":
                raise RuntimeError("broken")

        def reply(self, response: Any) -> Any:
            if phase == "reply":
                raise RuntimeError("broken")
            return Done()

        def verify(self, trajectory: Trajectory) -> Any:
            if phase == "verify":
                raise RuntimeError("broken")

        def close(self) -> None:
            closed.append("closed")

    model = ScriptedModel(BadRequestError("no") if phase == "model" else "done")
    expected = {"verify": Status.VERIFIER_ERROR, "model": Status.MODEL_ERROR, "agent": Status.VERIFIER_ERROR}
    ended = rollout(model, Failing)
    assert ended.status is expected.get(phase, Status.ENV_ERROR)
    assert closed == ([] if phase == "__init__" else ["closed"])


def test_a_session_that_fails_to_close_keeps_its_verdict(caplog: pytest.LogCaptureFixture) -> None:
    class Clinging(PlainSession):
        def close(self) -> None:
            raise RuntimeError("stuck")

    assert rollout(session=Clinging).reward == 1.0
    assert "stuck" in caplog.text


def test_an_environment_may_open_its_sessions_itself() -> None:
    events: list[str] = []

    class Own(ResourceServer):
        def tasks(self) -> list[Task]:
            return [ask(0), ask(1, reward_wanted="none")]

        @asynccontextmanager
        async def open_session(self, task: Task, context: Any) -> AsyncIterator[Session[Any]]:
            events.append("open")
            try:
                yield PlainSession(task, self, context)
            finally:
                events.append("close")

    first, second = collect(server=Own(), concurrency=1)
    assert (first.reward, second.status) == (1.0, Status.VERIFIER_ERROR)
    assert events == ["open", "close"] * 2


def test_each_repeat_has_a_session_and_a_seed_of_its_own() -> None:
    seeds: list[tuple[int, float]] = []

    class Random(PlainSession):
        def setup(self) -> None:
            seeds.append((self.seed, self.rng.random()))

    from tests.support.envs import env

    collect(server=env(Random, 2), repeats=2, seed=5)
    first = list(seeds)
    assert len({seed for seed, _ in first}) == 4
    seeds.clear()
    collect(server=env(Random, 2), repeats=2, seed=5)
    assert sorted(seeds) == sorted(first)
    seeds.clear()
    collect(server=env(Random, 2), repeats=2, seed=6)
    assert not {seed for seed, _ in seeds} & {seed for seed, _ in first}


def test_models_get_a_seed_only_when_the_run_has_one() -> None:
    without, with_seed = ScriptedModel(), ScriptedModel()
    collect(without)
    collect(with_seed, seed=5)
    assert without.contexts[0].seed is None
    assert isinstance(with_seed.contexts[0].seed, int)
    assert with_seed.contexts[0].key == ("t0", 0)


def test_a_cancelled_tool_of_a_blocking_session_does_not_hold_the_run() -> None:
    release = threading.Event()

    class Stuck(PlainSession):
        @blocking
        def setup(self) -> None:
            release.wait(20)

    async def main() -> None:
        from gym_core.spi import run_rollout
        from tests.support.running import stage

        made = stage(ScriptedModel(), Stuck, setup=0.05)
        ended = await asyncio.wait_for(run_rollout(made, ask()), 10)
        release.set()
        assert ended.status is Status.TIMED_OUT
        made.executor.close()

    asyncio.run(main())
