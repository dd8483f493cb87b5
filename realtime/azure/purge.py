"""Removes old rows in batches, as long as the time of a nightly purge allows."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from realtime.azure.tables import Row, take_rows

PURGE_TIMEOUT_SECONDS = 10.0
"""With the other purges of a night it is below the platform's `functionTimeout` of 300 s."""

PURGE_BATCH_ROWS = 100
"""The rows of one transaction; the service allows 100."""

log = logging.getLogger(__name__)


async def purge_rows(
    table_name: str,
    query_rows: Callable[[], AsyncIterator[Row]],
    remove: Callable[[list[Row]], Awaitable[object]],
) -> int:
    """Remove what a query finds, PURGE_BATCH_ROWS at a time; returns how many rows.

    It ends after PURGE_TIMEOUT_SECONDS; the next run continues.
    """
    removed = 0
    try:
        async with asyncio.timeout(PURGE_TIMEOUT_SECONDS):
            while rows := await take_rows(query_rows(), PURGE_BATCH_ROWS):
                await remove(rows)
                removed += len(rows)
    except TimeoutError:
        log.info("the purge of the table %s continues at its next run", table_name)
    return removed
