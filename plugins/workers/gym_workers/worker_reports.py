"""What workers tell that is no result: logs, calls that extensions listen to, counts, and how their event loops did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gym_core import CallInfo
from gym_core.spi import ModelGate
from gym_workers.channel import Head
from gym_workers.log_forwarding import call_from_wire, log_sent
from gym_workers.outbox import COUNTS, ENDPOINT_COUNTS


class WorkerReports:
    """Passes on what workers tell. `gates`: where calls are counted; `model_called`, `tool_called`: who listens."""

    def __init__(
        self,
        gates: Mapping[str, ModelGate],
        *,
        model_called: Callable[[CallInfo], None] | None = None,
        tool_called: Callable[[CallInfo], None] | None = None,
    ) -> None:
        self._gates = gates
        self._model_called = model_called
        self._tool_called = tool_called
        self._farewells: dict[int, Mapping[str, Any]] = {}

    def told(self, worker: int, head: Head) -> None:
        """Take a frame."""
        for record in head.get("logs", ()):
            log_sent(record)
        for name, tell in (("model_calls", self._model_called), ("tool_calls", self._tool_called)):
            if tell is not None:
                for call in head.get(name, ()):
                    tell(call_from_wire(call))
        for role, counts in head.get("counts", {}).items():
            _add(self._gates[role].counts, COUNTS, counts)
        for role, endpoints in head.get("endpoints", {}).items():
            placement = self._gates[role].placement
            if placement is not None:
                for name, counts in endpoints.items():
                    _add(placement.count(name), ENDPOINT_COUNTS, counts)
        if "bye" in head:
            self._farewells[worker] = head["bye"][0]

    def health(self, *, started: int, died: int) -> dict[str, Any]:
        """As it stands in the summary, of all workers that could say farewell: their CPU together, the worst lag."""
        lags = [farewell["loop_lag"] for farewell in self._farewells.values()]
        held = [hold for farewell in self._farewells.values() for hold in farewell["loop_held"]]
        return {
            "started": started,
            "died": died,
            "cpu_seconds": round(sum(farewell["cpu_seconds"] for farewell in self._farewells.values()), 3),
            "loop_lag": {name: max((lag[name] for lag in lags), default=0.0) for name in ("max", "p99")},
            "loop_held": held,
        }


def _add(kept: Any, names: Sequence[str], counts: Sequence[float]) -> None:
    for name, count in zip(names, counts, strict=True):
        setattr(kept, name, getattr(kept, name) + count)
