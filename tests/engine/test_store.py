"""Files of a run: refused, replaced, continued, and whole whatever happens."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gym_core import UsageError
from gym_core.engine.metrics.progress import Progress
from gym_core.engine.storage.outputs import Outputs
from gym_core.engine.storage.resume import Finished
from gym_core.engine.storage.store import LineFile
from gym_core.errors import AuthenticationError, BadRequestError
from gym_core.spi import open_run
from gym_results.reading import ResultsFile
from tests.support.envs import env
from tests.support.loop import asynchronous
from tests.support.models import ScriptedModel
from tests.support.running import Ended, config, execute, read_jsonl, run

NAMES = ["x.failures.jsonl", "x.jsonl", "x.run.json", "x.summary.json", "x.tools.jsonl"]


def refusing(*ids: str, error: Exception | None = None) -> ScriptedModel:
    def answer(request: Any, context: Any) -> Any:
        return (error or BadRequestError("refused", status=400)) if context.key[0] in ids else "done"

    return ScriptedModel(answer)


def keys(path: Path) -> list[tuple[str, int]]:
    return [(row["task_id"], row["rollout"]["repeat"]) for row in read_jsonl(path)]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "results" / "x.jsonl"


def test_a_run_leaves_its_files(output: Path) -> None:
    run(refusing("t1"), env(tasks=2), output=output)
    assert sorted(path.name for path in output.parent.iterdir()) == NAMES
    assert keys(output) == [("t0", 0)]
    assert keys(output.with_name("x.failures.jsonl")) == [("t1", 0)]


def test_without_failures_there_is_no_file_of_them(output: Path) -> None:
    run(output=output)
    assert sorted(path.name for path in output.parent.iterdir()) == NAMES[1:]


@pytest.mark.parametrize("name", NAMES)
def test_what_exists_is_refused_and_untouched(name: str, output: Path) -> None:
    output.parent.mkdir()
    there = output.with_name(name)
    there.write_text("precious")
    model = ScriptedModel()
    with pytest.raises(UsageError, match=name) as caught:
        run(model, output=output)
    assert "--resume" in caught.value.hint
    assert there.read_text() == "precious"
    assert [path.name for path in output.parent.iterdir()] == [name]
    assert model.requests == []


def test_overwrite_replaces_all_of_it(output: Path) -> None:
    run(refusing("t1"), env(tasks=3), output=output)
    run(None, env(tasks=1), output=output, mode="overwrite")
    assert keys(output) == [("t0", 0)]
    assert not output.with_name("x.failures.jsonl").exists()


def test_overwrite_removes_nothing_when_the_run_is_refused(output: Path) -> None:
    run(output=output)
    before = output.read_bytes()
    with pytest.raises(UsageError):
        run(input="missing.jsonl", output=output, mode="overwrite")
    with pytest.raises(UsageError):
        run(model_options={"policy": {"x": 1}}, output=output, mode="overwrite")
    assert output.read_bytes() == before


def test_a_rollout_is_found_again_where_it_stood(output: Path) -> None:
    run(refusing("t1"), env(tasks=3), output=output, repeats=2)
    results = ResultsFile(output)
    placed = dict(results.placed())
    assert len(placed) == 6
    assert [rollout.row for rollout in results.at(placed)] == [rollout.row for rollout in placed.values()]
    finished = Finished(Outputs.of(output), Progress(), places=True)
    for task_id, has_rows in (("t0", True), ("t1", False), ("t9", None)):
        assert finished.ended(task_id, 2) == ({} if has_rows is None else {0: has_rows, 1: has_rows})
        mine = [rollout.row for rollout in placed.values() if rollout.task_id == task_id]
        assert sorted(row["rollout"]["repeat"] for row in mine) == [*range(len(mine))]
        assert [rollout.row for rollout in finished.read(task_id, 2)] == mine


@pytest.mark.parametrize("change", ["cut", "removed"])
def test_a_rollout_that_no_longer_stands_there_is_said_to(change: str, output: Path) -> None:
    run(None, env(tasks=2), output=output)
    results, finished = ResultsFile(output), Finished(Outputs.of(output), Progress(), places=True)
    places = dict(results.placed())
    if change == "cut":
        output.write_bytes(output.read_bytes()[1:])
    else:
        output.unlink()
    said = "was changed while it was read" if change == "cut" else "cannot be read: No such file"
    with pytest.raises(UsageError, match=said):
        list(results.at(places))
    with pytest.raises(UsageError, match=said):
        finished.read("t1", 1)


@pytest.mark.parametrize("name", ["x.txt", "x", "x.jsonl.gz", "x.failures.jsonl"])
def test_another_ending_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.jsonl"):
        run(output=tmp_path / name)


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file"):
        run(output=tmp_path / "file" / "x.jsonl")


class TestResume:
    """`mode="resume"`."""

    def stopped(self, output: Path, after: int, tasks: int = 6, **settings: Any) -> Ended:
        """A run that a wrong key stops after so many rollouts."""
        bad = refusing(f"t{after}", error=AuthenticationError("expired"))
        return run(bad, env(tasks=tasks), output=output, concurrency=1, **settings)

    def test_with_nothing_written_it_starts(self, output: Path) -> None:
        assert len(run(None, env(tasks=2), output=output, mode="resume").rollouts) == 2

    @pytest.mark.parametrize("torn", [b"", b'{"task_id":'])
    def test_with_no_row_and_no_manifest_it_starts(self, torn: bytes, output: Path) -> None:
        """A kill can leave that: the rows are opened first, to lock them."""
        output.parent.mkdir()
        output.write_bytes(torn[:0])
        output.with_name("x.run.json.partial").write_bytes(torn)
        assert len(run(None, env(tasks=2), output=output, mode="resume").rollouts) == 2
        assert output.with_name("x.run.json").exists()

    def test_it_runs_what_is_missing_and_what_was_cancelled(self, output: Path) -> None:
        first = self.stopped(output, 3)
        assert first.statuses() == ["completed"] * 3 + ["cancelled"]
        second = run(None, env(tasks=6), output=output, mode="resume", concurrency=1)
        assert [rollout.task_id for rollout in second.rollouts] == ["t3", "t4", "t5"]
        assert keys(output) == [(f"t{number}", 0) for number in range(6)]
        assert second.rollouts[0].row["rollout"]["attempt"] == 2
        assert second.summary["rollouts"]["kept"] == 3
        assert second.summary["rollouts"]["with_verdict"] == 6
        assert second.summary["rollouts"]["cancelled"] == 0
        assert second.summary["run_id"] == first.summary["run_id"]

    def test_a_finished_run_has_nothing_to_do(self, output: Path) -> None:
        first = run(None, env(tasks=3), output=output)
        before = output.read_bytes()
        second = run(ScriptedModel("other"), env(tasks=3), output=output, mode="resume")
        assert second.rollouts == []
        assert output.read_bytes() == before
        assert second.summary["reward"] == first.summary["reward"]

    def test_failed_rollouts_are_kept(self, output: Path) -> None:
        run(refusing("t1"), env(tasks=3), output=output)
        again = run(None, env(tasks=3), output=output, mode="resume")
        assert again.rollouts == []
        assert again.summary["rollouts"] == {
            "planned": 3, "with_verdict": 2, "failed": 1, "cancelled": 0, "kept": 3, "skipped_rows": 0,
        }  # fmt: skip
        assert again.summary["reward"]["left_out"] == 1

    def test_failed_rollouts_run_again_on_request_as_a_new_attempt(self, output: Path) -> None:
        run(refusing("t1", "t2"), env(tasks=3), output=output)
        again = run(refusing("t2"), env(tasks=3), output=output, mode="resume", retry_failed=True, concurrency=1)
        assert [(r.task_id, r.status.value, r.row["rollout"]["attempt"]) for r in again.rollouts] == [
            ("t1", "completed", 2),
            ("t2", "model_error", 2),
        ]
        assert again.summary["rollouts"]["failed"] == 1
        third = run(None, env(tasks=3), output=output, mode="resume", retry_failed=True)
        assert [(r.task_id, r.row["rollout"]["attempt"]) for r in third.rollouts] == [("t2", 3)]
        assert sorted(keys(output)) == [("t0", 0), ("t1", 0), ("t2", 0)]

    @pytest.mark.parametrize("cut", [1, 20, "half"])
    def test_a_torn_last_line_is_cut_and_its_rollout_runs_again(self, cut: int | str, output: Path) -> None:
        run(None, env(tasks=3), output=output, concurrency=1)
        whole = output.read_bytes()
        last = len(whole.splitlines(keepends=True)[-1])
        lost = last // 2 if cut == "half" else int(cut)
        output.write_bytes(whole[: -int(lost)])
        again = run(None, env(tasks=3), output=output, mode="resume")
        assert [rollout.task_id for rollout in again.rollouts] == ["t2"]
        assert any("torn" in notice for notice in again.notices)
        assert keys(output) == [("t0", 0), ("t1", 0), ("t2", 0)]

    def test_a_torn_first_line_is_cut_too(self, output: Path) -> None:
        run(None, env(tasks=1), output=output)
        output.write_bytes(output.read_bytes()[:50])
        assert len(run(output=output, mode="resume").rollouts) == 1
        assert keys(output) == [("t0", 0)]

    def test_a_broken_line_in_the_middle_is_refused_by_its_number(self, output: Path) -> None:
        run(None, env(tasks=3), output=output)
        lines = output.read_bytes().splitlines(keepends=True)
        output.write_bytes(b"".join([lines[0], b"nonsense\n", lines[2]]))
        before = output.read_bytes()
        with pytest.raises(UsageError, match=r"x\.jsonl:2: "):
            run(None, env(tasks=3), output=output, mode="resume")
        assert output.read_bytes() == before

    def test_limit_and_repeats_may_grow(self, output: Path) -> None:
        run(None, env(tasks=5), output=output, limit=2)
        run(None, env(tasks=5), output=output, mode="resume", limit=3)
        run(None, env(tasks=5), output=output, mode="resume", limit=3, repeats=2)
        ended = run(None, env(tasks=5), output=output, mode="resume", repeats=2)
        assert sorted(keys(output)) == [(f"t{number}", repeat) for number in range(5) for repeat in range(2)]
        assert ended.summary["rollouts"]["kept"] == 6
        assert ended.summary["reward"]["pass@k"]["2"]["tasks"] == 5

    def test_limit_of_a_file_may_grow(self, output: Path, tmp_path: Path) -> None:
        source = tmp_path / "in.jsonl"
        source.write_bytes(b'{"responses_create_params": {"input": "Hi"}}\n' * 3)
        run(input=source, output=output, limit=1)
        assert len(run(input=source, output=output, mode="resume").rollouts) == 2

    def test_fewer_repeats_do_not_count_a_task_twice(self, output: Path) -> None:
        first = run(None, env(tasks=3), output=output, repeats=4)
        again = run(None, env(tasks=3), output=output, mode="resume", repeats=2)
        assert again.summary["reward"]["rollouts"] == first.summary["reward"]["rollouts"]
        assert again.summary["reward"]["pass@k"]["2"]["tasks"] == 3

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"seed": 2}, r"seed: 1 -> 2"),
            ({"server": env(tasks=3, name="another")}, r'env\.ref: "tiny" -> "another"'),
            ({"model": ScriptedModel(name="another")}, r"models\.policy\.ref"),
        ],
    )
    def test_changed_settings_are_refused_with_the_difference(self, changed: Any, words: str, output: Path) -> None:
        given: dict[str, Any] = {"model": None, "server": env(tasks=3), "seed": 1}
        run(given["model"], given["server"], output=output, seed=1)
        before = {path.name: path.read_bytes() for path in output.parent.iterdir()}
        given |= changed
        with pytest.raises(UsageError, match=words) as caught:
            run(given["model"], given["server"], output=output, mode="resume", seed=given["seed"])
        assert "--accept-changes" in caught.value.hint
        assert {path.name: path.read_bytes() for path in output.parent.iterdir()} == before
        run(given["model"], given["server"], output=output, mode="resume", seed=given["seed"], accept_changes=True)

    def test_an_input_that_changed_is_refused(self, output: Path, tmp_path: Path) -> None:
        source = tmp_path / "in.jsonl"
        source.write_bytes(b'{"id":"a","responses_create_params": {"input": "Hi"}}\n')
        run(input=source, output=output)
        source.write_bytes(b'{"id":"a","responses_create_params": {"input": "Ho"}}\n')
        with pytest.raises(UsageError, match="sha256"):
            run(input=source, output=output, mode="resume")

    def test_concurrency_and_deadlines_may_differ(self, output: Path) -> None:
        from gym_core.spi import Deadlines

        self.stopped(output, 1)
        run(None, env(tasks=6), output=output, mode="resume", concurrency=3, deadlines=Deadlines(tool=1.0))

    @pytest.mark.parametrize("content", [None, b"", b"{}", b'{"format_version": 99}'])
    def test_without_a_manifest_that_can_be_read_it_is_refused(self, content: bytes | None, output: Path) -> None:
        run(None, env(tasks=2), output=output)
        manifest = output.with_name("x.run.json")
        manifest.unlink()
        if content is not None:
            manifest.write_bytes(content)
        before = output.read_bytes()
        with pytest.raises(UsageError, match=r"x\.run\.json"):
            run(None, env(tasks=2), output=output, mode="resume")
        assert output.read_bytes() == before

    @settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(st.lists(st.tuples(st.sampled_from(["stop", "fail", "tear", "retry"]), st.integers(0, 7)), max_size=5))
    def test_whatever_interrupts_it_every_key_ends_once(
        self, tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int]]
    ) -> None:
        output = tmp_path_factory.mktemp("resumed") / "x.jsonl"
        for event, number in [*events, ("retry", 99), ("retry", 99)]:
            error = AuthenticationError("expired") if event == "stop" else BadRequestError("refused", status=400)
            run(
                refusing(f"t{number // 2}", error=error), env(tasks=4), output=output, mode="resume",
                repeats=2, concurrency=2, retry_failed=event == "retry",
            )  # fmt: skip
            if event == "tear":
                for path in (output, output.with_name("x.failures.jsonl")):
                    if path.exists() and path.stat().st_size:
                        path.write_bytes(path.read_bytes()[: -1 - number])
            else:
                assert len(keys(output)) == len(set(keys(output)))
        assert sorted(keys(output)) == [(f"t{number}", repeat) for number in range(4) for repeat in range(2)]
        attempts = [(row["task_id"], row["rollout"]["repeat"], row["rollout"]["attempt"])
                    for path in (output, output.with_name("x.failures.jsonl")) for row in read_jsonl(path)]  # fmt: skip
        assert len(attempts) == len(set(attempts)) or any(event == "tear" for event, _ in events)


def cut_torn(path: Path) -> int:
    with contextlib.closing(LineFile(path)) as file:
        return file.cut_torn()


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=5), st.binary(max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_repair_cuts_what_stands_after_the_last_newline(tmp_path: Path, whole: list[bytes], torn: bytes) -> None:
    path = tmp_path / "x.jsonl"
    torn = torn.replace(b"\n", b"")
    path.write_bytes(b"".join(line + b"\n" for line in whole) + torn)
    assert cut_torn(path) == len(torn)
    assert path.read_bytes() == b"".join(line + b"\n" for line in whole)


def test_repair_of_a_long_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"whole\n" + b"x" * 300_000)
    assert cut_torn(path) == 300_000
    assert path.read_bytes() == b"whole\n"
    assert cut_torn(tmp_path / "missing.jsonl") == 0


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a folder: which one it is, and what is in it."""
    return {path.name: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()}


