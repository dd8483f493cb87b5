"""What the app tells of itself while it runs: counts, times and traces, to whoever operates it.

It is told to Application Insights where APPLICATIONINSIGHTS_CONNECTION_STRING is set. Elsewhere
nothing is imported and each call below costs well under a microsecond.

    telemetry.count("townsquare.messages.kept", 3)
    with telemetry.time("townsquare.publish.time"), telemetry.span("publish", room=room):
        await client.send_to_group(...)

Names of people, rooms and texts are never attributes: a code, an event or a stream is.
"""

import logging
import time as clock
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from realtime.settings import InvalidSettings, Settings, settings

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import SpanContext, TracerProvider


@dataclass(frozen=True)
class Metric:
    """One thing that is measured. A counter adds up; a histogram keeps how values are spread."""

    kind: str
    unit: str
    meaning: str
    attribute: str = ""
    buckets: tuple[float, ...] = ()


SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Where a time is counted; the promise is 0.25 s from saying to hearing."""

METRICS = {
    "townsquare.messages.kept": Metric("counter", "{message}", "Messages kept, without repeats."),
    "townsquare.messages.repeated": Metric(
        "counter", "{message}", "Messages sent again that were kept already."
    ),
    "townsquare.commit.size": Metric(
        "histogram", "{message}", "Messages kept by one commit.", buckets=(1, 2, 5, 10, 20, 35, 49)
    ),
    "townsquare.commit.time": Metric(
        "histogram", "s", "From the first try of a commit to its end.", buckets=SECONDS
    ),
    "townsquare.commit.conflicts": Metric(
        "counter", "{conflict}", "Commits that lost the race for a room's head and were repeated."
    ),
    "townsquare.publish.time": Metric(
        "histogram", "s", "Until Web PubSub took what was published.", buckets=SECONDS
    ),
    "townsquare.event.time": Metric(
        "histogram", "s", "Until an event of Web PubSub was answered.", "event", SECONDS
    ),
    "townsquare.refused": Metric("counter", "{refusal}", "Requests and events refused.", "code"),
    "townsquare.stream.age": Metric(
        "histogram", "s", "How late a tick was published.", "stream", SECONDS
    ),
    "townsquare.stream.stale": Metric(
        "counter", "{tick}", "Ticks that had only old values to tell.", "stream"
    ),
    "townsquare.connections": Metric(
        "up_down_counter", "{connection}", "Connections opened less those closed, as we were told."
    ),
}
"""Everything that is measured; docs/operate.md says what to do about it."""


class Instruments:
    """The metrics and the tracer of a process whose telemetry is on."""

    def __init__(self, meters: "MeterProvider", tracers: "TracerProvider") -> None:
        meter = meters.get_meter("townsquare")
        makers = {
            "counter": meter.create_counter,
            "up_down_counter": meter.create_up_down_counter,
        }
        self.tracer = tracers.get_tracer("townsquare")
        self.by_name: dict[str, Any] = {
            name: makers[one.kind](name, one.unit, one.meaning)
            if one.kind in makers
            else meter.create_histogram(
                name, one.unit, one.meaning, explicit_bucket_boundaries_advisory=one.buckets
            )
            for name, one in METRICS.items()
        }


_on: Instruments | None = None


def count(name: str, n: int = 1, **attributes: str) -> None:
    """Add to a counter."""
    if _on:
        _on.by_name[name].add(n, attributes)


def measure(name: str, value: float, **attributes: str) -> None:
    """Put a value into a histogram."""
    if _on:
        _on.by_name[name].record(value, attributes)


def time(name: str, **attributes: str) -> AbstractContextManager[None]:
    """Put the seconds of a block into a histogram, also where the block fails."""
    return _timed(_on, name, attributes) if _on else _NOTHING


def span(
    name: str, links: Sequence["SpanContext | None"] = (), **attributes: str
) -> AbstractContextManager[None]:
    """A step of a trace; steps within it, and tasks started in it, belong to it.

    `links` are the other traces that the step serves: a commit keeps messages of many events.
    """
    return _traced(_on, name, links, attributes) if _on else _NOTHING


def here() -> "SpanContext | None":
    """The step of the trace we are in, for a `span` elsewhere to link to."""
    if not _on:
        return None
    from opentelemetry.trace import get_current_span

    return get_current_span().get_span_context()


_NOTHING = nullcontext()


@contextmanager
def _timed(on: Instruments, name: str, attributes: dict[str, str]) -> Iterator[None]:
    began = clock.perf_counter()
    try:
        yield
    finally:
        on.by_name[name].record(clock.perf_counter() - began, attributes)


@contextmanager
def _traced(
    on: Instruments, name: str, links: Sequence["SpanContext | None"], attributes: dict[str, str]
) -> Iterator[None]:
    from opentelemetry.trace import Link

    linked = [Link(one) for one in links if one]
    with on.tracer.start_as_current_span(name, attributes=attributes, links=linked):
        yield


# --- switching it on ------------------------------------------------------------------------


def start() -> None:
    """Begin to tell Application Insights, if the settings name one. Called once, by the app."""
    # The SDKs write two lines for each of their requests, and the host would keep them all.
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        chosen = settings()
    except InvalidSettings:
        return  # The first request says what is missing; until then there is nothing to tell.
    if chosen.applicationinsights_connection_string:
        _export(chosen)


def _export(chosen: Settings) -> None:
    from azure.monitor.opentelemetry import configure_azure_monitor
    from opentelemetry import metrics, trace

    libraries = ("django", "fastapi", "flask", "psycopg2", "requests", "urllib", "urllib3")
    configure_azure_monitor(
        connection_string=chosen.applicationinsights_connection_string,
        credential=_credential() if chosen.webpubsub_endpoint else None,
        disable_logging=True,  # The Functions host sends our log lines; twice would cost twice.
        enable_live_metrics=False,
        # Our own steps tell what happened; a span for each request of the SDKs only what it cost.
        instrumentation_options={
            name: {"enabled": False} for name in (*libraries, "azure_sdk", "httpx")
        },
    )
    use(metrics.get_meter_provider(), trace.get_tracer_provider())


def _credential() -> Any:
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


def use(meters: "MeterProvider", tracers: "TracerProvider") -> None:
    """Tell everything to these from now on."""
    global _on
    _on = Instruments(meters, tracers)


def stop() -> None:
    """Tell nothing any more."""
    global _on
    _on = None
