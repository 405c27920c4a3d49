"""Runs as they lie on disk, made up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gym_core.spi import Manifest

USAGE = {
    "input_tokens": 120,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 140,
}


def message(role: str, text: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def tool_call(name: str, arguments: str, call_id: str = "call_1") -> dict[str, Any]:
    return {"type": "function_call", "name": name, "arguments": arguments, "call_id": call_id}


def tool_output(output: Any, call_id: str = "call_1") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def model_call(shown: list[list[int]], gave: list[list[int]], **more: Any) -> dict[str, Any]:
    return {
        "actor": "policy", "role": "policy", "continues": None, "kept": 0, "shown": shown, "gave": gave, "at": 0.1,
        "latency": 0.5, "waited": 0.1, "attempts": 1, "usage": USAGE, "response_id": "r", "model": "m", **more,
    }  # fmt: skip


def row(task_id: str, repeat: int = 0, reward: float | None = 1.0, **more: Any) -> dict[str, Any]:
    """A row. `more`: fields of `rollout`, but for `fields` (of the task), `input`, `output` and `components`."""
    failed = reward is None
    fields = more.pop("fields", {"level": 1, "kind": "easy"})
    asked = more.pop("input", [message("user", f"What is {task_id}?")])
    output = more.pop("output", [message("assistant", f"It is {task_id}.")])
    components = more.pop("components", {} if failed else {"right": reward})
    about = {
        "run_id": "abc", "task_index": 0, "repeat": repeat, "attempt": 1,
        "status": "model_error" if failed else "completed",
        "stop_reason": None if failed else "completed", "info": {}, "error": None, "usage": USAGE, "cost": 0.01,
        "timing": {"finished_at": 1_700_000_000.0 + repeat, "seconds": 2.0, "verify_seconds": 0.25,
                   "model_seconds": 1.0, "waited_seconds": 0.1},
        "model_calls": [model_call([[0, len(asked)]], [[len(asked), len(asked) + len(output)]])],
        "tool_calls": [], "tools": {"calls": 0, "errors": {}}, "seed": 1, "model": "m", "env": "e", "agent": "a",
        "seed_sent": True,
    }  # fmt: skip
    if failed:
        about["error"] = {
            "class": "ServerError", "message": "the server failed (500)", "phase": "model", "retryable": True,
            "http_status": 500, "causes": ["a broken pipe"],
        }  # fmt: skip
    return {
        "task_id": task_id,
        **fields,
        "responses_create_params": {"input": asked, "instructions": "Be brief."},
        "response": {"id": "r", "object": "response", "output": output, "usage": USAGE},
        "reward": reward,
        "reward_components": components,
        "rollout": {**about, **more},
    }


def line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def write_run(
    rows: Path, rollouts: Iterable[Mapping[str, Any]], failures: Iterable[Mapping[str, Any]] = (), **settings: Any
) -> Path:
    """The files of a run that was killed: without a summary. `settings`: of its manifest."""
    rows.parent.mkdir(parents=True, exist_ok=True)
    rows.write_bytes(b"".join(map(line, rollouts)))
    if lines := b"".join(map(line, failures)):
        sibling(rows, ".failures.jsonl").write_bytes(lines)
    manifest = Manifest(
        "abc",
        {"models": {"policy": {"ref": "openai:m"}}, "env": {"ref": "e"}, "agent": {"ref": "a"}, **settings},
        {"limit": None, "repeats": 1},
        dataset={"tasks": 4, "sha256": None},
        created_at="2026-01-02T03:04:05+00:00",
    )
    sibling(rows, ".run.json").write_text(json.dumps(manifest.to_wire()))
    return rows


def sibling(rows: Path, suffix: str) -> Path:
    return rows.with_name(rows.name.removesuffix(".jsonl") + suffix)
