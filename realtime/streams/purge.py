"""Purges the histories of all streams; the next run continues where one stopped."""

import asyncio
import logging
from datetime import datetime

from realtime.streams.history import stream_history
from realtime.streams.pushed import list_streams

RUN_TIMEOUT_SECONDS = 45.0
"""With the other purges of a night it is below the platform's `functionTimeout` of 300 s."""

log = logging.getLogger(__name__)


async def purge_stream_histories(now: datetime) -> int:
    """Remove the frames past the retention of their streams; returns how many."""
    removed = 0
    try:
        async with asyncio.timeout(RUN_TIMEOUT_SECONDS):
            streams = list((await list_streams()).items())
            first = now.toordinal() % max(len(streams), 1)  # another one each night
            for name, stream in streams[first:] + streams[:first]:
                removed += await stream_history().purge(
                    name, now, stream.history_hours, stream.history_days
                )
    except TimeoutError:
        log.info("the purge of the streams continues at its next run")
    return removed
