"""The producers: each file here is a data stream and defines its STREAM. One timer runs them."""

import importlib
import logging
import pkgutil

import azure.functions as func

from realtime.streams.definition import active_streams, registry
from realtime.streams.executor import stream_executor
from realtime.streams.runner import describe_error
from realtime.timer import timer_function

logger = logging.getLogger(__name__)

bp = func.Blueprint()


def add_streams(package: str, path: list[str]) -> None:
    """Register the stream of each file. A file without a usable stream is left out and reported."""
    for _, file, _ in pkgutil.iter_modules(path):
        try:
            registry.register(importlib.import_module(f"{package}.{file}").STREAM)
        except Exception as error:  # noqa: BLE001 - a broken file must not stop the others
            problem = registry.failed_imports[file] = describe_error(error)
            logger.error("The producer %s is left out: %s.", file, problem)  # noqa: TRY400


async def run_streams() -> None:
    """Run the streams that have subscribers for a minute."""
    await stream_executor().run_minute(active_streams())


add_streams(__name__, __path__)

# Not monitored: a missed minute is not run later, since a frame describes the present.
timer_function(bp, "run_streams", "0 * * * * *", run_streams, monitor=False)
