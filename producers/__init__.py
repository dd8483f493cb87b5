"""Every file here that has a STREAM is a data stream, and gets its timer."""

import importlib
import logging
import pkgutil
from datetime import UTC, datetime

import azure.functions as func

from realtime.stream import Stream, broken, reason, register, streams

logger = logging.getLogger(__name__)

bp = func.Blueprint()


def add(stream: Stream) -> None:
    """Give a stream its place in the catalogue and its timer."""
    register(stream)

    async def on_time(timer: func.TimerRequest) -> None:
        await streams().run(stream, datetime.now(UTC))

    # Not monitored: a tick is about now, so one that was missed is not made up for.
    timed = bp.timer_trigger(schedule=stream.schedule, arg_name="timer", use_monitor=False)
    bp.function_name(stream.name.replace("-", "_"))(timed(on_time))


def add_all(package: str, path: list[str]) -> None:
    """The streams of a package; a file that cannot be imported is noted, and the rest goes on."""
    for _, file, _ in pkgutil.iter_modules(path):
        try:
            module = importlib.import_module(f"{package}.{file}")
            if hasattr(module, "STREAM"):
                add(module.STREAM)
        except Exception as error:  # noqa: BLE001 - one broken file never touches the others
            broken[file] = reason(error)
            logger.error("The producer %s is left out: %s.", file, broken[file])  # noqa: TRY400


add_all(__name__, __path__)
