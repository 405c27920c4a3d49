"""One run as spans and metrics. Imported when a run is observed: everything here needs OpenTelemetry."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider

from gym_core import CallInfo, Rollout, RunInfo, __version__

SCOPE = "gym_core"
# The boundaries that the conventions ask for.
DURATIONS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
REWARDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
QUEUE = 65536
"""Spans that wait to be sent, unless `OTEL_BSP_MAX_QUEUE_SIZE` says otherwise; the usual 2,048 are a second's worth."""

Attributes = dict[str, Any]


def providers() -> tuple[TracerProvider, MeterProvider, bool]:
    """Where spans and metrics go: the providers of the program that this runs in, or else new ones, then True.

    New ones export over OTLP/HTTP, configured by `OTEL_EXPORTER_OTLP_*`; `OTEL_TRACES_EXPORTER` and
    `OTEL_METRICS_EXPORTER` may be `none`.
    """
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    theirs = trace.get_tracer_provider()
    if isinstance(theirs, SdkTracerProvider):
        return theirs, metrics.get_meter_provider(), False
    resource = Resource({"service.version": __version__}).merge(Resource.create())
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):  # no variable names it
        resource = resource.merge(Resource({SERVICE_NAME: "gym"}))
    tracers = SdkTracerProvider(resource=resource, shutdown_on_exit=False)
    if _wanted("OTEL_TRACES_EXPORTER"):
        size = None if "OTEL_BSP_MAX_QUEUE_SIZE" in os.environ else QUEUE
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=size))
    readers = [PeriodicExportingMetricReader(OTLPMetricExporter())] if _wanted("OTEL_METRICS_EXPORTER") else []
    return tracers, SdkMeterProvider(readers, resource=resource, shutdown_on_exit=False), True


