"""Telemetry: counters, histograms and traces, exported to Application Insights by OpenTelemetry.

It is on if APPLICATIONINSIGHTS_CONNECTION_STRING is set. Otherwise nothing is imported, and each
call below costs less than a microsecond.

    telemetry.increment("townsquare.messages.stored", 3)
    with telemetry.measure_duration("townsquare.publish.duration"), telemetry.span("publish"):
        await client.send_to_group(...)

Attributes are codes, event names and stream names, never user ids, room names or texts.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from realtime.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import SpanContext, TracerProvider


class Metric(Struct, frozen=True):
    """One metric: `kind` is counter, up_down_counter or histogram."""

    kind: str
    unit: str
    description: str
    attribute: str = ""
    buckets: tuple[float, ...] = ()


DURATION_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Boundaries for durations; the target from send to receive is 0.25 s."""

METRICS = {
    "townsquare.messages.stored": Metric(
        "counter", "{message}", "Messages stored, without duplicates."
    ),
    "townsquare.messages.duplicates": Metric(
        "counter", "{message}", "Repeated messages that were stored already."
    ),
    "townsquare.commit.size": Metric(
        "histogram",
        "{message}",
        "Messages stored by one commit.",
        buckets=(1, 2, 5, 10, 20, 35, 49),
    ),
    "townsquare.commit.duration": Metric(
        "histogram",
        "s",
        "From the first attempt of a commit to its end.",
        buckets=DURATION_BUCKETS_SECONDS,
    ),
    "townsquare.commit.conflicts": Metric(
        "counter",
        "{conflict}",
        "Commits that were repeated because another instance had changed the head.",
    ),
    "townsquare.publish.duration": Metric(
        "histogram",
        "s",
        "Until Web PubSub accepted a publish request.",
        buckets=DURATION_BUCKETS_SECONDS,
    ),
    "townsquare.event.duration": Metric(
        "histogram",
        "s",
        "Until the response to an event of Web PubSub.",
        "event",
        DURATION_BUCKETS_SECONDS,
    ),
    "townsquare.errors": Metric("counter", "{error}", "Requests and events rejected.", "code"),
    "townsquare.stream.age": Metric(
        "histogram",
        "s",
        "Delay of a tick's publish after its due time.",
        "stream",
        DURATION_BUCKETS_SECONDS,
    ),
    "townsquare.stream.subscribed": Metric(
        "counter", "{check}", "Checks that found subscribers of a stream.", "stream"
    ),
    "townsquare.stream.stale": Metric(
        "counter", "{tick}", "Ticks that published old values.", "stream"
    ),
    "townsquare.connections": Metric(
        "up_down_counter",
        "{connection}",
        "Connections opened less those closed, as reported by events.",
    ),
}
"""All metrics; docs/operate.md says how to react to them."""


class Instruments:
    """The metrics and the tracer of a process with telemetry."""

    def __init__(self, meters: "MeterProvider", tracers: "TracerProvider") -> None:
        meter = meters.get_meter("townsquare")
        makers = {
            "counter": meter.create_counter,
            "up_down_counter": meter.create_up_down_counter,
        }
        self.tracer = tracers.get_tracer("townsquare")
        self.by_name: dict[str, Any] = {
            name: makers[one.kind](name, one.unit, one.description)
            if one.kind in makers
            else meter.create_histogram(
                name, one.unit, one.description, explicit_bucket_boundaries_advisory=one.buckets
            )
            for name, one in METRICS.items()
        }


class _Exporter(Struct):
    """Where a process sends its telemetry; None while it is off."""

    instruments: Instruments | None = None


@cache
def _exporter() -> _Exporter:
    """The exporter of this process."""
    return _Exporter()


def increment(name: str, n: int = 1, **attributes: str) -> None:
    """Add to a counter."""
    if instruments := _exporter().instruments:
        instruments.by_name[name].add(n, attributes)


def record(name: str, value: float, **attributes: str) -> None:
    """Record a value in a histogram."""
    if instruments := _exporter().instruments:
        instruments.by_name[name].record(value, attributes)


def measure_duration(name: str, **attributes: str) -> AbstractContextManager[None]:
    """Record the seconds of a block in a histogram, also if the block raises."""
    instruments = _exporter().instruments
    return _record_duration(instruments, name, attributes) if instruments else _DISABLED


def span(
    name: str, links: Sequence["SpanContext | None"] = (), **attributes: str
) -> AbstractContextManager[None]:
    """A span of a trace; spans and tasks that start within it are its children.

    `links` are spans of other traces: a commit stores messages of many events.
    """
    instruments = _exporter().instruments
    return _start_span(instruments, name, links, attributes) if instruments else _DISABLED


def current_span() -> "SpanContext | None":
    """The current span, for a `span` of another trace to link to."""
    if _exporter().instruments is None:
        return None
    from opentelemetry.trace import get_current_span

    return get_current_span().get_span_context()


_DISABLED = nullcontext()


@contextmanager
def _record_duration(
    instruments: Instruments, name: str, attributes: dict[str, str]
) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        instruments.by_name[name].record(time.perf_counter() - started, attributes)


@contextmanager
def _start_span(
    instruments: Instruments,
    name: str,
    links: Sequence["SpanContext | None"],
    attributes: dict[str, str],
) -> Iterator[None]:
    from opentelemetry.trace import Link

    linked = [Link(one) for one in links if one]
    with instruments.tracer.start_as_current_span(name, attributes=attributes, links=linked):
        yield


# --- start and stop -------------------------------------------------------------------------


def export(chosen: Settings) -> None:
    """Start to export to the Application Insights resource of the settings."""
    from azure.monitor.opentelemetry import configure_azure_monitor
    from opentelemetry import metrics, trace

    libraries = ("django", "fastapi", "flask", "psycopg2", "requests", "urllib", "urllib3")
    configure_azure_monitor(
        connection_string=chosen.applicationinsights_connection_string,
        credential=_credential() if chosen.webpubsub_endpoint else None,
        disable_logging=True,  # The Functions host exports the log lines of invocations.
        enable_live_metrics=False,
        # The spans of this module are enough; one for each request of the SDKs would add only cost.
        instrumentation_options={
            name: {"enabled": False} for name in (*libraries, "azure_sdk", "httpx")
        },
    )
    use_providers(metrics.get_meter_provider(), trace.get_tracer_provider())


def _credential() -> Any:
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


def use_providers(meters: "MeterProvider", tracers: "TracerProvider") -> None:
    """Send all telemetry to these providers from now on."""
    _exporter().instruments = Instruments(meters, tracers)


def stop() -> None:
    """Send no telemetry any more."""
    _exporter().instruments = None