@pytest.mark.parametrize("mode", ["new", "resume", "overwrite"])
def test_a_second_writer_is_refused_and_changes_nothing(mode: str, output: Path) -> None:
    @asynchronous
    async def main() -> None:
        async with open_run(config(None, env(tasks=2), output=output)) as first:
            before = contents(output.parent)
            with pytest.raises(UsageError):
                await execute(config(None, env(tasks=2), output=output, mode=mode))
            assert contents(output.parent) == before
            await first.execute()

    main()
    assert len(keys(output)) == 2


def test_a_writer_that_has_ended_leaves_no_lock(output: Path) -> None:
    run(output=output)
    run(output=output, mode="overwrite")
    assert len(keys(output)) == 1


FULL_DISK = """
import resource, sys
from gym_core.errors import StoreError
from tests.support.envs import env
from tests.support.running import run
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    ended = run(None, env(tasks=40), output=sys.argv[1], concurrency=4)
except StoreError as error:
    print("raised", error)
else:
    print(type(ended.error).__name__, ended.error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are POSIX")
def test_a_full_disk_stops_the_run_and_leaves_whole_lines(output: Path) -> None:
    output.parent.mkdir()
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(output), "6000"],
        env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("StoreError")
    assert "x.jsonl" in done.stdout
    content = output.read_bytes()
    assert content.endswith(b"\n")
    written = keys(output)
    assert 0 < len(written) < 40
    summary = orjson.loads(output.with_name("x.summary.json").read_bytes())
    assert summary["state"] == "stopped"
    assert summary["rollouts"]["with_verdict"] == len(written)
    again = run(None, env(tasks=40), output=output, mode="resume")
    assert again.error is None
    assert sorted(keys(output)) == sorted((f"t{number}", 0) for number in range(40))
