"""The log of a run."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from gym_core import UsageError
from gym_core.engine.events.logs import JsonFormatter, LogFile, log, logging_to
from gym_core.errors import AuthenticationError, BadRequestError, RateLimitError
from gym_core.spi import Redactor
from tests.support.envs import env
from tests.support.models import ScriptedModel
from tests.support.running import read_jsonl, run

logger = logging.getLogger("gym")


def test_a_run_tells_its_story(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "run.log"
    ended = run(None, env(tasks=2), log_file=file, output=tmp_path / "x.jsonl")
    entries = read_jsonl(file)
    assert [entry["event"] for entry in entries] == [
        "run_started", "rollout_finished", "rollout_finished", "run_finished",
    ]  # fmt: skip
    assert {entry["run_id"] for entry in entries} == {ended.summary["run_id"]}
    assert list(entries[0]) == ["time", "level", "event", "message", "run_id", "task_id", "repeat", "fields"]
    assert entries[0]["fields"]["rollouts"] == 2
    first = next(entry for entry in entries if entry["task_id"] == "t0")
    assert (first["repeat"], first["level"], first["fields"]["reward"]) == (0, "info", 1.0)
    assert first["fields"]["status"] == "completed"
    assert first["fields"]["seconds"] >= 0
    assert entries[-1]["fields"]["state"] == "finished"
    assert entries[-1]["fields"]["reward"] == 1.0


def test_retries_and_fewer_requests_at_once_are_logged(tmp_path: Path) -> None:
    file = tmp_path / "log"
    model = ScriptedModel(RateLimitError("slow down", retry_after=0.0, status=429), "done")
    run(model, log_file=file)
    entries = {entry["event"]: entry for entry in read_jsonl(file)}
    assert "slow down" in entries["model_call_retried"]["message"]
    assert (entries["model_call_retried"]["task_id"], entries["model_call_retried"]["fields"]["attempt"]) == ("t0", 1)
    assert entries["inflight_lowered"]["fields"]["limit"] >= 1


def test_a_failure_and_what_stopped_the_run_are_logged(tmp_path: Path) -> None:
    file = tmp_path / "log"
    run(ScriptedModel(AuthenticationError("no such key", status=401)), log_file=file)
    last = read_jsonl(file)[-1]
    assert (last["event"], last["level"], last["fields"]["error"]["class"]) == (
        "run_finished", "error", "AuthenticationError",
    )  # fmt: skip
    run(ScriptedModel(BadRequestError("bad", status=400)), log_file=file)
    failed = [entry for entry in read_jsonl(file) if entry["event"] == "rollout_finished"][-1]
    assert failed["fields"]["error"]["class"] == "BadRequestError"
    assert len([entry for entry in read_jsonl(file) if entry["event"] == "run_started"]) == 2  # it is appended to


def test_secrets_are_masked(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with logging_to(file, Redactor(["sk-verysecret"])):
        logger.warning("the key sk-verysecret is wrong")
        log("thing", "nothing", fields={"header": "Bearer sk-verysecret"})
    assert "verysecret" not in file.read_text()
    assert [entry["message"] for entry in read_jsonl(file)] == ["the key *** is wrong", "nothing"]


def test_plain_warnings_and_tracebacks_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with logging_to(file, Redactor()):
        try:
            raise ValueError("inner")
        except ValueError:
            logger.exception("it %s", "broke")
    (entry,) = read_jsonl(file)
    assert (entry["level"], entry["event"], entry["message"]) == ("error", "log", "it broke")
    assert "ValueError: inner" in entry["fields"]["traceback"]


def test_what_is_no_json_stands_as_text() -> None:
    record = logger.makeRecord("gym", logging.INFO, "", 0, "odd \ud800", (), None, extra={"fields": {1: object()}})
    entry = orjson.loads(JsonFormatter().line(record))
    assert entry["message"] == "odd ?"
    assert entry["fields"]["1"].startswith("<object")


def test_a_file_that_cannot_be_opened_is_refused_before_anything_happens(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="directory"):
        run(None, log_file=tmp_path, output=tmp_path / "x.jsonl")
    assert list(tmp_path.iterdir()) == []
    handlers = [reference() for reference in logging._handlerList]  # type: ignore[attr-defined]  # closed at exit
    assert all(hasattr(handler, "_descriptor") for handler in handlers if isinstance(handler, LogFile))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_said_once_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    ended = run(None, env(tasks=3), log_file="/dev/full")
    assert ended.statuses() == ["completed"] * 3
    assert len([record for record in caplog.records if "without its log" in record.getMessage()]) == 1


def test_a_line_that_was_cut_off_does_not_spoil_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "log"
    whole = os.write
    script: list[Any] = [5, OSError(28, "No space left on device")]

    def partly(descriptor: int, data: bytes) -> int:
        if script:
            step = script.pop(0)
            if isinstance(step, OSError):
                raise step
            return whole(descriptor, data[:step])
        return whole(descriptor, data)

    handler = LogFile(file, Redactor())
    monkeypatch.setattr(os, "write", partly)
    record = logger.makeRecord("gym", logging.INFO, "", 0, "fine", (), None)
    handler.handle(record)
    handler.handle(record)
    monkeypatch.undo()
    handler.close()
    torn, line = file.read_bytes().splitlines()
    assert len(torn) == 5
    assert b'"fine"' in line


def test_the_level_of_the_logger_is_as_before(tmp_path: Path) -> None:
    before = logger.level
    run(None, log_file=tmp_path / "log")
    assert (logger.level, [h for h in logger.handlers if isinstance(h, LogFile)]) == (before, [])
