"""OpenTelemetry: spans and metrics of a run, exported over OTLP/HTTP.

`gym run --extension otel` switches it on. The standard `OTEL_*` variables configure it. The spans
`run > rollout > model calls, tools, verify` are made when a rollout has finished, from what was recorded of it.

Names follow the semantic conventions of OpenTelemetry for generative AI (status: development),
https://opentelemetry.io/docs/specs/semconv/gen-ai/.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gym_core import CallInfo, Rollout, RunInfo, UsageError, hookimpl

if TYPE_CHECKING:
    from gym_otel.telemetry import Telemetry

_runs: dict[str, Telemetry] = {}
_NEEDED = (
    "opentelemetry.sdk.trace.export",
    "opentelemetry.sdk.metrics.export",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
)


@hookimpl(contract=1)
def gym_extension_check() -> None:
    """Refuse a run that could not be observed. Raises `UsageError`."""
    try:
        for module in _NEEDED:
            importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"the extension `otel` cannot work: {error}", hint="pip install --upgrade gym-otel") from error


@hookimpl(contract=1)
def gym_run_started(run: RunInfo) -> None:
    """Open the run's span."""
    from gym_otel.telemetry import Telemetry, providers

    tracers, meters, own = providers()
    _runs[run.run_id] = Telemetry(run, tracers, meters, owns_providers=own)


@hookimpl(contract=1)
def gym_model_called(run: RunInfo, call: CallInfo) -> None:
    """Keep a model call until its rollout has finished."""
    _runs[run.run_id].model_called(call)


@hookimpl(contract=1)
def gym_tool_called(run: RunInfo, call: CallInfo) -> None:
    """Keep a tool call until its rollout has finished."""
    _runs[run.run_id].tool_called(call)


@hookimpl(contract=1)
def gym_rollout_finished(run: RunInfo, rollout: Rollout) -> None:
    """Make the spans of a rollout."""
    _runs[run.run_id].rollout_finished(rollout)


@hookimpl(contract=1)
def gym_run_finished(run: RunInfo, summary: Mapping[str, Any]) -> None:
    """Close the run's span and send what has not been sent."""
    _runs.pop(run.run_id).run_finished(summary)
