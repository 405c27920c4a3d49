"""Rewards as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gym_core.domain.quoting import one_line


def mean_text(value: Mapping[str, Any]) -> str:
    """`0.5000 ± 0.1000`, without the error where there is none, and a dash for nothing."""
    if value["mean"] is None:
        return "-"
    error = value["standard_error"]
    return f"{value['mean']:.4f}" + (f" ± {error:.4f}" if error is not None else "")


def breakdown_lines(account: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The breakdowns of a reward by fields, then an environment's own metrics, as label and text."""
    yield from _by_lines(account["reward"])
    metrics = account["metrics"]
    if metrics:
        yield "metrics", ""
    for name, metric in metrics.items():
        yield f"  {one_line(name)}", f"{metric['mean']:.6g} ({metric['min']:.6g} to {metric['max']:.6g})"


def _by_lines(reward: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field, breakdown in reward.get("by", {}).items():
        yield f"by {field}", ""
        for value, group in breakdown["values"].items():
            yield f"  {one_line(value)}", f"{mean_text(group)} over {_counted(group)}"
        others = breakdown["others"]
        if others is not None:
            how_many = f"{others['values']:,}{' and more' if others['more'] else ''} other values"
            mean = "-" if others["mean"] is None else f"{others['mean']:.4f}"
            yield f"  ({how_many})", f"{mean} over {_counted(others)}"


def _counted(group: Mapping[str, Any]) -> str:
    """How many rollouts a mean is over, and how many it leaves out."""
    return f"{group['rollouts']:,}" + (f", {group['left_out']:,} failed" if group["left_out"] else "")
