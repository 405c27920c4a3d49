"""A stored rollout as text: what it was, then every item of its conversation in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from rich.text import Text

from gym_core.cli.item_view import Block, item_block, on_one_line
from gym_core.cli.terminal import Styled, open_console, written
from gym_core.domain.conversation import MAIN, places_of
from gym_core.domain.quoting import quote
from gym_core.domain.responses import Usage
from gym_core.domain.rollout import Rollout, Status, Trajectory
from gym_core.domain.task import REQUEST_FIELD

_LABEL_WIDTH = 12
_RULE_WIDTH = 80


def render(row: dict[str, Any], *, width: int | None, redact: Callable[[str], str]) -> Styled:
    """The rollout of a row. `width`: columns of the terminal, None for text without colours and line breaks."""
    console = open_console(width)

    def line(text: str = "", style: str = "") -> None:
        console.print(Text(quote(redact(text)), style), soft_wrap=width is None)

    for label, value, style in header(row):
        console.print(
            Text.assemble((f"{label:<{_LABEL_WIDTH}}", "bold"), (quote(redact(value)), style)), soft_wrap=width is None
        )
    for block in blocks(row):
        line()
        title = f"── {block.title} "
        line(title.ljust(min(width or _RULE_WIDTH, _RULE_WIDTH), "─"), block.style)
        line(block.text, "dim" if block.dim else "")
    return written(console)


def header(row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What a rollout was, as label, value and style."""
    rollout = Rollout(row)
    about: Mapping[str, Any] = row.get("rollout") or {}
    attempt = f", attempt {about['attempt']}" if about.get("attempt", 1) != 1 else ""
    yield "task", f"{rollout.task_id}  (repeat {rollout.repeat}{attempt})", "bold"
    status = str(about.get("status") or Status.COMPLETED)
    good = status in (Status.COMPLETED, Status.TRUNCATED)
    reason = f"  (stop reason {rollout.stop_reason})" if rollout.stop_reason else ""
    yield "status", status + reason, "green" if good else "red"
    reward = "none: a failure has no reward" if rollout.reward is None else f"{rollout.reward:g}"
    parts = "  ".join(f"{name} {_number(value)}" for name, value in rollout.reward_components.items())
    yield "reward", f"{reward}  ({parts})" if parts else reward, ""
    yield from _error(rollout.error)
    for name in ("model", "models", "env", "agent"):
        if about.get(name):
            yield name, _reference(about[name]), ""
    yield "tokens", _tokens(rollout.usage), ""
    if isinstance(about.get("cost"), int | float):
        yield "cost", f"{about['cost']:.6f} USD", ""
    timing = about.get("timing")
    if isinstance(timing, Mapping):
        yield "time", _seconds(timing), ""
    if rollout.model_calls:
        yield "model calls", str(len(rollout.model_calls)), ""
    if about.get("seed") is not None:
        yield "seed", str(about["seed"]), ""
    if rollout.info:
        yield "info", on_one_line(rollout.info), ""


def blocks(row: dict[str, Any]) -> Iterator[Block]:
    """The instructions and every item of the conversation."""
    request = row.get(REQUEST_FIELD)
    request = request if isinstance(request, Mapping) else {}
    if request.get("instructions"):
        yield Block("instructions", str(request["instructions"]), "blue")
    trajectory = Rollout(row).trajectory
    items = [*trajectory.input, *trajectory.items, *trajectory.others]
    start, end = len(trajectory.input), len(trajectory.input) + len(trajectory.items)
    answers = {output + start: call + start for output, call in trajectory.answers.items()}
    answers |= {run.output: run.call for run in trajectory.tool_runs or ()}
    for place, who in _in_order(trajectory, len(items)):
        block = item_block(items[place], items[answers[place]].get("name") if place in answers else None)
        title = block.title
        if who not in ("", MAIN):
            title = f"{who}: {title}"
        elif place >= end:
            title += " (given up)" if who else " (of the agent)"
        yield replace(block, title=title)


def _in_order(trajectory: Trajectory, end: int) -> Iterator[tuple[int, str]]:
    """Every item once, by its place, when it was first shown or said, with who was the first to see it alone.

    That is nobody for what is part of the main conversation, and for what the agent itself has put there.
    """
    told: set[int] = set()
    for call in trajectory.model_calls:
        shown = [place for place in places_of(call.shown) if place not in told]
        gave = [place for place in places_of(call.gave) if place not in told]
        told.update(shown, gave)
        yield from ((place, "" if call.actor == MAIN else call.actor) for place in shown)
        yield from ((place, call.actor) for place in gave)
    yield from ((place, "") for place in range(end) if place not in told)


def _error(error: Mapping[str, Any] | None) -> Iterator[tuple[str, str, str]]:
    if not error:
        return
    where = f"  (while: {error['phase']})" if error.get("phase") else ""
    yield "error", f"{error.get('class', 'Error')}: {error.get('message', '')}{where}", "red"
    for cause in error.get("causes") or ():
        yield "", f"caused by {cause}", "red"


def _reference(value: Any) -> str:
    if isinstance(value, Mapping):
        if isinstance(value.get("ref"), str):
            return str(value["ref"])
        return "  ".join(f"{name}={_reference(inner)}" for name, inner in value.items())
    return str(value)


def _tokens(usage: Usage) -> str:
    cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
    reasoning = f" ({usage.reasoning_tokens} for reasoning)" if usage.reasoning_tokens else ""
    return f"{usage.input_tokens} in{cached}, {usage.output_tokens} out{reasoning}"


def _seconds(timing: Mapping[str, Any]) -> str:
    """All durations; the field `seconds` is the whole, `model_seconds` a part of it."""
    shown = []
    for name, value in timing.items():
        if name.endswith("seconds") and isinstance(value, int | float):
            part = name.removesuffix("seconds").rstrip("_")
            shown.append(f"{value:.2f} s {part}".rstrip())
    return ", ".join(shown)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
