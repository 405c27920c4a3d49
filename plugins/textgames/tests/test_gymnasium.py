"""Environments of Gymnasium: right and wrong answers earn what the environment gives."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import pytest

import gym_core
from gym_core import Rollout, Status, UsageError
from gym_testing import ScriptedModel, call
from gym_textgames.environment import GameServer, Gymnasium, TextArena
from gym_textgames.game import Settings
from gym_textgames.libraries.gymnasium_library import GymnasiumGame, plain, without_colours

Play = Callable[..., Rollout]
Make = Callable[..., GameServer]
FIRM = {"is_slippery": False}
ACROSS = ("down", "down", "right", "right", "down", "right")
"""The way over the frozen lake."""


class Words(gymnasium.Env[str, str]):
    """Says what it heard, and ends at `bye`."""

    def __init__(self) -> None:
        characters = "abcdefghijklmnopqrstuvwxyz "
        self.action_space = gymnasium.spaces.Text(20, charset=characters)
        self.observation_space = gymnasium.spaces.Text(40, min_length=0, charset=characters)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        return "hello", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        print("this must not be seen")
        if action == "leave":
            sys.exit(3)
        return f"you said {action}", float(len(action)), action == "bye", False, {}


class Switches(gymnasium.Env[Any, Any]):
    """Three switches of three positions; the reward is their sum."""

    def __init__(self) -> None:
        self.action_space = gymnasium.spaces.MultiDiscrete([3, 3, 2])
        self.observation_space = gymnasium.spaces.Discrete(1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return 0, float(action.sum()), True, False, {}


gymnasium.register("gym-test/Words-v0", lambda **_: Words())
gymnasium.register("gym-test/Switches-v0", lambda **_: Switches())


@pytest.mark.parametrize(
    ("name", "script", "options", "reward"),
    [
        ("FrozenLake-v1", ACROSS, {"make": FIRM}, 1.0),
        ("FrozenLake-v1", ("right", "I go down."), {"make": FIRM}, 0.0),  # into a hole
        ("FrozenLake-v1", tuple("112212"), {"make": FIRM}, 1.0),
        ("FrozenLake-v1", ("S", "S", "O", "O", "S", "O"), {"make": FIRM, "names": ["W", "S", "O", "N"]}, 1.0),
        ("CliffWalking-v1", ("up", *("right",) * 11, "down"), {}, -13.0),
        ("CliffWalking-v1", ("right", "up", *("right",) * 11, "down"), {}, -113.0),
        ("Taxi-v4", ("pickup", "dropoff", "north"), {"steps": 3}, None),
        ("Blackjack-v1", ("stick",), {}, None),
        ("CartPole-v1", ("left",) * 12, {}, None),
        ("gym-test/Words-v0", ("abc", "bye"), {}, 6.0),
        ("gym-test/Switches-v0", ("2 1 1",), {}, 4.0),
        ("gym-test/Switches-v0", ("9 9 9", "[0, 0, 1]"), {}, 1.0),
    ],
)
def test_the_reward_is_the_return_of_the_episode(
    rolled: Play, name: str, script: tuple[str, ...], options: dict[str, Any], reward: float | None
) -> None:
    rollout = rolled(name, *script, **options)
    assert rollout.status is Status.COMPLETED, rollout.error
    assert rollout.reward == sum(rollout.info["rewards"])
    if reward is not None:
        assert rollout.reward == reward
        assert rollout.info["ended"] == "terminated"


def test_what_is_seen_opens_the_conversation(rolled: Play) -> None:
    rollout = rolled("FrozenLake-v1", *ACROSS, make=FIRM)
    seen = [item["content"] for item in rollout.trajectory.items if item.get("role") == "user"]
    assert "[S]FFF\nFHFH\nFFFH\nHFFG" in str(seen[0]).replace("\\n", "\n")
    assert "left, down, right, up" in str(rollout.trajectory.input)
    assert rollout.stop_reason == "terminated"


def test_actions_may_be_calls(rolled: Play) -> None:
    rollout = rolled("FrozenLake-v1", *(call("act", action=way) for way in ACROSS), make=FIRM, actions="tool")
    assert (rollout.reward, rollout.info["steps"], rollout.stop_reason) == (1.0, 6, "terminated")
    rollout = rolled("FrozenLake-v1", "right", "right", "right", make=FIRM, actions="tool")
    assert (rollout.reward, rollout.info["steps"], rollout.stop_reason) == (0.0, 0, "invalid_action")


def test_an_answer_that_names_no_action_is_told_so_and_too_many_end_it(rolled: Play) -> None:
    rollout = rolled("FrozenLake-v1", "hm", "well", "down", "hm", "hm", "hm", make=FIRM)
    assert (rollout.reward, rollout.stop_reason) == (0.0, "invalid_action")
    assert (rollout.info["steps"], rollout.info["invalid"]) == (1, 5)
    assert "That names no action" in str(rollout.trajectory.items)
    rollout = rolled("FrozenLake-v1", "hm", make=FIRM, invalid=0)
    assert (rollout.info["steps"], rollout.stop_reason) == (0, "invalid_action")


@pytest.mark.parametrize(
    ("answer", "action"),
    [
        ("up", 3),
        ("I was left alone; I go <b>Up</b>!", 3),
        ("<think>right or left</think> down", 1),
        ("3", 3),
        ("7", None),
        ("upwards", None),
        ("", None),
        ("9" * 5000, None),
    ],
)
def test_the_last_action_that_is_named_counts(answer: str, action: int | None) -> None:
    game = Gymnasium.library.make("FrozenLake-v1", Settings())
    assert isinstance(game, GymnasiumGame)
    assert game.read(answer) == action


def test_the_same_seed_is_the_same_game_also_among_others(made: Make) -> None:
    async def rewards(concurrency: int) -> dict[tuple[str, int], Any]:
        env = made(Gymnasium, "FrozenLake-v1", tasks=6)
        model = ScriptedModel(*("right", "down") * 60)
        run = gym_core.collect(
            model=model, env=env, repeats=3, concurrency=concurrency, agent_options={"max_turns": 99}
        )
        return {rollout.key: [str(item) for item in rollout.trajectory.items] async for rollout in run}

    alone, together = asyncio.run(rewards(1)), asyncio.run(rewards(18))
    assert alone == together
    assert alone[("FrozenLake-v1-0", 0)] == alone[("FrozenLake-v1-0", 2)]
    assert alone[("FrozenLake-v1-0", 0)] != alone[("FrozenLake-v1-3", 0)]


def test_prints_are_dropped_and_an_exit_is_that_rollouts_failure(rolled: Play, capsys: Any) -> None:
    rollout = rolled("gym-test/Words-v0", "abc", "leave")
    assert rollout.error is not None
    assert "gym-test/Words-v0 failed in `step`: RuntimeError: it called sys.exit(3)" in rollout.error["message"]
    assert "this must not be seen" not in "".join(capsys.readouterr())


def enter(env: GameServer) -> None:
    async def through() -> None:
        async with env:
            pass

    asyncio.run(through())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("FrozenLak-v1", {}, "gymnasium has no 'FrozenLak-v1'; did you mean FrozenLake-v1"),
        ("", {}, "gymnasium needs an id"),
        ("Pendulum-v1", {}, "only text and discrete ones can be said by a model"),
        ("no_such_module:Thing-v0", {}, "the module `no_such_module` is not installed"),
        ("FrozenLake-v1", {"names": ["a", "b"]}, "it has 4 actions, and `names` holds 2: a, b"),
        ("FrozenLake-v1", {"make": {"no_such": 1}}, "cannot be made: TypeError: "),
    ],
)
def test_what_cannot_be_played_is_said_before_anything_runs(
    made: Make, name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        enter(made(Gymnasium, name, **options))
    assert message in str(caught.value)
    assert "\n" not in caught.value.message


def test_where_a_world_wanted_to_go_is_told(made: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    fetches = 'import socket\nsocket.create_connection(("localhost", 9), timeout=5)\n'
    (tmp_path / "fetching_world.py").write_text(fetches)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match="cannot be made: ConnectionRefusedError") as refused:
        enter(made(Gymnasium, "fetching_world:Thing-v0"))
    assert "it fetches something from localhost" in refused.value.hint


def test_a_library_that_is_not_installed_is_one_line(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TextArena.library, "package", "no_such_package")
    with pytest.raises(UsageError) as caught:
        enter(made(TextArena, "TicTacToe-v0"))
    assert caught.value.hint == 'pip install "gym-textgames[textarena]"'


def test_a_row_without_a_seed_is_a_failure(made: Make, tmp_path: Any) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text('{"responses_create_params": {"input": "Go."}, "seed": -1}\n', encoding="utf-8")

    async def collect() -> list[Rollout]:
        env = made(Gymnasium, "FrozenLake-v1")
        return [rollout async for rollout in gym_core.collect(model=ScriptedModel("up"), env=env, input=file)]

    (rollout,) = asyncio.run(collect())
    assert rollout.error is not None
    assert "`seed` is -1" in rollout.error["message"]


def test_listing_imports_no_library() -> None:
    code = (
        "import sys, gym_textgames as g; g.gym_resource_servers(); print([n for n in sys.modules if n == 'gymnasium'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_colours_become_brackets_and_observations_text() -> None:
    assert without_colours("\x1b[41mS\x1b[0mF \x1b[34;1mR\x1b[0m \x1b[35mG\x1b[0m") == "[S]F (R) <G>"
    assert plain({"a": (1, 0.25), "b": "text"}) == "a: 1, 0.25\nb: text"
    assert plain([[1, 2], [3, 4]]) == "[[1 2]\n[3 4]]"
