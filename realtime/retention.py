"""How long messages are kept: in small batches, and resumed where it stopped."""

import asyncio
import logging
from datetime import datetime, timedelta

from realtime.logs import Logs
from realtime.messages import timestamp

log = logging.getLogger(__name__)


async def forget(logs: Logs, now: datetime, days: int, *, seconds: float = 240) -> int:
    """Remove the messages that are older than `days`; how many were removed.

    Ends after `seconds`, before the platform ends it (functionTimeout): what is to go is found
    anew by the next run, since it is what lies first in each log.
    """
    oldest = timestamp(now - timedelta(days=days))
    removed = 0
    try:
        async with asyncio.timeout(seconds):
            async for name in logs.names():
                while batch := [one for one in await logs.oldest(name) if one.timestamp < oldest]:
                    await logs.remove(name, batch)
                    removed += len(batch)
    except TimeoutError:
        log.info("retention goes on at its next run")
    return removed
