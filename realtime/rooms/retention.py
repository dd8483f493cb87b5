"""Purges messages that are past retention, in batches; the next run continues."""

import asyncio
import logging
from datetime import datetime, timedelta

from realtime.messages import format_timestamp
from realtime.rooms.log import LogStore

RUN_TIMEOUT_SECONDS = 240.0
"""The time limit of one run, below the platform's `functionTimeout` of 300 s."""

log = logging.getLogger(__name__)


async def purge(
    logs: LogStore, now: datetime, days: int, *, timeout_seconds: float = RUN_TIMEOUT_SECONDS
) -> int:
    """Remove the messages older than `days`; returns how many were removed.

    A run that reaches its time limit is continued by the next one: what is to be removed is always
    at the beginning of a log.
    """
    limit = format_timestamp(now - timedelta(days=days))
    removed = 0
    try:
        async with asyncio.timeout(timeout_seconds):
            async for name in logs.list_names():
                while batch := [
                    one for one in await logs.read_oldest(name) if one.timestamp < limit
                ]:
                    await logs.remove(name, batch)
                    removed += len(batch)
    except TimeoutError:
        log.info("the purge continues at its next run")
    return removed
