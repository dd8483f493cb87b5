"""The producers: each file here is a data stream and defines its STREAM."""

import importlib
import logging
import pkgutil
from datetime import UTC, datetime

import azure.functions as func

from realtime.settings import disabled_streams
from realtime.streams.definition import Stream, registry
from realtime.streams.runner import describe_error, stream_runner
from realtime.timer import timer_function

logger = logging.getLogger(__name__)

bp = func.Blueprint()


def add_stream(stream: Stream) -> None:
    """Register a stream and declare its timer function."""
    registry.register(stream)

    async def run_tick() -> None:
        await stream_runner().run_tick(stream, datetime.now(UTC))

    # Not monitored: a missed tick is not repeated, since a frame describes the present.
    timer_function(bp, stream.name.replace("-", "_"), stream.schedule, run_tick, monitor=False)


def add_streams(package: str, path: list[str]) -> None:
    """Add the stream of each file, except for the streams that are off.

    A file without a usable stream is left out and reported.
    """
    unknown = set(disabled_streams())
    for _, file, _ in pkgutil.iter_modules(path):
        try:
            stream = importlib.import_module(f"{package}.{file}").STREAM
            if getattr(stream, "name", None) in unknown:
                unknown.remove(stream.name)
            else:
                add_stream(stream)
        except Exception as error:  # noqa: BLE001 - a broken file must not stop the others
            problem = registry.failed_imports[file] = describe_error(error)
            logger.error("The producer %s is left out: %s.", file, problem)  # noqa: TRY400
    if unknown:
        # The health report shows it, since the platform drops log lines of the import.
        names = ", ".join(sorted(unknown))
        registry.failed_imports["STREAMS_OFF"] = f"there is no stream {names}"


add_streams(__name__, __path__)
