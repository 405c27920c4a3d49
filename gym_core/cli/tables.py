"""The closing account of a run, on standard error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gym_core.cli.reward_lines import breakdown_lines, mean_text
from gym_core.cli.terminal import Terminal, open_console, written
from gym_core.domain.quoting import quote
from gym_core.domain.rollout import Status
from gym_core.engine.run.progress_line import duration

_CANCELLED = Status.CANCELLED.value


def print_summary(terminal: Terminal, summary: Mapping[str, Any]) -> None:
    """Print what a run came to, and its failures by cause."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    tty = terminal.error_width is not None
    console = open_console(terminal.error_width)

    def cell(value: str) -> Text:
        return Text(quote(terminal.redactor.redact(value)))

    table = Table(box=box.ROUNDED if tty else None, show_header=False, pad_edge=tty)
    table.add_column(style="bold")
    table.add_column()
    for name, value in facts(summary):
        table.add_row(cell(name), cell(value))
    console.print(table)
    failed = [group for group in summary["errors"] if group["status"] != _CANCELLED]
    if failed:
        failures = Table(
            box=box.ROUNDED if tty else None, title="failures by cause", title_justify="left", pad_edge=tty
        )
        for column in ("count", "status", "cause", "example", "what to do"):
            failures.add_column(column, justify="right" if column == "count" else "left", overflow="fold")
        for group in failed:
            failures.add_row(
                cell(str(group["count"])),
                cell(group["status"]),
                cell(f"{group['class']} ({group['phase']})"),
                cell(group["example"][:300]),
                cell(group["remedy"]),
            )
        console.print(failures)
    terminal.note(written(console))
    if "rescored" in summary:
        _compare(terminal, summary["rescored"])


def facts(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The lines of the closing table."""
    counts, reward, usage = summary["rollouts"], summary["reward"], summary["usage"]
    if summary["state"] == "stopped":
        yield "state", "stopped"  # the error below says why
    elif summary["state"] != "finished":
        yield "state", summary["message"]
    parts = [f"{counts['with_verdict']} with a verdict"]
    parts += [f"{counts[name]} {name}" for name in ("failed", "cancelled") if counts[name]]
    if counts["kept"]:
        parts.append(f"{counts['kept']} of them from before")
    if counts["skipped_rows"]:
        parts.append(f"{counts['skipped_rows']} input rows skipped")
    yield "rollouts", ", ".join(parts)
    for group in summary["errors"]:
        if group["status"] == _CANCELLED and summary["state"] == "finished":
            yield "cancelled", f"{group['count']}: {group['example']}"
    if summary["statuses"].get("truncated"):
        yield "truncated", str(summary["statuses"]["truncated"])
    yield "reward", mean_text(reward) + _left_out(reward)
    for name, component in reward["components"].items():
        yield f"  {name}", mean_text(component)
    yield from _groups(summary["groups"] or {})
    yield from breakdown_lines(summary)
    for measure in ("pass@k", "pass^k"):
        for k, value in reward.get(measure, {}).items():
            yield f"{measure[:-1]}{k}", mean_text(value)
    yield "tokens", f"{usage['input_tokens']:,} in, {usage['output_tokens']:,} out"
    exact = summary.get("exact_tokens") or {}
    if any(exact.values()):
        yield "  exact", _exact(exact)
    for role, spending in summary.get("roles", {}).items():
        yield f"  {role}", _role(spending)
    if summary["cost"] is not None:
        yield "cost", f"{summary['cost']:.6g} USD"
    if summary.get("budget"):
        yield "budget", ", ".join(_spent(summary["budget"]))
    tools = summary["tools"]
    if tools["calls"]:
        errors = ", ".join(f"{count} {kind}" for kind, count in tools["errors"].items())
        yield "tool calls", f"{tools['calls']}" + (f" ({errors})" if errors else "")
    yield "time", f"{duration(summary['seconds'])}, {summary['rollouts_per_second'] or 0:.3g} rollouts/s"
    if summary["output"]:
        yield "rows", summary["output"]


def _groups(groups: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the environment said of the rollouts of a task together."""
    if groups.get("scored"):
        yield "  in groups", f"{mean_text(groups['reward'])} over {groups['scored']:,} groups"
    for error in groups.get("errors", ()):
        yield "groups failed", f"{error['count']:,}, {error['class']}: {error['example'][:300]}"


def _left_out(reward: Mapping[str, Any]) -> str:
    if not reward["left_out"] or reward["mean"] is None:
        return ""
    left_out = f"leaving out {reward['left_out']} that failed ({reward['mean_over_all']:.4f} over all)"
    return f" over {reward['rollouts']}, {left_out}"


def _exact(exact: Mapping[str, int]) -> str:
    said = (
        (exact["breaks"], "calls went on from text encoded anew"),
        (exact["problems"], "calls without usable tokens"),
        (exact["mixed_versions"], "rollouts mix versions of the weights"),
    )
    return ", ".join(f"{count} {what}" for count, what in said if count)


def _role(spending: Mapping[str, Any]) -> str:
    usage = spending["usage"]
    text = f"{usage['input_tokens']:,} in, {usage['output_tokens']:,} out"
    return text if spending["cost"] is None else f"{text}, {spending['cost']:.6g} USD"


def _spent(budget: Mapping[str, Any]) -> Iterator[str]:
    if budget["max_tokens"] is not None:
        yield f"{budget['spent_tokens']:,} of {budget['max_tokens']:,} tokens"
    if budget["max_cost"] is not None:
        yield f"{budget['spent_cost']:.6g} of {budget['max_cost']:g} USD"
    unreported = budget["unreported"]
    if unreported["calls"]:
        yield f"at most, with {unreported['calls']} attempts that did not tell what they took"


def _compare(terminal: Terminal, rescored: Mapping[str, Any]) -> None:
    """Print old and new mean, and how many rewards changed, on standard error."""
    lines = [("rescored", f"{rescored['rollouts']:,} rollouts, {rescored['changed']:,} rewards changed")]
    if rescored["failed"]:
        lines.append(("failed", f"{rescored['failed']:,} could not be verified again and have no reward now"))
    if rescored["carried_over"]:
        lines.append(("carried over", f"{rescored['carried_over']:,} that had failed before"))
    if rescored["rollouts"]:
        lines += [(f"reward {name}", mean_text(rescored[name])) for name in ("before", "after")]
        lines.append(("change", mean_text(rescored["change"])))
    width = max(len(label) for label, _ in lines)
    for label, text in lines:
        terminal.note(f" {label:<{width}}  {text}")
