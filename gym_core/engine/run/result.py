"""What `gym_core.run` comes to: rollouts and their account, also as a data frame and as a table in a notebook."""

from __future__ import annotations

import html
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gym_core.domain.blame import message_of
from gym_core.domain.errors import UsageError
from gym_core.domain.group import Group
from gym_core.domain.quoting import one_line
from gym_core.domain.rollout import Rollout
from gym_core.engine.metrics.columns import flat_row

SHOWN = 20
"""How many rollouts the table of a notebook shows."""
_LETTERS = 300
_BEFORE = ("task_id", "repeat", "status", "reward")
_AFTER = ("answer", "stop_reason", "error_message", "input_tokens", "output_tokens", "cost", "seconds")
"""Columns of a record, before and after the components of the reward."""


@dataclass(frozen=True, slots=True, repr=False)
class RunResult:
    """A run that is over. In a notebook it is shown as a table.

    `rollouts`: in order of completion, failures among them; of a run that was resumed, those that ran now. `summary`:
    what stands in `x.summary.json`, of all rollouts. `error`: what stopped the run early, None where nothing did.
    `groups`: the rollouts by task, with what was said of them together, where the run has groups: with `group=True`,
    and where the environment scores groups.
    """

    rollouts: list[Rollout]
    summary: Mapping[str, Any]
    error: BaseException | None = None
    groups: list[Group] = field(default_factory=list)

    @property
    def reward(self) -> float | None:
        """The mean reward of the rollouts that have one; None where none has."""
        mean: float | None = self.summary["reward"]["mean"]
        return mean

    @property
    def output(self) -> str | None:
        """The file of the rows, None where none was kept."""
        path: str | None = self.summary["output"]
        return path

    def records(self) -> list[dict[str, Any]]:
        """A flat record for each rollout, as data frames want them.

        `task_id, repeat, status, reward`, the components of the reward as `component_NAME`, `answer` (the text of the
        last messages), `stop_reason, error_message`, tokens, `cost` in USD and `seconds`: columns of the tables that
        `gym export` writes. What a rollout has not is None.
        Where the environment has scored groups, `group_reward` is what it gave, and None where it gave nothing.
        """
        names = dict.fromkeys(name for rollout in self.rollouts for name in rollout.reward_components)
        records = [_record(rollout, list(names)) for rollout in self.rollouts]
        scored = {
            (group.task_id, repeat): verdict for group in self.groups for repeat, verdict in group.verdicts.items()
        }
        if scored:
            for rollout, record in zip(self.rollouts, records, strict=True):
                verdict = scored.get(rollout.key)
                record["group_reward"] = verdict.reward if verdict is not None else None
        return records

    def to_pandas(self) -> Any:
        """The records as a `pandas.DataFrame`. Raises `UsageError` where pandas is not installed."""
        return _library("pandas").DataFrame(self.records())

    def to_polars(self) -> Any:
        """The records as a `polars.DataFrame`. Raises `UsageError` where polars is not installed."""
        return _library("polars").DataFrame(self.records(), infer_schema_length=None)

    def __len__(self) -> int:
        return len(self.rollouts)

    def __iter__(self) -> Iterator[Rollout]:
        return iter(self.rollouts)

    def __repr__(self) -> str:
        return f"<RunResult: {self._said()}>"

    def _repr_html_(self) -> str:
        """The table of a notebook. What models, tools and tasks have said is text in it, and never markup."""
        # Notebooks would typeset what stands between dollars; these classes keep them from it.
        parts = ['<div class="tex2jax_ignore mathjax_ignore">', f"<p>{_text(self._said())}</p>"]
        if self.rollouts:
            columns = ("task_id", "repeat", "status", "reward", "answer", "error_message")
            head = "".join(f"<th>{name}</th>" for name in columns)
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>")
            for rollout in self.rollouts[:SHOWN]:
                record = _record(rollout, [])
                parts.append("<tr>" + "".join(f"<td>{_text(record[name])}</td>" for name in columns) + "</tr>")
            parts.append("</tbody></table>")
        if len(self.rollouts) > SHOWN:
            parts.append(f"<p>and {len(self.rollouts) - SHOWN:,} more: <code>.rollouts</code> has all of them</p>")
        return "".join([*parts, "</div>"])

    def _said(self) -> str:
        counts, reward = self.summary["rollouts"], self.summary["reward"]
        parts = [f"{counts['with_verdict']:,} rollouts with a verdict"]
        parts += [f"{counts[name]:,} {name}" for name in ("failed", "cancelled") if counts[name]]
        if reward["mean"] is not None:
            parts.append(f"reward {reward['mean']:.4f}")
        if self.summary["cost"] is not None:
            parts.append(f"{self.summary['cost']:.4g} USD")
        if self.output is not None:
            parts.append(self.output)
        if self.error is not None:
            parts.append(f"stopped early: {message_of(self.error)}")
        return ", ".join(parts)


def _record(rollout: Rollout, components: list[str]) -> dict[str, Any]:
    parts = {f"component_{name}": rollout.reward_components.get(name) for name in components}
    return flat_row(rollout, _BEFORE) | parts | flat_row(rollout, _AFTER)


def _text(value: Any) -> str:
    """A value as text of HTML, on one line and no longer than somebody reads."""
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else one_line(str(value))
    return html.escape(text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "…")


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(f"a data frame of {name} needs {name}", hint=f"pip install {name}") from None
