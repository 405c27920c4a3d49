"""`gym stats`: the numbers of runs, side by side."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gym_core import Episode, user_message
from gym_core.cli.tables import facts
from gym_core.cli.terminal import Terminal
from tests.support.agents import FunctionAgent
from tests.support.envs import ask, env
from tests.support.models import ScriptedModel
from tests.support.running import run
from tests.support.tokens import TokenModel

if TYPE_CHECKING:
    from tests.support.exports import Gym


def collected(name: str, rewards: list[float], **settings: Any) -> dict[str, Any]:
    tasks = [ask(n, reward_wanted=reward, side="left" if n % 2 else "right") for n, reward in enumerate(rewards)]
    model = ScriptedModel(lambda request, context: ValueError("no") if context.key == ("t0", 1) else "yes")
    return run(model, env(tasks=tasks), output=Path(name), **settings).summary


def table(out: str) -> dict[str, list[str]]:
    """The cells of each line by its label."""
    cut = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in out.splitlines()]
    return {cells[0]: cells[1:] for cells in cut if cells}


def lines_of(out: str, name: str) -> dict[str, str]:
    """What the lines of a run say, by the titles above them."""
    found: dict[str, str] = {}
    for block in out.split("\n\n"):
        cut = [[cell for cell in re.split(r"  +", line.strip()) if cell] for line in block.splitlines()]
        for cells in cut[1:]:
            if cells[0] == name:
                found |= zip(cut[0][-len(cells) + 1 :], cells[1:], strict=True)
    return found


def test_one_file(gym: Gym) -> None:
    collected("x.jsonl", [0.0, 1.0, 1.0], repeats=2)
    result = gym("stats", "x.jsonl", "--by", "side")
    assert (result.status, result.err) == (0, "")
    lines = table(result.out)
    assert lines["x"] == []
    assert lines["with a verdict"] == ["5"]
    assert lines["failed"] == lines["model_error"] == ["1"]
    assert lines["reward"][0].startswith("0.8000 ± ")
    assert lines["with failures as 0"] == ["0.6667"]
    assert lines["right"][0].endswith(" over 3, 1 failed")
    assert lines["left"] == ["1.0000 over 2"]
    assert lines["pass@2"] == ["1.0000 ± 0.0000"]
    assert lines["tokens in"] == ["50"]
    assert lines["failed: BackendError (model)"] == ["1"]
    assert "\n  model_error " in result.out


def test_two_files_are_compared_task_by_task(gym: Gym) -> None:
    collected("a.jsonl", [0.0, 0.5, 1.0])
    collected("b.jsonl", [0.5, 0.5, 1.0, 1.0])
    result = gym("stats", "a.jsonl", "b.jsonl")
    assert lines_of(result.out, "a")["with a verdict"] == "3"
    assert lines_of(result.out, "b")["with a verdict"] == "4"
    assert lines_of(result.out, "b")["reward"] == "0.7500 ± 0.1250"
    assert result.out.startswith("model  scripted\nenv    tiny\n")
    assert result.out.splitlines()[-3:] == [
        "reward of b minus a: +0.1667 ± 0.1361 (95 %: -0.5504 to +0.8838), paired over 3 common tasks (1 only in b)",
        "  better in 1 of them, worse in 0, the same in 2",
        "  could show a difference of 0.8574",
    ]


def test_what_a_run_could_show_and_what_a_difference_takes(gym: Gym) -> None:
    wanted = iter([0.0, 1.0, 1.0, 1.0] * 5)
    for name in ("a", "b"):
        run(
            ScriptedModel(*["yes"] * 40),
            env(tasks=[ask(n, reward_wanted=next(wanted) if name == "a" else n % 2) for n in range(20)]),
            output=Path(f"{name}.jsonl"),
            repeats=2,
        )
    lines = table(gym("stats", "a.jsonl", "--detect", "0.1").out)
    assert lines["95 %"][0].startswith("0.5")
    assert lines["flips"] == ["0 of 20 tasks"]
    assert lines["could show"] == ["0.4123"]
    assert lines["to show 0.1"] == ["312 tasks"]
    out = gym("stats", "a.jsonl", "b.jsonl", "--detect", "0.1").out
    assert re.search(r"\n  could show a difference of 0\.\d{4}\n  to show 0\.1: \d+ tasks\n", out)
    value = json.loads(gym("stats", "a.jsonl", "b.jsonl", "--detect", "0.1", "--json").out)
    assert value["files"][0]["power"]["unpaired"]["tasks_needed"] == 312
    assert value["differences"][0]["power"]["repeats_needed"] is None


def test_json_has_everything(gym: Gym) -> None:
    summary = collected("a.jsonl", [0.0, 0.5], by=["side"])
    collected("b.jsonl", [1.0, 0.5])
    value = json.loads(gym("stats", "a.jsonl", "b.jsonl", "--by", "side", "--json").out)
    assert [file["file"] for file in value["files"]] == ["a.jsonl", "b.jsonl"]
    assert value["files"][0]["reward"] == summary["reward"]
    assert value["differences"][0]["difference"] == 0.5


def test_runs_without_common_tasks_say_so(gym: Gym) -> None:
    collected("a.jsonl", [0.0])
    run(ScriptedModel(), env(tasks=[ask(7)]), output=Path("b.jsonl"))
    assert "b and a have no task in common" in gym("stats", "a.jsonl", "b.jsonl").out


def test_different_inputs_are_pointed_out(gym: Gym) -> None:
    for name in ("a", "b"):
        Path(f"{name}.tasks").write_text(json.dumps({**ask(0).row, "extra": name}) + "\n", encoding="utf-8")
        run(ScriptedModel(), env(), input=f"{name}.tasks", output=Path(f"{name}.jsonl"))
    result = gym("stats", "a.jsonl", "b.jsonl")
    assert result.status == 0
    assert "warning: the tasks of a.jsonl and b.jsonl came from different inputs" in result.err


def test_files_of_one_name_are_told_apart(gym: Gym) -> None:
    collected("one/x.jsonl", [0.0])
    collected("two/x.jsonl", [0.0])
    out = gym("stats", "one/x.jsonl", "two/x.jsonl").out
    assert lines_of(out, "one/x.jsonl")["with a verdict"] == lines_of(out, "two/x.jsonl")["with a verdict"] == "1"


@pytest.mark.parametrize("width", [80, 120, None])
def test_nothing_is_hidden_at_any_width(gym: Gym, width: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Terminal, "width", width)
    names = ["a", "b-with-a-long-name", "c"]
    for name in names:
        collected(f"{name}.jsonl", [0.0, 0.5, 1.0], repeats=2)
    out = gym("stats", *(f"{name}.jsonl" for name in names), "--by", "side", "--by", "rollout.stop_reason").out
    assert "…" not in out
    table_part = out.split("reward of")[0]
    assert width is None or max(map(len, table_part.splitlines())) <= width
    titles = {*lines_of(out, "a")}
    assert titles >= {"with a verdict", "failed", "reward", "pass@1", "pass^2", "left", "right", "tokens in"}
    assert all({*lines_of(out, name)} == titles for name in names)


def test_a_glob_may_hold_failures_and_empty_runs(gym: Gym) -> None:
    collected("x.jsonl", [0.0, 1.0], repeats=2)
    Path("empty.jsonl").write_text("")
    result = gym("stats", "empty.jsonl", "x.failures.jsonl", "x.tools.jsonl", "x.jsonl")
    assert result.status == 0
    assert table(result.out)["with a verdict"] == ["3"]
    assert result.err.splitlines() == [
        "left out: empty.jsonl holds no rollout",
        "left out: x.failures.jsonl, which belongs to x.jsonl",
        "left out: x.tools.jsonl, which belongs to x.jsonl",
    ]
    value = json.loads(gym("stats", "empty.jsonl", "x.jsonl", "--json").out)
    assert [one["file"] for one in value["files"]] == ["x.jsonl"]
    Path("y.jsonl").write_text("")
    assert gym("stats", "empty.jsonl", "y.jsonl").status == 2
    assert "none of these files holds results" in gym("stats", "x.failures.jsonl", "y.failures.jsonl").err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.jsonl"], "nothing.jsonl cannot be read"),
        (["x.run.json"], "ends in `.jsonl`"),
        (["x.failures.jsonl"], "give x.jsonl"),
        (["x.jsonl", "x.jsonl"], "given twice"),
        (["x.jsonl", "--detect", "0"], "--detect"),
        (["x.jsonl", "--detect", "nan"], "--detect"),
        (["x.jsonl", "--by", "sied"], "no row has a value for the field `sied`"),
        (["x.jsonl", "--by", "stop_reson"], "did you mean `rollout.stop_reason`?"),
        ([], "missing argument 'FILE...'"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(gym: Gym, arguments: list[str], words: str) -> None:
    collected("x.jsonl", [0.0])
    result = gym("stats", *arguments)
    assert (result.status, result.out) == (2, "")
    assert words in result.err


def test_breaks_of_exact_tokens_have_a_line(gym: Gym) -> None:
    async def agent(episode: Episode) -> str:
        items = list(episode.request.input)
        for _ in range(3):
            items += [*(await episode.respond(items)).output, user_message("on")]
        return "completed"

    model = TokenModel("word by word", splits=True, versions=("1", "2"), silent=(2,))
    summary = run(model, env(), FunctionAgent(agent), output=Path("x.jsonl")).summary
    assert summary["exact_tokens"] == {"breaks": 1, "problems": 1, "mixed_versions": 1}
    said = (
        "1 calls went on from text encoded anew, 1 calls without usable tokens, 1 rollouts mix versions of the weights"
    )
    assert dict(facts(summary))["  exact"] == said
    lines = table(gym("stats", "x.jsonl").out)
    assert (lines["breaks"], lines["without usable"], lines["mixed weights"]) == (["1"], ["1"], ["1"])
