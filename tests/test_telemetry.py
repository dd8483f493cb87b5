"""Metrics and traces of the app. Without a connection string, telemetry is disabled."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from local.parts import ROOT
from realtime import process
from realtime.azure import telemetry
from realtime.rooms.drafts import MessageDraft
from realtime.settings import settings
from tests.instances import instance


class Telemetry:
    """Collects the exported metrics and spans."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self._spans = InMemorySpanExporter()
        self.meters = MeterProvider([self._reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))

    def points(self, name: str) -> list:
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def spans(self) -> dict:
        return {span.name: span for span in self._spans.get_finished_spans()}


@pytest.fixture
def exported() -> Iterator[Telemetry]:
    exported = Telemetry()
    telemetry.use_providers(exported.meters, exported.tracers)
    yield exported
    telemetry.stop()


@pytest.fixture
def configured(monkeypatch):
    """The settings that a process requires to start."""
    monkeypatch.setenv("WEBPUBSUB_CONNECTION_STRING", "Endpoint=http://localhost;AccessKey=x;")
    monkeypatch.setenv("TABLES_CONNECTION_STRING", "UseDevelopmentStorage=true")
    monkeypatch.setenv("SESSION_SECRET", "x" * 32)
    settings.cache_clear()
    process.start.cache_clear()
    yield
    settings.cache_clear()
    process.start.cache_clear()


def test_a_counter_is_summed_by_code(exported):
    telemetry.increment("townsquare.errors", code="busy")
    telemetry.increment("townsquare.errors", 2, code="rate_limited")
    telemetry.increment("townsquare.errors", code="busy")

    counted = {p.attributes["code"]: p.value for p in exported.points("townsquare.errors")}
    assert counted == {"busy": 2, "rate_limited": 2}


def test_a_duration_is_recorded_when_the_block_fails(exported):
    with (
        pytest.raises(RuntimeError),
        telemetry.measure_duration("townsquare.event.duration", event="message"),
    ):
        raise RuntimeError

    (point,) = exported.points("townsquare.event.duration")
    assert point.count == 1
    assert 0 < point.sum < 1
    assert point.explicit_bounds == telemetry.DURATION_BUCKETS_SECONDS


def test_commit_sizes_have_their_own_histogram_buckets(exported):
    for size in (1, 1, 49):
        telemetry.record("townsquare.commit.size", size)

    (point,) = exported.points("townsquare.commit.size")
    assert (point.count, point.max) == (3, 49)
    assert point.bucket_counts[0] == 2


async def test_the_span_of_a_task_is_a_child_of_the_event_span(exported):
    async def commit() -> None:
        with telemetry.span("commit"):
            await asyncio.sleep(0)

    with telemetry.span("event", event="message"):
        await asyncio.create_task(commit())

    spans = exported.spans()
    assert spans["commit"].parent.span_id == spans["event"].context.span_id
    assert spans["event"].attributes["event"] == "message"


def test_a_commit_span_links_the_events_of_its_messages(exported):
    with telemetry.span("message of ann"):
        ann = telemetry.current_span()
    with telemetry.span("message of bob"):
        bob = telemetry.current_span()

    with telemetry.span("commit", links=[ann, bob, None]):
        pass

    assert [link.context for link in exported.spans()["commit"].links] == [ann, bob]


def test_every_metric_can_be_reported(exported):
    for name, metric in telemetry.METRICS.items():
        report = telemetry.record if metric.kind == "histogram" else telemetry.increment
        report(name, 1)

    assert all(exported.points(name) for name in telemetry.METRICS)


@pytest.mark.usefixtures("configured")
def test_disabled_telemetry_imports_nothing_and_calls_nothing():
    program = (
        "import sys; from realtime import process; from realtime.azure import telemetry;"
        "process.start();"
        "telemetry.increment('townsquare.errors', code='busy');"
        "print([one for one in sys.modules if one.startswith(('opentelemetry', 'azure.monitor'))])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "[]"

    telemetry.increment("townsquare.errors")  # the first call looks whether telemetry is enabled
    calls = []
    sys.setprofile(lambda frame, event, _: calls.append((event, frame.f_code.co_name)))
    telemetry.increment("townsquare.errors")
    sys.setprofile(None)
    assert [name for event, name in calls if event == "call"] == ["increment"]


@pytest.mark.usefixtures("configured")
def test_requests_of_the_sdks_are_not_logged():
    process.start()

    policy = logging.getLogger("azure.core.pipeline.policies.http_logging_policy")
    assert not policy.isEnabledFor(logging.INFO)


@pytest.mark.usefixtures("configured")
def test_a_connection_string_enables_application_insights(monkeypatch):
    """A subprocess configures the real exporter, because a process configures it only once."""
    program = (
        "from realtime import process; from realtime.azure import telemetry;"
        "from opentelemetry import metrics, trace;"
        "process.start(); telemetry.increment('townsquare.messages.stored');"
        "print(type(metrics.get_meter_provider()), type(trace.get_tracer_provider()));"
        "import os, sys; sys.stdout.flush(); os._exit(0)"
    )
    monkeypatch.setenv(
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        "InstrumentationKey=00000000-0000-0000-0000-000000000000;"
        "IngestionEndpoint=http://127.0.0.1:9/",
    )
    monkeypatch.setenv("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "true")

    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "opentelemetry.sdk.metrics" in result.stdout, result.stderr
    assert "opentelemetry.sdk.trace" in result.stdout


# --- telemetry of the app ---------------------------------------------------------------------


async def test_the_spans_of_a_message_have_one_trace_id(exported, stack):
    async with instance(stack) as one:
        with telemetry.span("event", event="message"):
            await one.appender.append("traced", MessageDraft("ann-1", "first", content="hello"))

    spans = exported.spans()
    assert set(spans) == {"event", "commit", "publish"}
    assert len({span.context.trace_id for span in spans.values()}) == 1


async def test_stored_and_repeated_messages_are_counted(exported, stack):
    async with instance(stack) as one:
        drafts = [MessageDraft("ann-1", f"n{number}", content="hello") for number in range(5)]
        await asyncio.gather(*(one.appender.append("counted", draft) for draft in drafts))
        await one.appender.append("counted", drafts[0])

    (stored,) = exported.points("townsquare.messages.stored")
    (repeated,) = exported.points("townsquare.messages.duplicates")
    (size,) = exported.points("townsquare.commit.size")
    (publish,) = exported.points("townsquare.publish.duration")
    assert (stored.value, repeated.value, size.sum) == (5, 1, 5)
    assert publish.count == size.count + 1


async def test_two_instances_that_write_one_room_count_their_conflicts(exported, stack):
    async with instance(stack) as one, instance(stack) as other:
        await one.appender.append("raced", MessageDraft("ann-1", "zero", content="hello"))
        await other.appender.append("raced", MessageDraft("bob-1", "zero", content="hello"))
        await one.appender.append("raced", MessageDraft("ann-1", "one", content="hello"))

    (conflicts,) = exported.points("townsquare.commit.conflicts")
    assert conflicts.value == 1
