"""Files that an environment reads itself, instead of gym's JSON lines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gym_core import ResourceServer, Session, Task, TaskFile, Trajectory, UsageError, errors
from gym_core.engine.run.source import TaskSource
from gym_core.engine.tasks import read_source
from gym_core.engine.tasks.read_source import ReadSource, input_source
from gym_core.engine.tasks.source import FileSource
from gym_core.errors import PluginError


class Nothing(Session):
    def verify(self, trajectory: Trajectory) -> float:
        return 0.0


class Words(ResourceServer):
    """Reads a word from each line of `.txt`; `!` cannot be used, `?` makes the file unreadable."""

    session_type = Nothing
    reads = 0

    def read_tasks(self, source: str) -> TaskFile | None:
        return TaskFile(self._tasks(source), "in words") if source.endswith(".txt") else None

    def _tasks(self, source: str) -> Iterator[Task | errors.InputError]:
        self.reads += 1
        with open(source, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                word = line.strip()
                if word == "?":
                    raise ZeroDivisionError("so it goes")
                if word == "!":
                    yield errors.InputError(f"{source}:{number}: no word")
                    continue
                yield Task.ask(word, task_id=word.partition("=")[0] if "=" in word else "")


def write(folder: Path, *words: str, name: str = "x.txt") -> Path:
    path = folder / name
    path.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    return path


def source_of(path: Path, *, skip_invalid: bool = False, task_id: str | None = None) -> ReadSource:
    source = input_source(path, Words(), skip_invalid=skip_invalid, task_id=task_id)
    assert isinstance(source, ReadSource)
    return source


def ids(source: ReadSource, limit: int | None = None) -> list[str]:
    return [task.task_id for batch in source.batches(limit) for task in batch]


def test_the_environment_is_asked_and_leaves_others_to_gym(tmp_path: Path) -> None:
    assert isinstance(input_source(write(tmp_path, "a"), Words()), ReadSource)
    assert isinstance(input_source(write(tmp_path, "a", name="x.jsonl"), Words()), FileSource)
    assert isinstance(input_source(write(tmp_path, "a"), ResourceServer()), FileSource)
    assert isinstance(input_source("-", Words()), FileSource)


def test_a_file_is_counted_and_hashed_before_it_runs(tmp_path: Path) -> None:
    source = source_of(write(tmp_path, "a", "b"))
    assert source.check()
    assert (source.info.tasks, source.info.size, source.info.read_as) == (2, 4, "in words")
    assert len(source.info.sha256 or "") == 64
    assert [task.index for batch in source.batches() for task in batch] == [0, 1]
    assert ids(source) == ["1", "2"]
    assert ids(source, 1) == ["1"]


def test_rows_that_cannot_be_used_are_listed_or_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "a", "!", "b", "!")
    with pytest.raises(errors.InputError, match=r"x\.txt:2: no word\n.*x\.txt:4: no word \(.*--skip-invalid"):
        source_of(path).check()
    source = source_of(path, skip_invalid=True)
    assert source.check()
    assert ids(source) == ["1", "3"]
    assert (source.info.tasks, source.info.skipped) == (2, 2)


def test_a_file_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.InputError, match="there is no task in it"):
        source_of(write(tmp_path)).check()


def test_ids_that_repeat_give_way_to_numbers(tmp_path: Path) -> None:
    source = source_of(write(tmp_path, "a=1", "b=2", "a=3"))
    source.check()
    assert ids(source) == ["1", "2", "3"]
    assert "row 3: the task_id 'a' stands on an earlier line already" in source.info.notice
    with pytest.raises(errors.InputError, match="`word` is missing"):
        source_of(write(tmp_path, "a"), task_id="word").check()


def test_what_the_reader_raises_is_its_own_defect(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"Words: .*x\.txt cannot be read: ZeroDivisionError: so it goes"):
        source_of(write(tmp_path, "a", "?")).check()


def test_a_long_file_is_looked_into_and_then_read_as_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_source, "CHECKED_WHOLE", 10)
    monkeypatch.setattr(read_source, "CHECKED_AHEAD", 2)
    path = write(tmp_path, "first", "second", "third", "!")
    source = source_of(path)
    assert not source.check()
    assert (source.info.tasks, source.info.sha256) == (None, None)
    assert source.info.fingerprint
    with pytest.raises(errors.InputError, match=r"x\.txt:4: no word"):
        ids(source)


def test_a_run_takes_its_tasks_in_order_all_of_them_once_before_any_again(tmp_path: Path) -> None:
    source = source_of(write(tmp_path, *(f"w{number}" for number in range(200))))
    source.check()
    tasks = TaskSource(source, repeats=2, limit=150)

    async def read() -> list[tuple[str, int]]:
        return [(job.task.task_id, job.repeat) async for job in tasks.jobs()]

    assert asyncio.run(read()) == [(str(number), repeat) for repeat in (0, 1) for number in range(1, 151)]
    assert tasks.planned == 300
    tasks.close()


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises((UsageError, PluginError), match=r"missing\.txt"):
        source_of(tmp_path / "missing.txt").check()
