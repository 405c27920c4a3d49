"""Sessions of servers that fail in ways in which the real one does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import gym_core
from gym_core import Response, Rollout, UsageError
from gym_core.spi import Deadlines
from gym_testing import ScriptedModel, call
from tests.support.openenv_server import SmallServer

SEVEN_AND_THREE = (call("step", by=7), call("step", by=3))


def play(server: SmallServer, *script: Any, options: dict[str, Any] | None = None, **settings: Any) -> list[Rollout]:
    """The rollouts of a script, by default of one task."""

    async def collect() -> list[Rollout]:
        model = ScriptedModel(*(script or SEVEN_AND_THREE))
        async with asyncio.timeout(60), server.running() as url:
            run = gym_core.collect(
                model=model, env=f"openenv:{url}", env_options=options or {}, **{"limit": 1, **settings}
            )
            return [rollout async for rollout in run]

    return asyncio.run(collect())


def test_rewards_of_steps_are_summed_and_kept() -> None:
    (rollout,) = play(server := SmallServer(), options={"reset": {"level": 2, "name": "x"}, "seed": 5})
    assert (rollout.reward, rollout.stop_reason) == (0.7 + 0.3, "environment_done")
    assert rollout.info == {"rewards": [0.7, 0.3], "steps": 2, "done": True}
    assert server.resets == [{"seed": 5, "level": 2, "name": "x"}]
    assert rollout.row["task_id"] == "ten-5"
    assert "total: 0" in str(rollout.response.output[0])


def test_nothing_is_done_after_the_end() -> None:
    (rollout,) = play(SmallServer(), [call("step", by=10), call("step", by=1)])
    assert rollout.info["rewards"] == [1.0]


def test_a_full_server_is_waited_for() -> None:
    server = SmallServer(most=2, full=1)
    rollouts = play(server, limit=12)
    assert [rollout.reward for rollout in rollouts] == [1.0] * 12
    assert (server.sessions, server.peak, server.open) == (12, 2, 0)


@pytest.mark.slow
def test_waiting_for_a_place_is_no_set_up() -> None:
    server = SmallServer(most=1, slow=3.0)
    rollouts = play(server, call("step", by=10), limit=2, deadlines=Deadlines(setup=2.0))
    assert [rollout.reward for rollout in rollouts] == [1.0] * 2


def test_a_place_that_does_not_come_free_is_a_failure() -> None:
    rollouts = play(SmallServer(most=1, slow=1.0), limit=2, deadlines=Deadlines(waiting=0.3))
    assert sorted(rollout.status.value for rollout in rollouts) == ["completed", "env_error"]
    assert "the environment waited its turn for 0.3 s" in str([rollout.error for rollout in rollouts])


def test_a_connection_that_breaks_before_anything_was_seen_is_made_again() -> None:
    server = SmallServer(dropped=2)
    (rollout,) = play(server)
    assert (rollout.reward, server.sessions, len(server.resets)) == (1.0, 1, 3)


def test_a_lost_session_fails_its_rollout_and_is_not_begun_again() -> None:
    server = SmallServer(breaks=2)
    (rollout,) = play(server)
    assert (rollout.status.value, rollout.reward) == ("env_error", None)
    assert "the session was lost while asked to step" in str(rollout.error)
    assert server.sessions == 1


def test_pings_are_answered_while_the_model_thinks() -> None:
    async def think(request: Any, context: Any) -> Response | Any:
        await asyncio.sleep(1.5)  # the server's heart beats every 0.4 s
        return call("step", by=10)

    (rollout,) = play(SmallServer(), think)
    assert rollout.reward == 1.0


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("{", "answered step with what is no JSON"),
        ('{"type": "observation"}', "answered step without `data`"),
        ('{"type": "error", "data": {"code": "EXECUTION_ERROR", "message": "no\\nroom"}}', "EXECUTION_ERROR: no room"),
        ('{"type": "observation", "data": {"reward": "1"}}', "gave '1' as a reward"),
        ('{"type": "observation", "data": {"reward": [1]}}', "gave [1] as a reward"),
    ],
)
def test_what_a_server_says_wrongly_fails_the_rollout(says: str, words: str) -> None:
    (rollout,) = play(SmallServer(says=says))
    assert (rollout.status.value, rollout.reward) == ("env_error", None)
    assert words in str((rollout.error or {})["message"])


def test_an_action_that_does_not_fit_is_told_to_the_model() -> None:
    (rollout,) = play(SmallServer(), call("step", by="x"), *SEVEN_AND_THREE)
    assert rollout.reward == 1.0
    assert "by: Input should be a valid integer" in str(rollout.response.output)


def test_no_reward_is_no_reward_of_zero() -> None:
    (rollout,) = play(SmallServer(reward=None))
    assert (rollout.status.value, rollout.reward) == ("verifier_error", None)
    assert "gave no reward in 2 steps" in str(rollout.error)
    (idle,) = play(SmallServer(), "I would rather not.")
    assert (idle.status.value, idle.reward) == ("verifier_error", None)
    assert "-E unacted=0" in str(idle.error)
    (idle,) = play(SmallServer(), "I would rather not.", options={"unacted": -1})
    assert (idle.status.value, idle.reward) == ("completed", -1.0)
    (idle,) = play(SmallServer(reset_reward=0), "I would rather not.")
    assert (idle.status.value, idle.reward) == ("completed", 0.0)
    (acted,) = play(SmallServer(reset_reward=5))
    assert acted.reward == 1.0


def test_an_answer_that_comes_too_late_is_taken_for_none_other() -> None:
    server = SmallServer(slow=1.0)
    (rollout,) = play(server, deadlines=Deadlines(tool=0.2))
    assert rollout.reward is None
    assert server.sessions == 1


def test_a_token_is_sent() -> None:
    server = SmallServer()
    play(server, options={"token": "secret"})
    assert server.authorization == {"Bearer secret"}


def test_a_server_that_is_none_is_one_line() -> None:
    with pytest.raises(UsageError, match="/schema answers 404: is it an OpenEnv server"):
        play(SmallServer(schema_status=404))
    with pytest.raises(UsageError, match="its /schema has no `action`"):
        play(SmallServer(action=None))  # type: ignore[arg-type]

    async def nobody() -> None:
        async for _ in gym_core.collect(model=ScriptedModel(), env="openenv:http://127.0.0.1:9"):
            pass

    with pytest.raises(UsageError, match=r"no OpenEnv server answers at http://127\.0\.0\.1:9"):
        asyncio.run(nobody())


def test_answers_are_actions_of_one_text() -> None:
    with pytest.raises(UsageError, match="an answer is no action, whose fields are: by"):
        play(SmallServer(), options={"actions": "reply"})
