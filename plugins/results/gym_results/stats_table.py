"""The table of `gym stats`: of one file a line per number, of several a line per file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from gym_core.spi import Terminal, breakdown_lines, mean_text, one_line, styled

Result: TypeAlias = Mapping[str, Any]

NOTHING = "-"
_GAP = "  "
_WHAT_RAN = ("model", "env", "agent")
_SHARED_WIDTH = max(map(len, _WHAT_RAN))


def lines(results: Sequence[Result], detect: float | None = None) -> Iterator[list[str]]:
    """The lines of the table, with what it takes to `detect` a difference. A number that no file has makes none."""
    rewards = [result["reward"] for result in results]
    for name in _WHAT_RAN:
        yield from _line(name, [result[name] for result in results])
    yield ["with a verdict", *(f"{result['rollouts']['with_verdict']:,}" for result in results)]
    yield from _counts("truncated", [result["statuses"].get("truncated", 0) for result in results])
    yield from _counts("failed", [result["rollouts"]["failed"] for result in results])
    for status in _keys(_failed(result) for result in results):
        yield from _counts(f"  {status}", [result["statuses"].get(status, 0) for result in results])
    yield from _counts("cancelled", [result["rollouts"]["cancelled"] for result in results])
    yield ["reward", *map(mean_text, rewards)]
    yield from _line("  95 %", [_interval(reward) for reward in rewards])
    yield from _line("  with failures as 0", [_over_all(reward) for reward in rewards])
    yield from _named([_components(reward) for reward in rewards])
    groups = [result["groups"] or {} for result in results]
    yield from _line("  in groups", [_in_groups(found) for found in groups])
    yield from _counts("groups scored", [found.get("scored", 0) for found in groups])
    yield from _counts("groups failed", [found.get("failed", 0) for found in groups])
    yield from _named([list(_passes(reward)) for reward in rewards])
    yield from _line("flips", [_flips(reward) for reward in rewards])
    yield from _power([result["power"] for result in results], detect)
    yield from _named([list(breakdown_lines(result)) for result in results])
    yield from _counts("tokens in", [result["usage"]["input_tokens"] for result in results])
    yield from _counts("tokens out", [result["usage"]["output_tokens"] for result in results])
    exact = [result["exact_tokens"] for result in results]
    for label, name in (("breaks", "breaks"), ("without usable", "problems"), ("mixed weights", "mixed_versions")):
        yield from _counts(f"  {label}", [found[name] for found in exact])
    costs = [result["cost"] for result in results]
    yield from _line("cost", [None if cost is None else f"{cost:.4f} USD" for cost in costs])
    tools = [result["tools"] for result in results]
    yield from _counts("tool calls", [tool["calls"] for tool in tools])
    for kind in _keys(tool["errors"] for tool in tools):
        yield from _counts(f"  {kind}", [tool["errors"].get(kind, 0) for tool in tools])
    for label, name in (("seconds per rollout", "rollout"), ("  in the model", "model"), ("  waited", "waited")):
        yield from _line(label, [_seconds(result["mean_seconds"][name]) for result in results])
    causes = [_causes(result) for result in results]
    for cause in _keys(causes):
        yield from _counts(f"failed: {cause}", [counts.get(cause, 0) for counts in causes])
    failures = [{one["class"]: one["count"] for one in found.get("errors", ())} for found in groups]
    for cause in _keys(failures):
        yield from _counts(f"groups failed: {cause}", [counts.get(cause, 0) for counts in failures])


def _line(label: str, cells: Sequence[str | None]) -> Iterator[list[str]]:
    if any(cells):
        yield [label, *(cell or NOTHING for cell in cells)]


def _counts(label: str, counts: Sequence[int]) -> Iterator[list[str]]:
    if any(counts):
        yield [label, *(f"{count:,}" for count in counts)]


def print_one(terminal: Terminal, title: str, rows: Sequence[Sequence[str]]) -> None:
    """Write the lines of one file, whole: a label, and what it is."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    size = max(len(label) for label, _ in cells)
    terminal.out(styled(" " * (size + len(_GAP)) + _cell(title), bold=True))
    for label, text in cells:
        terminal.out(f"{label:<{size}}{_GAP}{text}".rstrip())


