"""A stored rollout as text: what it was, then every item of its conversation in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from rich.text import Text

from gym_core import Rollout, Status, ToolRun, Trajectory, Usage
from gym_core.spi import MAIN, REQUEST_FIELD, RESULT_FIELDS, one_line, open_console, places_of, quote, written
from gym_results.item_view import Block, as_json, item_block, on_one_line

if TYPE_CHECKING:
    from rich.console import Console

_LABEL_WIDTH = 12
_RULE_WIDTH = 80
_NOT_OF_THE_TASK = {"task_id", REQUEST_FIELD, *RESULT_FIELDS}


def render(row: dict[str, Any], *, width: int | None, redact: Callable[[str], str], place: str = "") -> str:
    """The rollout of a row. `width`: columns of the terminal, None for text without colours and line breaks.

    `place`: where it stands, such as file and line; shown where there is one.
    """
    console = open_console(width)
    for label, value, style in chain([("row", place, "")] if place else [], header(row)):
        console.print(field_text(label, redact(value), style), soft_wrap=width is None)
    for block in blocks(row):
        console.print()
        print_block(console, block, width, redact)
    return written(console)


def field_text(label: str, value: str, style: str = "") -> Text:
    """A line of the header."""
    return Text.assemble((f"{one_line(label):<{_LABEL_WIDTH}}", "bold"), (quote(value), style))


def print_block(console: Console, block: Block, width: int | None, redact: Callable[[str], str]) -> None:
    """A title with a rule, and the text."""
    for text in block_texts(block, min(width or _RULE_WIDTH, _RULE_WIDTH), redact):
        console.print(text, soft_wrap=width is None)


def block_texts(block: Block, width: int, redact: Callable[[str], str]) -> Iterator[Text]:
    """Its title, with a rule as wide as `width`, and its text if it has any."""
    rule = "═" if block.heading else "─"
    yield Text(f"{rule * 2} {one_line(redact(block.title))} ".ljust(width, rule), block.style)
    if not block.heading:
        yield Text(quote(redact(block.text)), "dim" if block.dim else "")


def header(row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What a rollout was, as label, value and style."""
    rollout = Rollout(row)
    about: Mapping[str, Any] = row.get("rollout") or {}
    attempt = f", attempt {about['attempt']}" if about.get("attempt", 1) != 1 else ""
    yield "task", f"{one_line(rollout.task_id)}  (repeat {rollout.repeat}{attempt})", "bold"
    status = str(about.get("status") or Status.COMPLETED)
    good = status in (Status.COMPLETED, Status.TRUNCATED)
    reason = f"  (stop reason {rollout.stop_reason})" if rollout.stop_reason else ""
    yield "status", status + reason, "green" if good else "red"
    reward = "none: a failure has no reward" if rollout.reward is None else f"{rollout.reward:g}"
    parts = "  ".join(f"{name} {_number(value)}" for name, value in rollout.reward_components.items())
    yield "reward", f"{reward}  ({parts})" if parts else reward, ""
    yield from _in_group(about.get("group"))
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
    """The task's own fields, the instructions, and every item: the main conversation, then those of other actors."""
    own = {name: value for name, value in row.items() if name not in _NOT_OF_THE_TASK}
    if own:
        yield Block(
            "task fields", "\n".join(f"{one_line(name)}: {as_json(value)}" for name, value in own.items()), "blue"
        )
    request = row.get(REQUEST_FIELD)
    request = request if isinstance(request, Mapping) else {}
    if request.get("instructions"):
        yield Block("instructions", str(request["instructions"]), "blue")
    trajectory = Rollout(row).trajectory
    told = _Told(trajectory)
    yield from told.blocks_of("")
    for actor in told.others:
        calls = sum(call.actor == actor for call in trajectory.model_calls)
        yield Block(f"{actor}: {calls} model {'call' if calls == 1 else 'calls'}", "", "bold magenta", heading=True)
        yield from told.blocks_of(actor)


class _Told:
    """Every item of a rollout once, when it was first shown or said, each output after its own call.

    An item belongs to the actor who alone was shown it or said it, else to nobody: what is part of the main
    conversation, and what the agent itself has put there. `others`: the actors beside the main one.
    """

    def __init__(self, trajectory: Trajectory) -> None:
        self._items = [*trajectory.input, *trajectory.items, *trajectory.others]
        self._start = len(trajectory.input)
        self._end = self._start + len(trajectory.items)
        self._answers = {output + self._start: call + self._start for output, call in trajectory.answers.items()}
        self._answers |= {run.output: run.call for run in trajectory.tool_runs or ()}
        self._runs: dict[int, ToolRun] = {run.output: run for run in trajectory.tool_runs or ()}
        self._turns: dict[int, int] = {}
        self._places: dict[str, list[int]] = {"": []}
        self._assign(trajectory)
        self.others = [actor for actor in self._places if actor not in ("", MAIN)]

    def _assign(self, trajectory: Trajectory) -> None:
        told: set[int] = set()
        turns: dict[str, int] = {}
        for call in trajectory.model_calls:
            turns[call.actor] = turns.get(call.actor, 0) + 1
            who = "" if call.actor == MAIN else call.actor
            for place in chain(places_of(call.shown), places_of(call.gave)):
                if place not in told:
                    told.add(place)
                    self._places.setdefault(who, []).append(place)
            self._turns.update(dict.fromkeys(places_of(call.gave), turns[call.actor]))
        self._places[""] += [place for place in range(len(self._items)) if place not in told]

    def blocks_of(self, actor: str) -> Iterator[Block]:
        """The items of an actor, in order."""
        places = self._places[actor]
        outputs: dict[int, list[int]] = {}
        for place in places:
            if place in self._answers:
                outputs.setdefault(self._answers[place], []).append(place)
        mine = {*places}
        for place in places:
            if self._answers.get(place) not in mine:
                yield self._block(place, actor)
                for output in outputs.get(place, ()):
                    yield self._block(output, actor)

    def _block(self, place: int, actor: str) -> Block:
        call = self._answers.get(place)
        block = item_block(self._items[place], self._items[call].get("name") if call is not None else None)
        turn = self._turns.get(place if call is None else call)
        title = f"turn {turn} · {block.title}" if turn is not None else block.title
        if (run := self._runs.get(place)) is not None and run.error:
            title += f" ({run.error})"
        if not actor and place >= self._end:
            title += " (given up)" if place in self._turns else " (of the agent)"
        return replace(block, title=title)


def _in_group(group: Mapping[str, Any] | None) -> Iterator[tuple[str, str, str]]:
    """What the environment said of the rollout beside the others of its task."""
    if not group:
        return
    if error := group.get("error"):
        yield "in group", f"not scored: {error.get('class')}: {error.get('message')}", "red"
        return
    parts = "  ".join(f"{name} {_number(value)}" for name, value in group["components"].items())
    yield "in group", f"{group['reward']:g}  ({parts})" if parts else f"{group['reward']:g}", ""
    if group["info"]:
        yield "group info", on_one_line(group["info"]), ""


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
