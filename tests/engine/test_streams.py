"""Long inputs and long outputs: checked ahead, read as they come, remembered in a few bytes."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gym_core import UsageError
from gym_core.engine.metrics.progress import Progress
from gym_core.engine.run.source import TaskSource
from gym_core.engine.storage.files import parse_account, write_json
from gym_core.engine.storage.outputs import Outputs
from gym_core.engine.storage.resume import Finished
from gym_core.engine.storage.store import ResultStore
from gym_core.engine.tasks import check, source
from gym_core.engine.tasks.keys import KeyTable, LineSet, TaskIds, digest, for_repeat
from gym_core.engine.tasks.source import FileSource, IterableSource
from gym_core.errors import InputError, StoreError
from gym_core.spi import open_run
from tests.support.envs import ask, env
from tests.support.loop import asynchronous
from tests.support.models import ScriptedModel
from tests.support.running import config, execute, read_jsonl, run

FAILED = {
    "run_id": "r", "repeat": 0, "error": {"class": "ServerError", "phase": "agent", "message": "broken"},
    "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}, "cost": None,
    "timing": {"seconds": 1.0, "model_seconds": 1.0, "waited_seconds": 0.0}, "tools": {"calls": 0, "errors": {}},
}  # fmt: skip
GOOD = b'{"responses_create_params":{"input":"%d"}}\n'
NAMED = b'{"task_id":"t%d","responses_create_params":{"input":"?"}}\n'


def write(path: Path, rows: int, form: bytes = NAMED, **lines: bytes) -> Path:
    """So many rows; `line_7=b"..."` replaces the seventh line."""
    content = [form % number for number in range(rows)]
    for name, line in lines.items():
        content[int(name.removeprefix("line_")) - 1] = line
    path.write_bytes(b"".join(content))
    return path


def manifest(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(output.with_name("x.run.json").read_bytes())
    return found


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "results" / "x.jsonl"


class TestCheckedAhead:
    """Inputs that are too long to be checked before the first call."""

    @pytest.fixture(autouse=True)
    def everything_is_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(source, "CHECKED_WHOLE", 0)
        monkeypatch.setattr(source, "CHECKED_WHOLE_COMPRESSED", 0)
        monkeypatch.setattr(check, "AHEAD_STEP", 10)
        monkeypatch.setattr(check, "HURRIED_STEP", 10)

    def test_every_task_runs_once(self, output: Path, tmp_path: Path) -> None:
        path = write(tmp_path / "in.jsonl", 300)
        ended = run(input=path, output=output, repeats=2)
        assert sorted((r.task_id, r.repeat) for r in ended.rollouts) == sorted(
            (f"t{number}", repeat) for number in range(300) for repeat in range(2)
        )
        assert ended.summary["rollouts"]["planned"] == 600
        places = sorted(row["rollout"]["task_index"] for row in read_jsonl(output))
        assert places == sorted([*range(300), *range(300)])

    def test_a_broken_row_stops_the_run_and_it_can_be_resumed(self, output: Path, tmp_path: Path) -> None:
        path = write(tmp_path / "in.jsonl", 500, line_490=b'{"responses_create_params": 1}\n')
        started = asyncio.Event()

        async def answer(request: Any, context: Any) -> str:
            started.set()
            await asyncio.sleep(60 if context.key[0] == "t0" else 0)  # cancelled when the check has found it
            return "done"

        ended = run(ScriptedModel(answer), input=path, output=output, concurrency=1)
        assert started.is_set()
        assert isinstance(ended.error, InputError)
        assert f"{path}:490: " in str(ended.error)
        assert "--accept-changes" in ended.error.hint
        assert ended.summary["state"] == "stopped"
        assert ended.statuses() == ["cancelled"]
        write(path, 500)
        with pytest.raises(UsageError, match="fingerprint"):
            run(input=path, output=output, mode="resume")
        again = run(input=path, output=output, mode="resume", accept_changes=True)
        assert again.error is None
        assert len(read_jsonl(output)) == 500

    def test_a_broken_row_is_left_out_on_request(self, tmp_path: Path) -> None:
        path = write(tmp_path / "in.jsonl", 50, line_20=b"nonsense\n", line_40=b"[]\n", line_45=b"\n")
        ended = run(input=path, skip_invalid=True)
        assert ended.error is None
        assert len(ended.rollouts) == 47
        assert ended.summary["rollouts"]["skipped_rows"] == 2

    @pytest.mark.parametrize(
        ("form", "line", "words"),
        [
            (NAMED, b'{"id":"t3","responses_create_params":{"input":"?"}}\n', "'t3' stands on an earlier line"),
            (GOOD, b'{"id":"3","responses_create_params":{"input":"?"}}\n', "name of line 3"),
        ],
    )
    def test_two_tasks_of_one_id_are_refused(self, form: bytes, line: bytes, words: str, tmp_path: Path) -> None:
        ended = run(input=write(tmp_path / "in.jsonl", 100, form, line_99=line))
        assert isinstance(ended.error, InputError)
        assert ":99: " in str(ended.error)
        assert words in str(ended.error)

    def test_no_row_is_run_before_it_is_checked(self, tmp_path: Path) -> None:
        model = ScriptedModel()
        ended = run(model, input=write(tmp_path / "in.jsonl", 100, line_50=b"{}\n"), concurrency=50)
        assert isinstance(ended.error, InputError)
        assert all(int(context.key[0][1:]) < 49 for context in model.contexts)

    def test_the_manifest_is_completed_when_all_is_known(self, output: Path, tmp_path: Path) -> None:
        import hashlib

        path = write(tmp_path / "in.jsonl", 300)
        run(input=path, output=output)
        assert manifest(output)["dataset"] == {"tasks": 300, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        assert manifest(output)["settings"]["tasks"].keys() == {"name", "bytes", "task_id", "fingerprint"}

    def test_a_run_resumes_that_was_ended_before_all_was_known(self, output: Path, tmp_path: Path) -> None:
        path = write(tmp_path / "in.jsonl", 300)

        @asynchronous
        async def main() -> None:
            async with open_run(config(input=path, output=output)):
                assert manifest(output)["dataset"] == {"tasks": None, "sha256": None}

        main()
        assert len(run(input=path, output=output, mode="resume").rollouts) == 300
        assert manifest(output)["dataset"]["tasks"] == 300

    def test_a_change_in_the_middle_is_found_when_all_is_known(
        self, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gym_core.engine.tasks.input_file.EDGE", 100)
        monkeypatch.setattr(check, "YIELD_SECONDS", 5.0)  # those who read come to the end of the file first
        path = write(tmp_path / "in.jsonl", 300)
        run(input=path, output=output)
        write(path, 300, line_150=NAMED.replace(b"?", b"!") % 149)
        ended = run(input=path, output=output, mode="resume", retry_failed=True)
        assert isinstance(ended.error, InputError)
        assert "is not what the run began with" in str(ended.error)
        assert run(input=path, output=output, mode="resume", accept_changes=True).error is None

    def test_what_is_done_is_passed_over(self, output: Path, tmp_path: Path) -> None:
        path = write(tmp_path / "in.jsonl", 200)
        run(input=path, output=output, limit=150)
        lines = output.read_bytes().splitlines(keepends=True)
        output.write_bytes(b"".join(line for number, line in enumerate(lines) if number % 50))
        again = run(input=path, output=output, mode="resume", limit=190)
        assert len(again.rollouts) == 3 + 40
        assert len({row["task_id"] for row in read_jsonl(output)}) == len(read_jsonl(output)) == 190
        assert all(f"t{row['rollout']['task_index']}" == row["task_id"] for row in read_jsonl(output))

    @pytest.mark.parametrize("ending", [".gz", ".zst"])
    def test_compressed_inputs(self, ending: str, output: Path, tmp_path: Path) -> None:
        plain = write(tmp_path / "in.jsonl", 300).read_bytes()
        path = tmp_path / f"in.jsonl{ending}"
        if ending == ".gz":
            import gzip

            path.write_bytes(gzip.compress(plain))
        else:
            path.write_bytes(pytest.importorskip("zstandard").compress(plain))
        assert len(run(input=path, output=output).rollouts) == 300
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] + b"\0" * 50)
        ended = run(input=path)
        assert isinstance(ended.error, InputError)
        assert "cannot be read on" in str(ended.error)


def test_standard_input_is_used_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()

    def answer(request: Any, context: Any) -> str:
        number = int(context.key[0][1:])
        if number < 5:
            os.write(writing, NAMED % (number + 1))  # the next row is there only when this one has been asked
        else:
            os.close(writing)
        return "done"

    os.write(writing, NAMED % 0)
    with open(reading, "rb") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        ended = run(ScriptedModel(answer), input="-", concurrency=1)
    assert [rollout.task_id for rollout in ended.rollouts] == [f"t{number}" for number in range(6)]


def test_a_broken_row_of_standard_input_stops_the_run_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.write(writing, NAMED % 0 + NAMED % 0)
    os.close(writing)
    with open(reading, "rb") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        ended = run(input="-", concurrency=1)
    assert isinstance(ended.error, InputError)
    assert "-:2: " in str(ended.error)
    assert [rollout.task_id for rollout in ended.rollouts] == ["t0"]


def taken(
    tasks: FileSource | IterableSource,
    between: Callable[[int, int], None] = lambda number, repeat: None,
    limit: int | None = None,
) -> list[tuple[int, int]]:
    """The jobs of three repeats, each as the number of its task and the repeat; `between` is called after each."""
    found: list[tuple[int, int]] = []

    @asynchronous
    async def main() -> None:
        source = TaskSource(tasks, repeats=3, limit=limit)
        try:
            async for job in source.jobs():
                found.append((int(job.task.task_id[1:]), job.repeat))
                between(*found[-1])
        finally:
            source.close()

    main()
    return found


class TestJobs:
    """Tasks as jobs."""

    @pytest.mark.parametrize("kind", ["short file", "long file", "unchecked file", "python", "more from python"])
    def test_all_tasks_run_once_before_one_runs_again(
        self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(tmp_path / "in.jsonl", 150)
        if kind == "long file":
            monkeypatch.setattr("gym_core.engine.run.source.STRETCH", 149)
        if kind == "more from python":
            monkeypatch.setattr("gym_core.engine.tasks.source.CHECKED_AHEAD", 7)
        tasks: FileSource | IterableSource = IterableSource("tasks", (ask(number) for number in range(150)))
        if "file" in kind:
            tasks = FileSource(path)
        if kind != "unchecked file":
            tasks.check(*() if isinstance(tasks, FileSource) else (None,))
        assert taken(tasks) == [(number, repeat) for repeat in range(3) for number in range(150)]
        assert taken(FileSource(path), limit=4) == [(number, repeat) for repeat in range(3) for number in range(4)]

    def test_of_many_tasks_from_python_a_stretch_runs_once_before_it_runs_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gym_core.engine.run.source.STRETCH", 4)
        tasks = IterableSource("tasks", (ask(number) for number in range(10)))
        stretches = range(4), range(4, 8), range(8, 10)
        assert taken(tasks) == [
            (number, repeat)
            for stretch in stretches
            for repeats in ([0], [1, 2])
            for repeat in repeats
            for number in stretch
        ]

    @pytest.mark.parametrize("kind", ["asynchronous", "standard input"])
    def test_repeats_of_a_task_that_may_be_the_last_for_long_follow_each_other(
        self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def later() -> Any:
            for number in range(150):
                await asyncio.sleep(0)
                yield ask(number)

        tasks: FileSource | IterableSource = IterableSource("tasks", later())
        if kind == "standard input":
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(write(tmp_path / "in.jsonl", 150).open("rb")))
            tasks = FileSource("-")
        assert taken(tasks) == [(number, repeat) for number in range(150) for repeat in range(3)]

    def test_rows_that_are_left_out_are_counted_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gym_core.engine.run.source.STRETCH", 1)
        path = write(tmp_path / "in.jsonl", 5)
        path.write_bytes(b"{}\n" + path.read_bytes() + b"[]\n")
        ended = run(input=path, repeats=3, skip_invalid=True)
        assert len(ended.rollouts) == 15
        assert ended.summary["rollouts"]["skipped_rows"] == 2

    @pytest.mark.parametrize("change", ["touched", "written", "replaced", "gone"])
    def test_a_file_that_changes_between_two_repeats_is_noticed(
        self, change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gym_core.engine.run.source.STRETCH", 1)
        path = write(tmp_path / "in.jsonl", 5)
        source = FileSource(path)
        source.check()

        def between(number: int, repeat: int) -> None:
            if (number, repeat) != (4, 0):
                return
            if change == "touched":
                os.utime(path, (1, 1))
            elif change == "gone":
                path.unlink()
            else:
                other = tmp_path / "other.jsonl" if change == "replaced" else path
                other.write_bytes(path.read_bytes().replace(b"t4", b"u4"))
                other.replace(path)

        if change == "touched":
            assert len(taken(source, between)) == 15
        else:
            with pytest.raises(InputError, match=r"changed while|No such file"):
                taken(source, between)

    def test_not_one_task_more_is_asked_for_than_the_limit(self) -> None:
        asked: list[int] = []

        def tasks() -> Iterator[Any]:
            for number in range(100):
                asked.append(number)
                yield ask(number)

        assert len(run(tasks=tasks(), limit=4).rollouts) == 4
        assert asked == [0, 1, 2, 3]


class TestKeys:
    """What is remembered of tasks."""

    @given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 60000))))
    def test_a_table_is_a_mapping(self, puts: list[tuple[int, int]]) -> None:
        table, model = KeyTable(value_size=2), dict[int, int]()
        for key, value in puts:
            table.put(digest(str(key)), value)
            model[key] = value
        assert len(table) == len(model)
        assert {key: table.get(digest(str(key))) for key in range(31)} == {key: model.get(key) for key in range(31)}

    def test_keys_that_lie_across_two_entries_are_not_found(self) -> None:
        table = KeyTable()
        table.add(b"\0\0" + b"a" * 5 + b"b" * 5)
        table.add(b"\0\0" + b"a" * 5 + b"c" * 5)
        assert b"\0\0" + b"b" * 5 + b"a" * 5 not in table
        assert b"\0\0" + b"a" * 5 + b"c" * 5 in table

    def test_repeats_of_a_task_differ(self) -> None:
        assert len({for_repeat(digest(f"t{task}"), repeat) for task in range(50) for repeat in range(50)}) == 2500

    @pytest.mark.slow
    def test_ids_take_at_most_16_bytes_each(self) -> None:
        ids, rows = TaskIds(), 400_000
        for number in range(1, rows + 1):
            ids.claim(f"a task with quite a long name, number {number}", number)
        shards = ids._named._shards
        assert sum(map(sys.getsizeof, shards)) - len(shards) * sys.getsizeof(bytearray()) <= 16 * rows

    def test_tasks_without_ids_take_nothing(self) -> None:
        ids = TaskIds()
        for number in range(1, 50_000):
            ids.claim(None, number)
        assert len(ids._unnamed._edges) == 2
        assert len(ids._named) == 0

    @given(st.sets(st.integers(1, 200)))
    def test_a_set_of_lines(self, numbers: set[int]) -> None:
        lines = LineSet()
        for number in sorted(numbers):
            lines.add(number)
        assert {number for number in range(202) if number in lines} == numbers

    @pytest.mark.parametrize("claims", [["2", None], [None, "1"], ["a", "a"]])
    def test_no_two_tasks_have_one_id(self, claims: list[str | None]) -> None:
        ids = TaskIds()
        ids.claim(claims[0], 1)
        with pytest.raises(ValueError, match="line"):
            ids.claim(claims[1], 2)


names = st.sampled_from(
    ["response", "reward", "reward_components", "rollout", "calls", "tools", "usage", "x", ',"reward":', "}"]
)
values = st.recursive(
    st.integers(0, 9) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(
    task=st.dictionaries(st.sampled_from(["x", "calls", "tools", "meta"]), values, max_size=3),
    response=st.dictionaries(names, values, max_size=3),
    components=st.dictionaries(names, values, max_size=3),
    info=values,
    calls=st.lists(values, max_size=3),
    order=st.permutations(["info", "usage", "calls", "tools", "cost"])
    | st.just(["info", "usage", "cost", "calls", "tools"]),
)
@settings(max_examples=400)
def test_an_account_of_a_row_is_that_of_the_whole_row(
    task: Any, response: Any, components: Any, info: Any, calls: Any, order: list[str]
) -> None:
    about = {"info": info, "usage": {"calls": 1}, "calls": calls, "tools": {"calls": 1, "errors": {}}, "cost": 3}
    row = {
        **task, "task_id": "t", "response": response, "reward": 1.0, "reward_components": components,
        "rollout": {
            "repeat": 0, "status": "completed", "error": None, "timing": {}, **{name: about[name] for name in order},
        },
    }  # fmt: skip
    found = parse_account(orjson.dumps(row) + b"\n")
    for whole in (found, row):
        whole.pop("response", None)
        for name in ("calls", "info"):  # what stands between the calls and the tools is not needed
            whole["rollout"].pop(name, None)
    assert found == row


class TestFinished:
    """What a resumed run reads."""

    def finished(self, output: Path, **settings: Any) -> Finished:
        return Finished(Outputs.of(output), Progress(), **settings)

    def test_a_second_row_of_a_rollout_is_refused_by_its_line(self, output: Path) -> None:
        run(None, env(tasks=3), output=output)
        lines = output.read_bytes().splitlines(keepends=True)
        output.write_bytes(b"".join([*lines, lines[1]]))
        with pytest.raises(UsageError, match=r"x\.jsonl:4: a second row of task"):
            self.finished(output)

    def test_a_torn_line_of_either_file_is_cut(self, output: Path) -> None:
        def answer(request: Any, context: Any) -> Any:
            return ValueError("broken") if context.key[0] == "t1" else "done"

        run(ScriptedModel(answer), env(tasks=3), output=output)
        failures = output.with_name("x.failures.jsonl")
        before = output.read_bytes(), failures.read_bytes()
        output.write_bytes(before[0] + b'{"task_id": "t9", "resp')
        failures.write_bytes(before[1] + b"{")

        async def bytes_cut() -> int:
            async with ResultStore(Outputs.of(output)) as store:
                return store.torn

        assert asyncio.run(bytes_cut()) == 24
        finished = self.finished(output)
        assert (output.read_bytes(), failures.read_bytes()) == before
        assert len(finished) == 3
        assert [finished.attempt(f"t{number}", 0) for number in range(4)] == [0, 0, 0, 1]
        assert finished.attempt("t0", 1) == 1

    def test_garbage_among_the_failures_is_named_by_its_line(self, output: Path) -> None:
        run(ScriptedModel(ValueError("broken")), env(tasks=3), output=output)
        failures = output.with_name("x.failures.jsonl")
        lines = failures.read_bytes().splitlines(keepends=True)
        failures.write_bytes(b"".join([lines[0], b"garbage\n", *lines[1:]]))
        with pytest.raises(UsageError, match=r"x\.failures\.jsonl:2: "):
            self.finished(output)

    def test_it_says_how_far_it_has_come_and_can_be_given_up(
        self, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gym_core.engine.storage.resume.LOOKED_EVERY", 2)
        run(None, env(tasks=5), output=output)
        read: list[int] = []
        self.finished(output, report=read.append)
        assert read == [2, 4]

        def enough(count: int) -> None:
            raise InterruptedError

        with pytest.raises(InterruptedError):
            self.finished(output, report=enough)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 90_000)), max_size=8))
    def test_of_several_failures_the_last_one_stands(
        self, tmp_path: Path, attempts: list[tuple[str, bool, int]]
    ) -> None:
        output = tmp_path / "x.jsonl"
        with output.with_name("x.failures.jsonl").open("wb") as file:
            for task, cancelled, size in attempts:
                about = {**FAILED, "status": "cancelled" if cancelled else "model_error"}
                row: dict[str, Any] = {
                    "task_id": task,
                    "response": None,
                    "reward": None,
                    "reward_components": {},
                    "pad": "p" * size,
                }
                file.write(orjson.dumps({**row, "rollout": about}) + b"\n")
        finished = self.finished(output)
        last = {task: cancelled for task, cancelled, _ in attempts}
        counts = Counter(task for task, _, _ in attempts)
        assert len(finished) == sum(not cancelled for cancelled in last.values())
        for task in "abc":
            stands = not last.get(task, True)
            assert finished.attempt(task, 0) == (0 if stands else counts[task] + 1)


class TestDurability:
    """What is promised of files."""

    def test_a_disk_that_fails_to_sync_stops_the_run(self, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fsync(descriptor: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        async def main() -> BaseException | None:
            async with open_run(config(None, env(tasks=3), output=output)) as opened:
                monkeypatch.setattr(os, "fsync", fsync)
                await opened.execute()
                return opened.error

        error = asyncio.run(main())
        assert isinstance(error, StoreError)
        assert os.strerror(errno.EIO) in str(error)

    def test_rows_reach_the_disk_while_the_run_waits(self, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gym_core.engine.storage.store.SYNC_SECONDS", 0.01)
        synced = asyncio.Event()
        loops: list[asyncio.AbstractEventLoop] = []
        monkeypatch.setattr(
            "gym_core.engine.storage.store.LineFile.sync", lambda file: loops[0].call_soon_threadsafe(synced.set)
        )

        async def answer(request: Any, context: Any) -> str:
            if context.key[0] == "t1":
                await synced.wait()  # nothing else is written until then
            return "done"

        async def main() -> list[str]:
            loops.append(asyncio.get_running_loop())
            ended = await asyncio.wait_for(execute(config(ScriptedModel(answer), env(tasks=2), output=output)), 30)
            return ended.statuses()

        assert asyncio.run(main()) == ["completed", "completed"]

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes")
    @pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
    def test_what_is_no_file_is_refused(self, kind: str, tmp_path: Path) -> None:
        path = tmp_path / "x.jsonl"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/null")
        else:
            path.mkdir()
        for mode in ("new", "resume", "overwrite"):
            with pytest.raises(UsageError, match=kind):
                run(output=path, mode=mode)

    def test_a_json_file_that_cannot_be_written_stays_what_it_was(self, tmp_path: Path) -> None:
        path = tmp_path / "x.json"
        write_json(path, {"a": 1})
        path.with_name("x.json.partial").mkdir()
        with pytest.raises(StoreError, match=r"x\.json"):
            write_json(path, {"a": 2})
        assert orjson.loads(path.read_bytes()) == {"a": 1}