def print_several(terminal: Terminal, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a line per file, with as many columns as a terminal has room for; the others follow below, likewise.

    What all files have in common of what ran stands once, above.
    """
    names = [*map(_cell, titles)]
    for row in rows:
        if _is_shared(row):
            terminal.out(f"{row[0]:<{_SHARED_WIDTH}}{_GAP}{_cell(row[1])}")
    for heading, columns in _sections([[_cell(cell) for cell in row] for row in rows if not _is_shared(row)]):
        for block in _blocks([heading, *names], columns, terminal.width):
            terminal.out("")
            widths = [max(map(len, column)) for column in block]
            for number, cells in enumerate(zip(*block, strict=True)):
                line = _GAP.join(cell.ljust(size) for cell, size in zip(cells, widths, strict=True)).rstrip()
                terminal.out(styled(line, bold=True) if number == 0 else line)


def _is_shared(row: Sequence[str]) -> bool:
    return row[0] in _WHAT_RAN and len({*row[1:]}) == 1


def _sections(rows: Iterable[Sequence[str]]) -> Iterator[tuple[str, list[list[str]]]]:
    """Columns, each a title and its cells, under the headings that have no numbers of their own."""
    heading, columns = "", list[list[str]]()
    for label, *cells in rows:
        if not label.startswith(" ") and not {*cells} - {"", NOTHING}:
            yield from [(heading, columns)] if columns else []
            heading, columns = label, []
        elif heading and not label.startswith(" "):
            yield heading, columns
            heading, columns = "", [[label, *cells]]
        else:
            columns.append([label.strip(), *cells])
    if columns:
        yield heading, columns


def _blocks(names: list[str], columns: Iterable[list[str]], width: int | None) -> Iterator[list[list[str]]]:
    """The columns in blocks that fit the width, each with the names first."""
    first = max(map(len, names))
    block, used = [[*names]], first
    for column in columns:
        needed = len(_GAP) + max(map(len, column))
        if width is not None and used + needed > width and len(block) > 1:
            yield block
            block, used = [[*names]], first
        block.append(column)
        used += needed
    yield block


def _cell(text: str) -> str:
    """A cell on one line; its indent says what it belongs to."""
    return " " * (len(text) - len(text.lstrip(" "))) + one_line(text)


def difference_lines(
    first: str, second: str, found: Mapping[str, Any] | None, detect: float | None = None
) -> Iterator[str]:
    """A paired difference in words, and what it could have shown."""
    if found is None:
        yield f"{second} and {first} have no task in common, so their rewards cannot be paired"
        return
    text = f"reward of {second} minus {first}: {found['difference']:+.4f}"
    if found["standard_error"] is not None:
        low, high = found["interval_95"]
        text += f" ± {found['standard_error']:.4f} (95 %: {low:+.4f} to {high:+.4f})"
    text += f", paired over {found['tasks']:,} common tasks"
    alone = [f"{found[key]:,} only in {name}" for key, name in (("only_first", first), ("only_second", second))]
    left_out = [words for key, words in zip(("only_first", "only_second"), alone, strict=True) if found[key]]
    yield text + (f" ({', '.join(left_out)})" if left_out else "")
    same = found["tasks"] - found["better"] - found["worse"]
    yield f"{_GAP}better in {found['better']:,} of them, worse in {found['worse']:,}, the same in {same:,}"
    if found["power"] is not None:
        yield f"{_GAP}could show a difference of {_smallest(found['power']) or 'nothing known'}"
        if detect is not None:
            yield f"{_GAP}to show {detect:g}: {_needed(found['power'])}"


def _interval(reward: Mapping[str, Any]) -> str | None:
    return "{:.4f} to {:.4f}".format(*reward["interval_95"]) if reward["interval_95"] is not None else None


def _flips(reward: Mapping[str, Any]) -> str | None:
    flips = reward.get("flips")
    return f"{flips['flipped']:,} of {flips['tasks']:,} tasks" if flips is not None and flips["tasks"] else None


def _power(powers: Sequence[Mapping[str, Any] | None], detect: float | None) -> Iterator[list[str]]:
    """What comparisons with a run like these could show: at worst, and at best where both pair well."""
    kinds = (("could show", "unpaired"), ("  if paired", "paired"))
    for label, kind in kinds:
        found = [power[kind] if power is not None else None for power in powers]
        yield from _line(label, [_smallest(power) if power is not None else None for power in found])
    if detect is not None:
        for label, kind in ((f"to show {detect:g}", "unpaired"), kinds[1]):
            found = [power[kind] if power is not None else None for power in powers]
            yield from _line(label, [_needed(power) if power is not None else None for power in found])


def _smallest(power: Mapping[str, Any]) -> str | None:
    return f"{power['smallest_difference']:.4f}" if power["smallest_difference"] is not None else None


def _needed(power: Mapping[str, Any]) -> str:
    needed = {what: power[f"{what}_needed"] for what in ("tasks", "repeats")}
    return ", or ".join(f"{count:,} {what}" for what, count in needed.items() if count) or "nothing known"


def _named(columns: Sequence[list[tuple[str, str]]]) -> Iterator[list[str]]:
    """Lines whose labels the results name themselves, each where it first appears."""
    tables = [_under_headings(column) for column in columns]
    merged: list[str] = []
    for table in tables:
        place = 0
        for label in table:
            if label not in merged:
                merged.insert(place, label)
            place = merged.index(label) + 1
    for label in merged:
        yield [label.rpartition("\n")[2], *(table.get(label, NOTHING) for table in tables)]


def _under_headings(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The pairs by label, each indented label together with its heading: two fields may have a value in common."""
    heading = ""
    table: dict[str, str] = {}
    for label, text in pairs:
        if label.startswith(" "):
            table[f"{heading}\n{label}"] = text
        else:
            heading = label
            table[label] = text
    return table


def _passes(reward: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for measure in ("pass@k", "pass^k"):
        for k, value in reward.get(measure, {}).items():
            yield f"{measure[:-1]}{k}", mean_text(value)


def _components(reward: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(f"  {name}", mean_text(component)) for name, component in reward["components"].items()]


def _over_all(reward: Mapping[str, Any]) -> str | None:
    return f"{reward['mean_over_all']:.4f}" if reward["left_out"] and reward["mean"] is not None else None


def _in_groups(groups: Mapping[str, Any]) -> str | None:
    return mean_text(groups["reward"]) if groups.get("scored") else None


def _failed(result: Result) -> list[str]:
    return [status for status in result["statuses"] if status not in ("completed", "truncated", "cancelled")]


def _causes(result: Result) -> dict[str, int]:
    return {f"{group['class']} ({group['phase']})": group["count"] for group in result["errors"]}


def _seconds(value: float | None) -> str | None:
    return f"{value:.3g}" if value else None


def _keys(keys: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(key for each in keys for key in each))
