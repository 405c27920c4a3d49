"""Environments of verifiers by their own loops; where verifiers is not installed, what can be said without it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import gym_core
from gym_check.audit.audit import Audit, AuditConfig
from gym_check.audit.finding import Severity
from gym_core import ComponentContext, Endpoint, Group, Rollout, TaskFailed, UsageError
from gym_core.errors import SessionError
from gym_core.spi import UniqueIds
from gym_testing import call
from gym_testing.models import ScriptedModel
from gym_verifiers import names
from gym_verifiers.authors import by_its_author
from gym_verifiers.environment import Verifiers, VerifiersOptions
from gym_verifiers.loaded import number, plain
from gym_verifiers.names import Named, fits, installed_version, named, venv_of
from gym_verifiers.scoring import Scores, Scoring, _noting, scoring

VERSION = installed_version() or ""
needs_verifiers = pytest.mark.skipif(not VERSION.startswith("0.3"), reason="verifiers 0.3 is not installed beside gym")
tasksets = pytest.mark.skipif(not VERSION.startswith("0.4"), reason="verifiers 0.4 is not installed beside gym")
ENV = "verifiers:saying"


def test_an_id_is_a_name_with_or_without_an_owner_and_a_version() -> None:
    assert named("wordle") == Named("wordle")
    assert named("owner/two-words@0.3") == Named("owner/two-words", "0.3")
    assert named("owner/two-words").module == "two_words"
    assert (named("a@0.3").requirement, named("a@0.3.1").requirement) == ("verifiers==0.3.*", "verifiers==0.3.1")
    assert named("a").requirement == "verifiers"
    assert fits(named("a@0.3"), "0.3.2.dev1")
    assert not fits(named("a@0.3"), "0.30.1")
    for wrong in ("", "@0.3", "../x", "a b", "a@latest", "a@0", "-r"):
        with pytest.raises(UsageError):
            named(wrong)


def test_its_venv_holds_verifiers_and_its_package() -> None:
    old, new = venv_of(named("no-such-environment@0.3")), venv_of(named("no-such-environment"))
    assert old is not None
    assert new is not None
    assert (old.name, old.packages) == (
        "verifiers:no-such-environment@0.3",
        ("verifiers==0.3.*", "no-such-environment"),
    )
    assert new.packages == ("verifiers", "uv", "no-such-environment")


def test_tasksets_that_come_with_verifiers_are_its_own_modules() -> None:
    assert named("owner/textarena@0.4").module == "verifiers.v1.tasksets.textarena"
    assert named("textarena@0.3").module == "textarena"
    venv = venv_of(named("textarena@0.4.99"))
    assert venv is not None
    assert venv.packages == ("verifiers==0.4.99", "uv", "verifiers[ta]")


def test_whether_a_taskset_is_here_is_seen_without_importing_verifiers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasksets = tmp_path / "verifiers" / "v1" / "tasksets"
    tasksets.mkdir(parents=True)
    (tmp_path / "verifiers" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tasksets / "textarena.py").touch()
    (tasksets / "harbor").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    for loaded in [name for name in sys.modules if name.partition(".")[0] == "verifiers"]:
        monkeypatch.delitem(sys.modules, loaded)
    asked = ("textarena@0.4", "harbor@0.4", "openenv@0.4", "verifiers", "no.such")
    found = [names.is_here(named(one)) for one in asked]
    assert found == [True, True, False, True, False]


def test_a_taskset_that_is_not_here_has_near_names_too(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"textarenas": ["textarenas"]}
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: owners)
    monkeypatch.setattr(importlib.metadata, "requires", {"textarenas": ["verifiers"]}.get)
    assert names.near_to(named("textarena@0.4")) == ["verifiers:textarenas"]


def test_a_near_name_is_named_and_bars_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"wordle_game": ["wordle-game"], "wordle_gam": ["of-something-else"], "odd": ["odd"]}
    needs = {"wordle-game": ["verifiers>=0.3; python_version>'3'"], "of-something-else": ["not ; a requirement"]}
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: owners)
    monkeypatch.setattr(importlib.metadata, "requires", needs.get)
    monkeypatch.setattr(names, "installed_version", lambda: "0.3.1")
    venv = venv_of(named("wordle-game2@0.3"))
    assert venv is not None
    assert venv.near() == ["verifiers:wordle_game"]
    assert "did you mean verifiers:wordle_game?" in names.unknown(named("wordle-game2")).message


def test_without_its_venv_one_line_says_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYM_HOME", str(tmp_path))
    with pytest.raises(UsageError) as refused:
        run("verifiers:no-such-environment@0.3")
    assert "lives in a venv of its own, which is not made yet" in refused.value.message
    assert "`gym install --isolated verifiers:no-such-environment@0.3` makes it" in refused.value.hint


def test_tasks_are_known_by_what_they_hold() -> None:
    ids = UniqueIds()
    first, again, other = ids.of({"a": 1}), ids.of({"a": 1}), ids.of({"a": 2})
    assert again == f"{first}-2"
    assert other not in (first, again)
    assert UniqueIds().of({"a": 1}) == first


def test_only_numbers_are_rewards() -> None:
    assert (number(True, "x"), number(2, "x")) == (1.0, 2.0)
    for wrong in (None, "1", float("nan"), float("inf"), [1.0]):
        with pytest.raises(TaskFailed):
            number(wrong, "the reward")
    assert plain({"a": (1, float("nan"), object)})["a"][:2] == [1, "nan"]


@pytest.mark.parametrize("returned", [KeyError("x"), "text", float("nan"), None])
@pytest.mark.parametrize("counts", [True, False])
def test_what_a_reward_function_raises_or_returns_is_noted(returned: Any, counts: bool) -> None:
    def reward(answer: str) -> Any:
        if isinstance(returned, Exception):
            raise returned
        return returned

    async def ask() -> Scoring:
        with scoring() as current:
            wrapped = _noting(reward, current, [state], counts, alone=True)
            assert list(inspect.signature(wrapped).parameters) == ["answer"]
            with pytest.raises((KeyError, ValueError, TypeError)):
                await wrapped(answer="a")
            return current

    state: dict[str, Any] = {}
    noted = asyncio.run(ask())
    if counts:
        assert noted.failures[0].startswith("the reward function reward failed: ")
    else:
        assert (noted.failures, list(noted.of(state).failed)) == ([], ["reward"])


def test_what_an_author_does_to_the_process_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    before = signal.getsignal(signal.SIGTERM)

    def load() -> None:
        with by_its_author(Named("a"), hide=("OPENAI_API_KEY",)):
            assert "OPENAI_API_KEY" not in os.environ
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            sys.exit(3)

    with pytest.raises(UsageError, match=r"it left with sys.exit\(3\)"):
        load()
    assert signal.getsignal(signal.SIGTERM) is before
    assert os.environ["OPENAI_API_KEY"] == "sk-mine"


def test_an_environment_that_blocks_while_it_loads_is_given_up_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    free, ticks = threading.Event(), list[int]()

    def blocks(*_: Any) -> None:
        free.wait(60)

    async def open_it() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, ticks.append, 1)
        async with Verifiers(VerifiersOptions(id="blocks", loading=0.1)):
            raise AssertionError("it is open")

    monkeypatch.setattr("gym_verifiers.environment.load", blocks)
    try:
        with pytest.raises(UsageError, match=r"verifiers:blocks did not load within 0\.1 s: it is in `wait`"):
            asyncio.run(open_it())
    finally:
        free.set()
    assert ticks == [1]


@pytest.fixture
def saying(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environments of `saying.py`, importable as an installed package is."""
    here = Path(__file__).parent
    for place in (here, here / "foreign" / "tasksets"):
        monkeypatch.syspath_prepend(str(place))
    yield
    for name in ("saying", "saying_taskset", "judging_taskset", "weighted_words"):
        sys.modules.pop(name, None)


