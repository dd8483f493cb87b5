"""The servers that benchmarks measure: the stack with our app, and a baseline."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from local.parts import Part, Ports, Stack, free_ports, start_stack
from realtime.settings import Settings

# Without the limits of a user per minute and without timers, which are not measured.
SETTINGS = {
    "MESSAGES_PER_MINUTE": "100000000",
    "JOINS_PER_MINUTE": "100000000",
    "NEGOTIATES_PER_MINUTE": "100000000",
    "GUESTS_PER_MINUTE": "100000000",
    "CONNECTIONS_PER_USER": "0",
    "CONNECTS_PER_MINUTE": "100000000",
    "STOCKS_SCHEDULE": "0 0 0 1 1 *",
    "METRICS_SCHEDULE": "0 0 0 1 1 *",
    "WEATHER_SCHEDULE": "0 0 0 1 1 *",
}


@contextlib.contextmanager
def stack(settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """All local parts, keeping nothing; `settings` of the app in addition to SETTINGS."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = {**SETTINGS, **(settings or {})}
        running = start_stack(Ports.free(), Path(folder), keep=False, settings=chosen)
        try:
            running.wait()
            yield running
        finally:
            running.stop()


def start_baseline(
    environment: Mapping[str, str], app: str = "benchmarks.baseline_negotiate:app"
) -> Part:
    """A baseline server on uvicorn."""
    [port] = free_ports(1)
    command = [
        sys.executable, "-m", "uvicorn", app,
        "--port", str(port), "--log-level", "warning",
    ]  # fmt: skip
    part = Part("The baseline", f"http://127.0.0.1:{port}", "/", command, environment)
    part.start()
    return part


def settings_of(ours: Stack) -> Settings:
    """The settings with which a benchmark itself uses the storage and the service of a stack."""
    return Settings(
        tables_connection_string=ours.tables_connection_string,
        webpubsub_connection_string=ours.webpubsub_connection_string,
    )