def _wanted(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() != "none"


class Telemetry:
    """The spans and metrics of one run. Calls are kept until their rollout has finished."""

    def __init__(
        self, run: RunInfo, tracers: TracerProvider, meters: MeterProvider, *, owns_providers: bool = False
    ) -> None:
        self._providers = (tracers, meters)
        self._owns_providers = owns_providers
        self._tracer = tracers.get_tracer(SCOPE, __version__)
        meter = meters.get_meter(SCOPE, __version__)
        self._durations = meter.create_histogram(
            "gen_ai.client.operation.duration", "s", "Duration of model calls and tool calls",
            explicit_bucket_boundaries_advisory=DURATIONS,
        )  # fmt: skip
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Tokens of one model call",
            explicit_bucket_boundaries_advisory=TOKENS,
        )  # fmt: skip
        self._rollouts = meter.create_counter("gym.rollouts", "{rollout}", "Rollouts on disk, by status")
        self._rewards = meter.create_histogram(
            "gym.reward", "1", "Rewards", explicit_bucket_boundaries_advisory=REWARDS
        )
        settings = run.manifest.get("settings", {})
        self._about = _known({f"gym.{kind}": settings.get(kind, {}).get("ref") for kind in ("env", "agent")})
        self._span = self._tracer.start_span(
            "gym run",
            attributes={"gym.run.id": run.run_id, **self._about, **_known({"gym.rollouts.planned": run.rollouts})},
        )
        self._calls: dict[tuple[str, int], list[tuple[CallInfo, bool]]] = {}

    def model_called(self, call: CallInfo) -> None:
        """Count a model call, and keep it for its rollout."""
        labels = _model_labels(call)
        self._durations.record(call.seconds, labels | _error_type(call))
        usage = call.attributes.get("usage") or {}
        for kind in ("input", "output"):
            if usage.get(f"{kind}_tokens") is not None:
                self._tokens.record(usage[f"{kind}_tokens"], {**labels, "gen_ai.token.type": kind})
        self._calls.setdefault(call.key, []).append((call, True))

    def tool_called(self, call: CallInfo) -> None:
        """Count a tool call, and keep it for its rollout."""
        labels = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": call.name}
        self._durations.record(call.seconds, labels | _error_type(call))
        self._calls.setdefault(call.key, []).append((call, False))

    def rollout_finished(self, rollout: Rollout) -> None:
        """The span of a rollout and of all that happened in it."""
        status, reward = rollout.status.value, rollout.reward
        self._rollouts.add(1, {"gym.status": status, **self._about})
        if reward is not None:
            self._rewards.record(reward, self._about)
        about: Mapping[str, Any] = rollout.row["rollout"]
        timing = about["timing"]
        end = timing["finished_at"]
        calls = self._calls.pop((rollout.task_id, rollout.repeat), [])
        start = min([end - timing["seconds"], *(call.started for call, _ in calls)])
        end = max([end, *(call.started + call.seconds for call, _ in calls)])
        span = self._start("rollout", self._span, start, SpanKind.INTERNAL)
        span.set_attributes(
            {
                "gym.task.id": rollout.task_id,
                "gym.repeat": rollout.repeat,
                "gym.attempt": about["attempt"],
                "gym.status": status,
                **self._about,
                **_known({"gym.reward": reward, "gym.stop_reason": rollout.stop_reason}),
            }
        )
        error: Mapping[str, Any] = rollout.error or {}
        if error:
            _fail(span, str(error.get("class")), str(error.get("message")))
        for call, is_model in calls:
            self._call(span, call, is_model)
        if timing.get("verify_seconds") is not None:
            self._verified(span, rollout, timing["finished_at"], timing["verify_seconds"], error)
        span.end(_nanoseconds(end))

    def run_finished(self, summary: Mapping[str, Any]) -> None:
        """End the run's span and send everything that has not been sent."""
        counts = summary["rollouts"]
        self._span.set_attributes({"gym.state": summary["state"], "gym.rollouts.with_verdict": counts["with_verdict"]})
        if summary["reward"]["mean"] is not None:
            self._span.set_attribute("gym.reward.mean", summary["reward"]["mean"])
        if summary["state"] == "stopped":
            self._span.set_status(Status(StatusCode.ERROR, summary["message"]))
        self._span.end()
        for provider in self._providers:
            # A shutdown flushes, too; doing both would wait twice for a collector that does not answer.
            getattr(provider, "shutdown" if self._owns_providers else "force_flush", lambda: None)()

    def _call(self, parent: Span, call: CallInfo, is_model: bool) -> None:
        name = f"{'chat' if is_model else 'execute_tool'} {call.name}"
        span = self._start(name, parent, call.started, SpanKind.CLIENT if is_model else SpanKind.INTERNAL)
        about = call.attributes
        if is_model:
            usage = about.get("usage") or {}
            details = usage.get("input_tokens_details") or {}
            span.set_attributes(
                _model_labels(call)
                | _known(
                    {
                        "gen_ai.response.id": about.get("response_id"),
                        "gen_ai.response.finish_reasons": [about["stop_reason"]] if about.get("stop_reason") else None,
                        "gen_ai.usage.input_tokens": usage.get("input_tokens"),
                        "gen_ai.usage.output_tokens": usage.get("output_tokens"),
                        "gen_ai.usage.cache_read.input_tokens": details.get("cached_tokens"),
                        "http.response.status_code": about.get("http_status"),
                        "gym.attempts": about.get("attempts"),
                        "gym.waited_seconds": about.get("waited_seconds"),
                        "gym.role": about.get("role"),
                    }
                )
            )
        else:
            span.set_attributes(
                {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": call.name,
                    "gen_ai.tool.type": "function",
                    "gen_ai.tool.call.id": str(about.get("call_id", "")),
                }
            )
        if call.error is not None:
            _fail(span, str(about.get("error_class") or "_OTHER"), call.error)
        span.end(_nanoseconds(call.started + call.seconds))

    def _verified(self, parent: Span, rollout: Rollout, end: float, seconds: float, error: Mapping[str, Any]) -> None:
        span = self._start("verify", parent, end - seconds, SpanKind.INTERNAL)
        if rollout.reward is not None:
            span.set_attributes({"gen_ai.evaluation.name": "reward", "gen_ai.evaluation.score.value": rollout.reward})
        elif error.get("phase") == "verify":
            _fail(span, str(error.get("class")), str(error.get("message")))
        span.end(_nanoseconds(end))

    def _start(self, name: str, parent: Span, started: float, kind: SpanKind) -> Span:
        context = trace.set_span_in_context(parent)
        return self._tracer.start_span(name, context, kind=kind, start_time=_nanoseconds(started or time.time()))


def _model_labels(call: CallInfo) -> Attributes:
    about = call.attributes
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": about.get("backend") or "_OTHER",
        "gen_ai.request.model": call.name,
        **_known({"gen_ai.response.model": about.get("response_model")}),
    }


def _error_type(call: CallInfo) -> Attributes:
    return {} if call.error is None else {"error.type": str(call.attributes.get("error_class") or "_OTHER")}


def _fail(span: Span, kind: str, message: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, message))


def _known(attributes: Attributes) -> Attributes:
    return {name: value for name, value in attributes.items() if value is not None}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
