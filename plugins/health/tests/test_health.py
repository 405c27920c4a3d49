"""`gym health`: faults that were planted are found, and a run without any gives no finding."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gym_core import Episode, Item, Rollout, Stop, StopReason, Trajectory, encode_json, parse_json, tool
from gym_core.spi import run_command
from gym_health.checks import CHECKS, TRACKED, Check, Correlation, Histogram
from gym_health.finding import Seen
from tests.support.agents import FunctionAgent
from tests.support.envs import PlainSession, ask, env
from tests.support.models import ScriptedModel, call, response
from tests.support.running import run

Say = Callable[[int, int], Any]
"""What the model says to a task, by its number and that of the turn."""

USED = 40
COUNT = 30


class Session(PlainSession):
    """Rewards what the task names, and has a tool that works and one that does not."""

    @tool
    def look(self, at: str) -> str:
        """Look."""
        return f"there is {at}"

    @tool
    def broken(self) -> str:
        """Fail."""
        raise ValueError("no such table")


def said(text: str, tokens: int = USED) -> Any:
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return response(message, usage={"input_tokens": 10, "output_tokens": tokens})


def collected(
    say: Say, rewards: Iterable[float] | None = None, *, name: str = "x.jsonl", count: int = COUNT, **settings: Any
) -> Path:
    """A run whose model says that; every other task is worth 1, or what `rewards` say."""
    turns: dict[Any, int] = {}
    given = list(rewards) if rewards is not None else [float(n % 2) for n in range(count)]

    def answer(request: Any, context: Any) -> Any:
        turns[context.key] = turns.get(context.key, -1) + 1
        return say(int(context.key[0][1:]), turns[context.key])

    tasks = [ask(n, reward_wanted=given[n]) for n in range(count)]
    run(ScriptedModel(answer), env(settings.pop("session", Session), tasks), output=Path(name), **settings)
    return Path(name)


def healthy(number: int, turn: int) -> Any:
    return call("look", {"at": f"place {number}"}) if turn == 0 else said(f"It is {number}.", USED + number % 7)


@pytest.fixture
def health(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """The exit status and the findings, by check."""

    def call_it(path: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        status = run_command(["health", str(path), "--json", *arguments])
        found = json.loads(capsys.readouterr().out)
        return status, {finding["check"]: finding for finding in found["findings"]}

    return call_it


def test_a_run_without_faults_has_no_finding(capsys: pytest.CaptureFixture[str]) -> None:
    path = collected(healthy, repeats=2)
    assert run_command(["health", str(path)]) == 0
    assert capsys.readouterr().out == "x.jsonl: 60 rollouts with a verdict, nothing looks wrong\n"


def only(number: int, odd: Say) -> Say:
    return lambda n, turn: odd(n, turn) if n == number else healthy(n, turn)


def silent(n: int, turn: int) -> Any:
    return said("" if turn == 0 else "yes")


def reasoning(n: int, turn: int) -> Any:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    return response(thought) if turn == 0 else said("yes")


def looping(n: int, turn: int) -> Any:
    return call("look", {"at": "home"}, f"c{turn}") if turn < 5 else said("I give up")


def wordy(n: int, turn: int) -> Any:
    return said("word " * 10, 100 * USED)


@pytest.mark.parametrize(
    ("check", "fault", "detail"),
    [
        ("hollow-turn", reasoning, "model call 1 of "),
        ("hollow-turn", silent, "model call 1 of "),
        ("empty-answer", silent, "reward 1"),
        ("loop", looping, "look, 5 times"),
        ("runaway-length", wordy, "4,000 tokens out"),
    ],
)
def test_one_rollout_that_looks_wrong_is_named(check: str, fault: Say, detail: str, health: Any) -> None:
    path = collected(only(7, fault))
    status, findings = health(path)
    assert status == 1
    assert check in findings
    finding = findings[check]
    assert (finding["count"], finding["of"]) == (1, COUNT)
    (place,) = finding["rollouts"]
    assert (place["task_id"], place["repeat"]) == ("t7", 0)
    assert place["detail"].startswith(detail)
    rows = [parse_json(line) for line in path.read_bytes().splitlines()]
    assert rows[place["number"] - 1]["task_id"] == "t7"
    assert health(path, *(word for name in findings for word in ("--ignore", name))) == (0, {})


def test_an_answer_that_was_cut_and_rewarded(health: Any) -> None:
    async def cut(episode: Any) -> Stop:
        await episode.respond(list(episode.request.input))
        return Stop(StopReason.MAX_TURNS)

    tasks = [ask(n, reward_wanted=float(n == 2)) for n in range(4)]
    run(ScriptedModel(lambda *_: said("well")), env(Session, tasks), FunctionAgent(cut), output=Path("x.jsonl"))
    status, findings = health(Path("x.jsonl"))
    assert (status, [*findings]) == (1, ["cut-and-rewarded"])
    (place,) = findings["cut-and-rewarded"]["rollouts"]
    assert (place["task_id"], place["detail"]) == ("t2", "max_turns, reward 1")


@pytest.mark.parametrize("reward", [0.0, 0.5, 1.0])
def test_a_verifier_that_never_varies(reward: float, health: Any) -> None:
    status, findings = health(collected(healthy, [reward] * COUNT))
    assert (status, [*findings]) == (1, ["same-reward"])
    assert f"the reward {reward:g}" in findings["same-reward"]["text"]
    assert len(findings["same-reward"]["rollouts"]) == 5


def test_one_answer_to_everything(health: Any) -> None:
    status, findings = health(collected(lambda n, turn: said("I cannot help with that.", USED + n % 5)))
    assert (status, [*findings]) == (1, ["same-answer"])
    assert findings["same-answer"]["rollouts"][0]["detail"] == "I cannot help with that."


def test_a_verifier_with_moods(health: Any) -> None:
    drawn: Iterator[float] = iter([0.0, 1.0] * COUNT)

    class Moody(Session):
        def verify(self, trajectory: Trajectory) -> Any:
            return next(drawn)

    path = collected(healthy, session=Moody, repeats=3, count=5)
    _, findings = health(path)
    assert [*findings] == ["moody-verifier"]
    assert findings["moody-verifier"]["of"] == 15
    assert " in number " in findings["moody-verifier"]["rollouts"][0]["detail"]


def test_a_tool_that_never_works(health: Any) -> None:
    def fault(n: int, turn: int) -> Any:
        return [call("broken"), call("look", {"at": f"{n}"}), said(f"It is {n}.", USED + n % 7)][turn]

    status, findings = health(collected(fault))
    assert (status, [*findings]) == (1, ["tool-never-works"])
    finding = findings["tool-never-works"]
    assert (finding["count"], finding["of"]) == (COUNT, COUNT)
    assert "every call of broken fails alike: raised" in finding["text"]
    assert "no such table" in finding["rollouts"][0]["detail"]


@pytest.mark.parametrize(("answered", "found"), [(True, ["unanswered-call"]), (False, [])])
def test_a_call_that_nobody_answered(answered: bool, found: list[str], health: Any) -> None:
    """Where a tool answers no rollout at all, to call it is how one ends."""

    async def giving_up(episode: Episode) -> Stop:
        items = list(episode.request.input)
        response = await episode.respond(items)
        left = any(f'"{place}"' in str(response.function_calls) for place in ("place 3", "place 4"))
        if answered and not left:
            items += [*response.output, *await episode.call_tools(response.function_calls)]
            response = await episode.respond(items)
        return Stop(StopReason.COMPLETED)

    path = collected(healthy, agent=FunctionAgent(giving_up))
    _, findings = health(path, "--ignore", "empty-answer", "--ignore", "same-answer")
    assert [*findings] == found
    if found:
        assert findings["unanswered-call"]["count"] == 2
        assert [one["task_id"] for one in findings["unanswered-call"]["rollouts"]] == ["t3", "t4"]
        assert findings["unanswered-call"]["rollouts"][0]["detail"] == "look, reward 1"


def test_tasks_of_a_kind_that_are_never_right(health: Any) -> None:
    kinds = [("sum", "none", "most")[n % 3] for n in range(COUNT)]
    tasks = [ask(n, reward_wanted=float(kinds[n] != "none" and n % 5 > 0), kind=kinds[n]) for n in range(COUNT)]
    model = ScriptedModel(lambda request, context: said(f"It is {context.key[0]}.", USED + int(context.key[0][1:]) % 7))
    run(model, env(Session, tasks), output=Path("x.jsonl"))
    _, findings = health(Path("x.jsonl"))
    assert [*findings] == ["never-right"]
    assert (
        findings["never-right"]["text"]
        == "the reward is 0 in all rollouts where kind is none, and more in 80% of the others"
    )
    assert (findings["never-right"]["count"], findings["never-right"]["of"]) == (10, COUNT)


def test_a_verifier_that_is_inverted_for_tasks_of_a_kind(health: Any) -> None:
    """The rows show it where a task says its answer: that one is rewarded in all kinds but one."""
    kinds = [("sum", "turned", "most")[n % 3] for n in range(2 * COUNT)]
    right = [n % 4 < 2 for n in range(2 * COUNT)]
    rewards = [float(right[n] is not (kinds[n] == "turned")) for n in range(2 * COUNT)]
    tasks = [ask(n, reward_wanted=rewards[n], kind=kinds[n], expected=f"It is {n}.") for n in range(2 * COUNT)]

    def answer(request: Any, context: Any) -> Any:
        n = int(context.key[0][1:])
        return said(f"it is {n}." if right[n] else f"It is {n + 1}.", USED + n % 7)

    run(ScriptedModel(answer), env(Session, tasks), output=Path("x.jsonl"))
    _, findings = health(Path("x.jsonl"))
    assert [*findings] == ["never-right"]
    found = findings["never-right"]
    assert found["text"] == (
        "the reward of answers that are their task's expected is 0 in all rollouts where kind is turned, "
        "and more in 100% of the others"
    )
    assert (found["count"], found["of"]) == (10, 2 * COUNT)
    assert {one["detail"] for one in found["rollouts"]} == {"reward 0"}


def test_many_tasks_alike_are_never_right_by_chance(health: Any) -> None:
    chance = random.Random(0)
    tasks = [ask(n, reward_wanted=1.0, kind=f"kind {n % 40}") for n in range(200)]
    rewards = {(f"t{n}", repeat): float(chance.random() < 0.7) for n in range(200) for repeat in range(4)}
    seen = Counter[str]()

    class Chance(PlainSession):
        def verify(self, trajectory: Trajectory) -> float:
            seen[self.task.task_id] += 1
            return rewards[self.task.task_id, seen[self.task.task_id] - 1]

    model = ScriptedModel(lambda request, context: said(f"It is {context.key}.", USED + int(context.key[0][1:]) % 7))
    run(model, env(Chance, tasks), output=Path("x.jsonl"), repeats=4)
    _, findings = health(Path("x.jsonl"))
    assert "never-right" not in findings


def test_rewards_that_follow_length(health: Any) -> None:
    path = collected(lambda n, turn: said(f"It is {n}.", 20 + n), [n / COUNT for n in range(COUNT)])
    status, findings = health(path)
    assert (status, [*findings]) == (1, ["reward-follows-length"])
    assert findings["reward-follows-length"]["rollouts"][0]["task_id"] == f"t{COUNT - 1}"


def test_what_is_printed_leads_to_the_rollouts(capsys: pytest.CaptureFixture[str]) -> None:
    path = collected(only(7, looping))
    assert run_command(["health", ".", "--examples", "1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("loop: the same tool call at least 4 times in a row")
    assert lines[1] == "  1 of 30 rollouts (3.3%)"
    assert lines[-1] == f"{path}: 30 rollouts with a verdict, 1 finding"
    *words, key, tool_name, times, unit = lines[2].split()
    assert (key, tool_name, times, unit) == ("t7", "look,", "5", "times")
    assert run_command(words[1:]) == 0
    assert "Task 7." in capsys.readouterr().out


def test_failures_are_no_findings(health: Any) -> None:
    path = collected(only(3, lambda n, turn: ValueError("no")))
    assert path.with_name("x.failures.jsonl").exists()
    assert health(path) == (0, {})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.jsonl"], "nothing.jsonl cannot be read"),
        (["x.failures.jsonl"], "give x.jsonl"),
        (["x.jsonl", "--ignore", "lop"], "there is no check named 'lop'"),
        (["x.jsonl", "--examples", "-1"], "--examples"),
        (["torn.jsonl"], "torn.jsonl:1: not a row that gym wrote"),
        (["failed.jsonl"], "holds no rollout with a verdict"),
        (["empty"], "there is no run in empty"),
        ([], "missing argument"),
    ],
)
def test_bad_input_is_a_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    collected(healthy, count=2)
    collected(lambda n, turn: ValueError("no"), name="failed.jsonl", count=1)
    Path("torn.jsonl").write_text('{"a": 1}\n')
    Path("empty").mkdir()
    capsys.readouterr()
    assert run_command(["health", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "Traceback" not in err


def test_a_hostile_row_is_shown_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    path = collected(only(7, looping))
    path.write_bytes(path.read_bytes().replace(b'"t7"', b'"t7\\u001b[31m\\nevil"'))
    assert run_command(["health", str(path)]) == 1
    out = capsys.readouterr().out
    assert "\x1b[31m" not in out
    assert "\nevil" not in out


def rows(count: int) -> Iterator[Rollout]:
    """Many rollouts, no two alike."""
    line = Path("x.jsonl").read_bytes().splitlines()[0]
    for number in range(count):
        row = parse_json(line)
        row["task_id"] = f"t{number}"
        row["reward"] = float(number % 2)
        row["response"]["output"] = [
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": f"answer {number}"}]}
        ]
        yield Rollout(row)


def test_memory_does_not_grow_with_the_run() -> None:
    collected(healthy, count=1)
    checks: list[Check] = [check(5) for check in CHECKS.values()]

    def look(count: int) -> None:
        for number, rollout in enumerate(rows(count), 1):
            seen = Seen.of(number, rollout, rollout.reward or 0.0)
            for check in checks:
                check.look(seen)

    look(TRACKED + 100)
    tracemalloc.start()
    try:
        look(3_000)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 50_000


def test_a_histogram_knows_its_quantiles_within_a_bucket() -> None:
    counts = Histogram()
    for value in range(1, 1001):
        counts.add(value)
    assert counts.quantile(0.5) == pytest.approx(500, rel=0.1)
    assert counts.quantile(0.9) == pytest.approx(900, rel=0.1)
    assert counts.above(900) == pytest.approx(100, abs=50)


def test_correlation() -> None:
    pairs = Correlation()
    assert pairs.value is None
    for number in range(10):
        pairs.add(number, 3 * number)
    assert pairs.value == pytest.approx(1.0)


def test_items_of_no_known_form_are_looked_at_all_the_same(health: Any) -> None:
    path = collected(healthy)
    row = parse_json(path.read_bytes().splitlines()[0])
    odd: list[Item] = [{"type": "message"}, {"content": 5}, {"type": "message", "role": "assistant", "content": None}]
    row["response"]["output"] = odd
    row["rollout"]["tool_calls"] = [{"call": 99, "output": "x"}]
    path.write_bytes(encode_json(row) + b"\n")
    status, _ = health(path)
    assert status in (0, 1)
