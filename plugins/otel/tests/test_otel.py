"""Spans and metrics of a run, in memory and over the wire."""

from __future__ import annotations

import gzip
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import gym_otel as otel
from gym_core import Session, Trajectory, UsageError, tool
from gym_core.errors import BadRequestError
from gym_otel import telemetry
from tests.support.envs import PlainSession, env
from tests.support.models import ScriptedModel, call
from tests.support.running import run


class Calculator(PlainSession):
    @tool
    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b


class Memory:
    """Where spans and metrics of a test end up."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans.get_finished_spans() if span.name == name]

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    made = Memory()
    monkeypatch.setattr(telemetry, "providers", lambda: (made.tracers, made.meters, False))
    return made


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def times(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time


def parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent is not None else None


def test_a_run_is_a_tree_of_spans(memory: Memory) -> None:
    ended = run(ScriptedModel(call("add", {"a": 1, "b": 2}), "3"), env(Calculator), extensions=["otel"])
    assert ended.summary["health"]["extensions"][0]["errors"] == 0
    (whole,) = memory.named("gym run")
    (rollout,) = memory.named("rollout")
    first, second = memory.named("chat scripted")
    (add,) = memory.named("execute_tool add")
    (verify,) = memory.named("verify")
    assert parent(whole) is None
    assert parent(rollout) == whole.context.span_id
    assert {parent(span) for span in (first, second, add, verify)} == {rollout.context.span_id}
    for span in (first, second, add, verify):
        assert times(rollout)[0] <= times(span)[0] <= times(span)[1] <= times(rollout)[1]
    assert times(first)[1] <= times(second)[0]
    about = attributes(first)
    assert (
        about
        | {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "scripted",
            "gen_ai.request.model": "scripted",
            "gen_ai.response.model": "m",
            "gen_ai.response.id": "r",
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.output_tokens": 2,
            "gen_ai.usage.cache_read.input_tokens": 4,
        }
        == about
    )
    assert first.kind is SpanKind.CLIENT
    assert attributes(add)["gen_ai.tool.call.id"] == "c1"
    assert attributes(verify)["gen_ai.evaluation.score.value"] == 1.0
    assert (attributes(rollout)["gym.task.id"], attributes(rollout)["gym.status"]) == ("t0", "completed")
    assert attributes(whole)["gym.run.id"] == ended.summary["run_id"]


def test_what_failed_is_marked(memory: Memory) -> None:
    class Failing(Session[Any]):
        def verify(self, trajectory: Trajectory) -> float:
            raise ValueError("no verdict")

    run(ScriptedModel(call("nope"), "done"), env(Failing), extensions=["otel"])
    (rollout,), (nope,), (verify,) = memory.named("rollout"), memory.named("execute_tool nope"), memory.named("verify")
    assert {span.status.status_code for span in (rollout, nope, verify)} == {StatusCode.ERROR}
    assert attributes(verify)["error.type"] == "ValueError"
    run(ScriptedModel(BadRequestError("bad", status=400)), extensions=["otel"])
    (failed,) = (span for span in memory.named("chat scripted") if "error.type" in attributes(span))
    assert attributes(failed)["http.response.status_code"] == 400


def test_metrics_count_calls_tokens_rollouts_and_rewards(memory: Memory) -> None:
    run(ScriptedModel(call("add", {"a": 1, "b": 2}), "3"), env(Calculator, tasks=2), extensions=["otel"], repeats=2)
    durations = {point.attributes["gen_ai.operation.name"]: point for point in memory.points(
        "gen_ai.client.operation.duration")}  # fmt: skip
    assert (durations["chat"].count, durations["execute_tool"].count) == (8, 4)
    assert tuple(durations["chat"].explicit_bounds) == telemetry.DURATIONS
    tokens = {point.attributes["gen_ai.token.type"]: point.sum for point in memory.points("gen_ai.client.token.usage")}
    assert tokens == {"input": 80, "output": 16}
    (rollouts,) = memory.points("gym.rollouts")
    assert (rollouts.value, rollouts.attributes["gym.status"]) == (4, "completed")
    (rewards,) = memory.points("gym.reward")
    assert (rewards.count, rewards.sum) == (4, 4.0)


def test_nothing_of_a_run_is_kept_after_it(memory: Memory) -> None:
    run(None, env(tasks=3), extensions=["otel"])
    assert otel._runs == {}


def test_without_the_libraries_the_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(UsageError, match="gym-otel"):
        otel.gym_extension_check()


class Receiver(ThreadingHTTPServer):
    """An OTLP collector that keeps what it is sent."""

    daemon_threads = True

    def __init__(self) -> None:
        self.posts: list[tuple[str, bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.posts.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None: ...


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    server = Receiver()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_spans_and_metrics_reach_a_collector(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=night-run,team=rl")
    run(ScriptedModel("done"), env(tasks=20), extensions=["otel"])
    paths = {path for path, _ in receiver.posts}
    assert paths == {"/v1/traces", "/v1/metrics"}
    names: list[str] = []
    service: set[str] = set()
    for path, body in receiver.posts:
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service |= {
                    pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.name"
                }
                names += [span.name for scope in resource.scope_spans for span in scope.spans]
    assert {name: names.count(name) for name in set(names)} == {
        "gym run": 1, "rollout": 20, "chat scripted": 20, "verify": 20,
    }  # fmt: skip
    assert service == {"night-run"}
    metrics = ExportMetricsServiceRequest.FromString(next(body for path, body in receiver.posts if "metrics" in path))
    found = {metric.name for r in metrics.resource_metrics for s in r.scope_metrics for metric in s.metrics}
    assert {"gen_ai.client.operation.duration", "gen_ai.client.token.usage", "gym.rollouts", "gym.reward"} <= found


def test_a_collector_may_be_wanted_for_one_of_the_two_only(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    run(ScriptedModel("done"), extensions=["otel"])
    assert {path for path, _ in receiver.posts} == {"/v1/traces"}
