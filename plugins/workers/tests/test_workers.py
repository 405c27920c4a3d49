"""A run over two processes: what a user sees is what he sees of one."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import gym_core
from gym_core import CallInfo, Rollout, RunInfo, Task, UsageError, hookimpl, parse_json
from gym_core.spi import open_run
from tests.support.envs import env
from tests.support.models import ScriptedModel
from tests.support.processes import alive
from tests.support.running import Ended, read_jsonl, timeless_calls
from tests.support.spread import COMPONENTS, told, write_tasks
from tests.support.spread_runs import config, run, wait

pytestmark = [
    pytest.mark.usefixtures("spread_plugins"),
    pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets"),
]


def processes(ended: Ended) -> set[int]:
    return {rollout.info["process"] for rollout in ended.rollouts}


def steady(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what differs between any two runs."""
    about = {name: value for name, value in row["rollout"].items() if name not in ("run_id", "timing", "info")}
    return {**row, "rollout": timeless_calls(about)}


def test_rows_and_summary_are_those_of_one_process(tmp_path: Path) -> None:
    fields = {"level": 1.50, "broken": False}
    tasks = [told(number, {**fields, "kind": f"k{number % 3}", "broken": number == 5}) for number in range(20)]
    source = write_tasks(tmp_path / "in.jsonl", tasks)
    rows, summaries = [], []
    for workers in (1, 2):
        output = tmp_path / f"{workers}.jsonl"
        ended = run(input=source, output=output, repeats=2, workers=workers, by=["kind"], seed=7)
        found = [*read_jsonl(output), *read_jsonl(output.with_name(f"{workers}.failures.jsonl"))]
        rows.append(sorted(map(steady, found), key=lambda row: (row["task_id"], row["rollout"]["repeat"])))
        summaries.append(ended.summary)
        lines = output.read_bytes().splitlines()
        assert all(line.startswith(tuple(source.read_bytes().replace(b"}\n", b",\n").splitlines())) for line in lines)
    assert rows[0] == rows[1]
    assert len(rows[0]) == 40
    written = [{line["hash"] for line in read_jsonl(tmp_path / f"{workers}.tools.jsonl")} for workers in (1, 2)]
    assert written[0] == written[1] == {row["rollout"]["request"] for row in rows[1] if "request" in row["rollout"]}
    assert len(read_jsonl(tmp_path / "2.tools.jsonl")) == len(written[1])
    for part in ("statuses", "reward", "usage", "cost", "tools", "rollouts"):
        assert summaries[0][part] == summaries[1][part]
    assert [group["count"] for group in summaries[1]["errors"]] == [2]
    assert summaries[1]["health"]["models"]["policy"]["calls"] == 40
    assert summaries[1]["health"]["workers"]["started"] == 2


def test_both_workers_work_and_are_gone_afterwards(tmp_path: Path) -> None:
    ended = run(tasks=[told(number, meet=str(tmp_path)) for number in range(8)], concurrency=2)
    assert len(processes(ended)) == 2
    assert os.getpid() not in processes(ended)
    assert not any(map(alive, processes(ended)))


def test_seeds_are_those_of_one_process() -> None:
    seeds = [
        {rollout.task_id: rollout.info["seed"] for rollout in run(workers=workers, seed=3).rollouts}
        for workers in (1, 2)
    ]
    assert seeds[0] == seeds[1]


def test_components_of_the_callers_own_cannot_be_sent() -> None:
    with pytest.raises(UsageError, match="name it by its reference"):
        config(model=ScriptedModel())
    with pytest.raises(UsageError, match="env is an instance"):
        config(env=env())


def test_a_secret_is_in_no_argument_and_no_row(tmp_path: Path) -> None:
    key = "sk-of-nobody-else-4711"
    output = tmp_path / "x.jsonl"
    ended = run(
        tasks=[told(0, say="the key is KEY"), told(1, log=f"it was {key}")],
        model_options={"policy": {"key": key}},
        output=output,
        log_file=tmp_path / "log",
    )
    assert all(key not in " ".join(rollout.info["arguments"]) for rollout in ended.rollouts)
    assert b"the key is ***" in output.read_bytes()
    assert "it was ***" in (tmp_path / "log").read_text()
    for path in tmp_path.iterdir():
        assert key.encode() not in path.read_bytes()