def run(env: str = ENV, *script: Any, models: Any = None, **settings: Any) -> list[Rollout]:
    async def collect() -> list[Rollout]:
        model = {"policy": ScriptedModel(*(script or ("0",))), **(models or {})}
        async with asyncio.timeout(120):
            return [one async for one in gym_core.collect(model=model, env=env, concurrency=1, **settings)]

    return asyncio.run(collect())


def of(kind: str, *script: Any, **settings: Any) -> list[Rollout]:
    options = {"args": {"kind": kind}, "columns": ["tries"]}
    return run(ENV, *script, env_options=options, **settings)


def grouped(kind: str, *script: Any, **settings: Any) -> list[Group]:
    async def collect() -> list[Group]:
        options = {"args": {"kind": kind}}
        model = ScriptedModel(*(script or ("0",)))
        settings["concurrency"] = 1
        found = gym_core.collect_groups(model=model, env=ENV, repeats=2, env_options=options, **settings)
        return [one async for one in found]

    return asyncio.run(collect())


@needs_verifiers
@pytest.mark.usefixtures("saying")
class TestClassic:
    """Packages with `load_environment`."""

    def test_a_single_turn_earns_what_its_rubric_gives(self) -> None:
        right, wrong = of("single")
        assert [right.reward, wrong.reward] == [1.0, 0.0]
        assert right.row["reward_components"] == {"exact": 1.0}
        assert right.row["responses_create_params"]["input"][0]["role"] == "system"
        assert (right.status.value, right.stop_reason, len(right.model_calls)) == ("completed", "completed", 1)

    def test_tools_are_carried_out_by_its_loop(self) -> None:
        rollouts = of("tool", call("add", a=0, b=1), "1")
        assert [one.reward for one in rollouts] == [0.0, 1.0]
        assert all(len(one.model_calls) == 2 for one in rollouts)

    def test_several_turns_keep_their_state(self) -> None:
        lost, won = of("multi", "5", "1", "0")
        assert (lost.stop_reason, won.stop_reason) == ("max_turns", "found")
        assert won.info["state"] == {"tries": 2}

    def test_a_failure_is_no_reward(self) -> None:
        for one in of("broken"):
            assert (one.status.value, one.reward) == ("verifier_error", None)
            assert "the reward function broken failed" in str(one.error)
        for one in of("infra", "5", "6"):
            assert (one.status.value, one.reward) == ("env_error", None)
            assert "the box is gone" in str(one.error)

    def test_a_metric_that_counts_nothing_is_left_out_where_it_fails(self) -> None:
        for one in of("table"):
            assert (one.reward is not None, one.error) == (True, None)
            assert one.row["rollout"]["metrics"].keys() == {"num_turns"}
            assert "table" in one.info["failed_metrics"]

    def test_environments_in_one_keep_their_tools_and_weights(self) -> None:
        rollouts = of("envs")
        assert [one.reward for one in rollouts] == [1.0, 0.0, 1.0, 0.0]
        assert rollouts[0].row["reward_components"] == {"exact": 1.0}
        assert [bool(one.row["responses_create_params"].get("tools")) for one in rollouts] == [False, False, True, True]

    def test_a_rubric_of_the_group_scores_it(self) -> None:
        groups = grouped("group")
        assert sorted(group.verdicts[0].reward for group in groups) == [1.0, 1.5]
        assert all(group.error is None for group in groups)
        assert sorted(group.rollouts[0].reward or 0.0 for group in groups) == [0.0, 0.5]

    def test_a_model_that_says_nothing_escapes_no_verdict(self) -> None:
        for one in of("single", ""):
            assert (one.status.value, one.reward, one.stop_reason) == ("completed", 0.0, "silent")

    def test_what_looks_at_one_rollout_is_asked_once(self) -> None:
        def words(request: Any, context: Any) -> str:
            return ("0", "long")[context.key[1]]

        (group,) = grouped("once", words, limit=1)
        assert sys.modules["saying"].asked == ["0", "long"]
        assert [group.verdicts[0].reward, group.verdicts[1].reward] == [0.1, 1.4]
        assert [one.info["scored"] for one in group] == ["alone", "alone"]
        assert [one.info["scored"] for one in group.judged] == ["with its group"] * 2

    def test_a_rollout_without_a_group_has_no_reward_that_nobody_gave(self) -> None:
        assert [one.reward for one in of("only")] == [1.0, 1.0]
        for one in of("pairs"):
            assert (one.status.value, one.reward) == ("verifier_error", None)
            assert "without its group, it cannot be scored" in str(one.error)

    def test_a_group_whose_scoring_failed_can_be_asked_for_again(self) -> None:
        async def ask() -> None:
            async with gym_core.open(
                model=ScriptedModel("0"), env=ENV, env_options={"args": {"kind": "troubled"}}
            ) as opened:
                sys.modules["saying"].trouble.append("the disk")
                group = await opened.group(await opened.task(0), 2)
                assert group.error is not None
                assert "the reward function troubled failed" in group.error["message"]
                assert [one.reward for one in group] == [1.0, 1.0]

        asyncio.run(ask())

    def test_the_states_of_a_group_stay_until_it_is_scored_and_its_verdicts_stay_then(self) -> None:
        async def ask() -> None:
            server = Verifiers(VerifiersOptions(id="saying", args={"kind": "troubled"}), ComponentContext())
            async with server:
                loaded: Any = server.environment
                rollouts = [Rollout({"task_id": "a", "reward": 0.0, "rollout": {"repeat": n}}) for n in (0, 1)]
                for one in rollouts:
                    client = loaded._client(Endpoint("http://nowhere/v1", "token"))
                    state = await loaded._env.init_state({"prompt": "Go.", "answer": "0"}, client, "policy")
                    state["completion"] = [{"role": "assistant", "content": "0"}]
                    loaded._keep(one.key, (state, Scores()))
                sys.modules["saying"].trouble.append("the disk")
                with pytest.raises(SessionError, match="the disk"):
                    await loaded.score_group(rollouts)
                said = await loaded.score_group(rollouts)
                assert [one.reward for one in said] == [1.5, 1.5]
                assert await loaded.score_group(rollouts) == said

        asyncio.run(ask())

    @pytest.mark.parametrize("kind", ["single", "multi", "tool", "group"])
    def test_an_audit_plays_its_own_loop(self, kind: str) -> None:
        audit = Audit(AuditConfig(env=ENV, options={"args": {"kind": kind, "riddles": True}}))
        report = asyncio.run(asyncio.wait_for(audit.run(), 120))
        assert report.tasks == 2
        assert [one for one in report.findings if one.severity is Severity.ERROR] == []
        assert all(result.verdicts == 2 for result in report.policies if result.name != "leak")
        assert report.tools == (("add",) if kind == "tool" else ())

    def test_the_judge_of_the_run_answers_what_it_asks_by_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
        judge = ScriptedModel("yes", role="judge")
        options = {"args": {"kind": "judge"}, "judge": True}
        rollouts = run(ENV, env_options=options, models={"judge": judge})
        assert [one.reward for one in rollouts] == [1.0, 1.0]
        assert [call["role"] for call in rollouts[0].model_calls] == ["policy", "judge"]
        assert os.environ["OPENAI_API_KEY"] == "sk-mine"
        with pytest.raises(UsageError, match="asks a `judge` model"):
            run(ENV, env_options=options)
        with pytest.raises(UsageError, match="OPENAI_API_KEY"):
            run(ENV, env_options={"args": {"kind": "judge"}})

    @pytest.mark.parametrize(
        ("kind", "message", "hint"),
        [
            ("exit", "it left with sys.exit(3)", "-v"),
            ("key", "OPENAI_API_KEY", "see_keys"),
            ("fetch", "failed to connect", "it fetches something from https://data.example/questions.parquet"),
        ],
    )
    def test_what_cannot_be_loaded_is_one_line(
        self,
        kind: str,
        message: str,
        hint: str,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
        with pytest.raises(UsageError) as refused:
            of(kind)
        assert "Failed to load" not in "".join(capfd.readouterr())
        assert message in refused.value.message
        assert hint in refused.value.hint

    def test_what_it_prints_is_no_matter(self) -> None:
        assert [one.reward for one in of("print")] == [1.0, 0.0]


@tasksets
@pytest.mark.usefixtures("saying")
class TestTasksets:
    """Tasksets of 0.4, played by the chat that comes with them."""

    ENV: ClassVar[dict[str, Any]] = {"agent": {"harness": {"id": "null"}, "runtime": {"type": "subprocess"}}}

    def test_its_rewards_and_metrics_are_the_verdict(self) -> None:
        right, wrong = run("verifiers:saying_taskset", env_options={"env": self.ENV})
        assert [right.reward, wrong.reward] == [1.0, 0.0]
        assert right.row["reward_components"] == {"exact": 1.0}
        assert len(right.model_calls) == 1

    def test_a_failure_is_no_reward(self) -> None:
        options = {"env": self.ENV, "args": {"broken": True}}
        for one in run("verifiers:saying_taskset", env_options=options):
            assert (one.status.value, one.reward) == ("verifier_error", None)

    def test_the_judge_of_the_run_answers_what_it_asks_by_itself(self) -> None:
        judge = ScriptedModel("yes", role="judge")
        options = {"env": self.ENV, "judge": True}
        rollouts = run("verifiers:judging_taskset", env_options=options, models={"judge": judge})
        assert [one.reward for one in rollouts] == [1.0, 1.0]
        assert [call["role"] for call in rollouts[0].model_calls] == ["policy", "judge"]

    HERE: ClassVar[dict[str, Any]] = {"agent": {"runtime": {"type": "subprocess"}}}
    """What is enough for a taskset that brings a chat of its own."""

    def test_tries_of_one_agent_keep_their_rewards_apart(self) -> None:
        env = {"id": "best-of-n", "n": 3, **self.HERE}
        (first, *_) = run("verifiers:weighted_words", "0", "no", "22", env_options={"env": env})
        assert list(first.rewards) == ["agent", "agent-2", "agent-3"]
        assert (first.reward, len(set(first.rewards.values()))) == (first.rewards["agent"], 3)

    def test_an_audit_plays_its_own_loop(self) -> None:
        audit = Audit(AuditConfig(env="verifiers:weighted_words", options={"env": self.HERE}))
        report = asyncio.run(asyncio.wait_for(audit.run(), 300))
        assert report.tasks == 3
        assert [one for one in report.findings if one.severity is Severity.ERROR] == []
        assert all(result.verdicts == 3 for result in report.policies if result.name != "leak")