def test_collect_yields_and_leaving_early_ends_the_workers(tmp_path: Path) -> None:
    async def main() -> Rollout:
        tasks = [told(0), *(told(number, hang=True) for number in range(1, 30))]
        stream = gym_core.collect(**COMPONENTS, tasks=tasks, workers=2, concurrency=4, output=tmp_path / "x.jsonl")
        rollout = await anext(stream)
        await stream.aclose()
        return rollout

    rollout = wait(main())
    assert rollout.task_id == "t0"
    assert rollout.response.output_text == "done"
    assert not alive(rollout.info["process"])
    cancelled = read_jsonl(tmp_path / "x.failures.jsonl")
    assert {row["rollout"]["status"] for row in cancelled} <= {"cancelled"}
    assert len(cancelled) <= 4


def test_tasks_and_rollouts_stream() -> None:
    """A task is asked for only while there is room, and each rollout is there as soon as it has ended."""
    asked: list[int] = []

    async def tasks() -> Any:
        for number in range(200):
            asked.append(number)
            yield told(number, hang=number % 10 == 9)

    async def main() -> None:
        stream = gym_core.collect(**COMPONENTS, tasks=tasks(), workers=2, concurrency=2)
        await anext(stream)
        await stream.aclose()

    wait(main())
    assert len(asked) < 200


FATAL = {"wrong key": "the key is refused", "bad request": "the first 5 rollouts all failed alike"}


@pytest.mark.slow
@pytest.mark.parametrize(("error", "words"), FATAL.items(), ids=FATAL)
def test_what_hits_all_alike_stops_all_workers_and_can_be_resumed(error: str, words: str, tmp_path: Path) -> None:
    def tasks(**directions: Any) -> list[Task]:
        return [told(number, **directions) for number in range(40)]

    first = run(tasks=tasks(error=error), output=tmp_path / "x.jsonl", concurrency=4)
    assert words in str(first.error)
    assert first.summary["state"] == "stopped"
    assert {rollout.status.value for rollout in first.rollouts} == {"cancelled"}
    assert first.summary["rollouts"]["failed"] == 0
    again = run(tasks=tasks(), output=tmp_path / "x.jsonl", mode="resume")
    assert again.summary["rollouts"]["with_verdict"] == 40
    assert len(read_jsonl(tmp_path / "x.jsonl")) == 40


def test_one_refusal_is_one_failure() -> None:
    tasks = [told(number, **({"error": "bad request"} if number == 3 else {})) for number in range(10)]
    ended = run(tasks=tasks)
    assert sorted(ended.statuses()) == ["completed"] * 9 + ["model_error"]


@pytest.mark.slow
def test_the_last_stragglers_are_let_go() -> None:
    tasks = [told(number, hang=number == 4) for number in range(10)]
    ended = run(tasks=tasks, finish_at=0.9)
    assert ended.summary["state"] == "finished"
    (straggler,) = [rollout for rollout in ended.rollouts if rollout.reward is None]
    assert (straggler.task_id, straggler.stop_reason) == ("t4", "finish_at")


def test_what_is_no_plain_json_is_written_all_the_same(tmp_path: Path) -> None:
    odd = {"deep": [{2**70, "\ud800"}], 3: Decimal("1.5")}
    ended = run(tasks=[told(number, {"thing": odd}) for number in range(4)], output=str(tmp_path / "o.jsonl"))
    assert ended.statuses() == ["completed"] * 4
    plain = {"odd": [2**70], "7": "\ufffd", "thing": {"deep": [["\ufffd", 2**70]], "3": "1.5"}}
    for line in (tmp_path / "o.jsonl").read_bytes().splitlines():
        info = parse_json(line)["rollout"]["info"]
        assert {name: info[name] for name in plain} == plain


def test_what_workers_log_need_not_be_json() -> None:
    ended = run(tasks=[told(0, log=["\ud800"]), told(1, log=2**70)])
    assert ended.statuses() == ["completed"] * 2


def test_a_task_that_is_no_json_fails_alone() -> None:
    tasks = [told(0), told(1, {"thing": object()}), told(2)]
    ended = run(tasks=tasks)
    assert {rollout.task_id: rollout.status.value for rollout in ended.rollouts} == {
        "t0": "completed", "t1": "env_error", "t2": "completed",
    }  # fmt: skip


def test_a_component_that_works_here_only_stops_the_run(tmp_path: Path) -> None:
    key = "sk-of-nobody-else-4711"
    options = {"policy": {"fail_elsewhere": True, "key": key}}
    ended = run(model_options=options, output=tmp_path / "x.jsonl")
    assert "could not start: " in str(ended.error)
    assert "RuntimeError: no room here, ***" in str(ended.error)
    assert ended.rollouts == []


@pytest.mark.slow
def test_workers_that_die_at_once_stop_the_run() -> None:
    ended = run(model_options={"policy": {"die_elsewhere": True}})
    assert "died while they started" in str(ended.error)
    assert "exit code 7" in str(ended.error)


class Listening:
    """An extension that keeps what it hears."""

    def __init__(self) -> None:
        self.calls: list[CallInfo] = []
        self.rollouts: list[Rollout] = []

    @hookimpl(contract=1)
    def gym_model_called(self, run: RunInfo, call: CallInfo) -> None:
        self.calls.append(call)

    @hookimpl(contract=1)
    def gym_rollout_finished(self, run: RunInfo, rollout: Rollout) -> None:
        self.rollouts.append(rollout)


def test_extensions_hear_of_calls_and_rollouts() -> None:
    listening = Listening()
    run(extensions=[listening])
    assert {call.key for call in listening.calls} == {(f"t{number}", 0) for number in range(12)}
    assert {call.attributes["usage"]["input_tokens"] for call in listening.calls} == {10}
    assert {rollout.response.output_text for rollout in listening.rollouts} == {"done"}


def test_a_stop_records_what_is_under_way(tmp_path: Path) -> None:
    marks = [tmp_path / str(number) for number in range(4)]

    async def main() -> dict[str, Any]:
        tasks = [told(number, hang=True, mark=str(mark)) for number, mark in enumerate(marks)]
        wanted = config(tasks=[*tasks, *(told(number) for number in range(4, 100))], concurrency=4)
        async with open_run(wanted) as run:
            stopping = asyncio.create_task(when(lambda: all(mark.exists() for mark in marks), run.stop))
            summary = await run.execute()
            await stopping
            return summary

    summary = wait(main())
    assert summary["state"] == "interrupted"
    assert summary["statuses"]["cancelled"] >= 4
    assert summary["rollouts"]["with_verdict"] == 0


async def when(condition: Callable[[], bool], stop: Callable[[str], None]) -> None:
    while not condition():  # noqa: ASYNC110  # it is a file that another process makes
        await asyncio.sleep(0.01)
    stop("enough")


@pytest.mark.slow
def test_rows_and_ids_come_back_as_they_went(tmp_path: Path) -> None:
    big, request = 2**80, '"responses_create_params": {"input": "{}"}'
    lines = [f'{{"task_id": 1.50, "x": {big}, {request}}}', f'{{"task_id": true, "x": NaN, {request}}}']
    lines += [f'{{"task_id": [{big}], {request}}}', f'{{"task_id": null, {request}}}']
    (tmp_path / "in.jsonl").write_text("\ufeff" + "\n".join(lines) + "\n")
    ended = run(input=tmp_path / "in.jsonl", output=tmp_path / "x.jsonl")
    assert sorted(rollout.task_id for rollout in ended.rollouts) == ["1.5", "4", f"[{big}]", "true"]
    rows = [gym_core.parse_json(line) for line in (tmp_path / "x.jsonl").read_bytes().splitlines()]
    found = {row["rollout"]["task_index"]: (row["task_id"], row.get("x")) for row in rows}
    assert found == {0: (1.5, big), 1: (True, None), 2: ([big], None), 3: (None, None)}
    assert run(input=tmp_path / "in.jsonl", output=tmp_path / "x.jsonl", mode="resume").rollouts == []


def test_groups_spread_over_workers_are_put_together_here(tmp_path: Path) -> None:
    folder = tmp_path / "meeting"
    folder.mkdir()
    tasks = [told(number, {"reward_wanted": float(number)}, meet=str(folder)) for number in range(6)]
    source, output = write_tasks(tmp_path / "in.jsonl", tasks), tmp_path / "x.jsonl"
    groups: list[gym_core.Group] = []

    async def main(**given: Any) -> dict[str, Any]:
        wanted = config(env="spread_groups", input=source, output=output, repeats=4, **given)
        async with open_run(wanted) as opened:
            return await opened.execute(announce_group=groups.append)

    summary = wait(main())
    assert sorted(group.task_id for group in groups) == [f"t{number}" for number in range(6)]
    assert all([rollout.repeat for rollout in group] == [0, 1, 2, 3] for group in groups)
    assert {verdict.info["scored_in"] for group in groups for verdict in group.verdicts.values()} == {os.getpid()}
    assert len({rollout.info["process"] for group in groups for rollout in group}) == 2
    assert summary["groups"]["scored"] == 6
    lines = read_jsonl(output.with_name("x.groups.jsonl"))
    output.with_name("x.groups.jsonl").unlink()
    assert wait(main(mode="resume"))["groups"]["scored"] == 6

    def by_task(lines: list[dict[str, Any]]) -> dict[str, Any]:
        return {line["task_id"]: line["verdicts"] for line in lines}

    assert by_task(read_jsonl(output.with_name("x.groups.jsonl"))) == by_task(lines)
