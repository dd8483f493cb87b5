"""Purges entries that are past retention, in batches; the next run continues.

The logs get a few batches each, one after the other, so that a large log does not delay the others.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from realtime.azure.tables import Row
from realtime.messages import format_timestamp
from realtime.names import DELETED_USER
from realtime.rooms.author_entries import find_entries
from realtime.rooms.log import ConflictError, LogStore
from realtime.rooms.log_rows import Head, id_key, seq_of

RUN_TIMEOUT_SECONDS = 240.0
"""The time limit of one run, below the platform's `functionTimeout` of 300 s."""

BATCH_ENTRIES = 50
TURN_BATCHES = 4

log = logging.getLogger(__name__)


async def purge(
    logs: LogStore,
    now: datetime,
    days: int,
    *,
    timeout_seconds: float = RUN_TIMEOUT_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Remove the entries older than `days`; returns how many were removed."""
    limit = format_timestamp(now - timedelta(days=days))
    deadline = clock() + timeout_seconds
    removed = 0
    unfinished = [name async for name in logs.index.list_names()]
    while unfinished:
        further = []
        for name in unfinished:
            if clock() >= deadline:
                log.info("the purge continues at its next run")
                return removed
            count, finished = await _purge_log(logs, name, limit)
            removed += count
            if not finished:
                further.append(name)
        unfinished = further
    return removed


async def _purge_log(logs: LogStore, name: str, limit: str) -> tuple[int, bool]:
    """One turn of a log: how many entries were removed, and whether none is left."""
    removed = 0
    senders: set[str] = set()
    finished = False
    for _ in range(TURN_BATCHES):
        rows = await _read_oldest(logs, name)
        old = [row for row in rows if row["timestamp"] < limit]
        if old:
            await _remove(logs, name, old)
        removed += len(old)
        senders |= {row["sender"] for row in old}
        finished = len(old) < BATCH_ENTRIES
        if finished:
            break
    await logs.index.authors.remove_unused(name, senders, partial(find_entries, logs, name))
    return removed, finished


async def _read_oldest(logs: LogStore, name: str) -> list[Row]:
    rows: list[Row] = []
    async for row in logs.query_rows(name, "m:", "m;", results_per_page=BATCH_ENTRIES):
        rows.append(row)
        if len(rows) == BATCH_ENTRIES:
            break
    return rows


async def _remove(logs: LogStore, name: str, rows: list[Row]) -> None:
    """Updates `first` in the head before it deletes, so that no reader finds a gap."""
    await _raise_first(logs, name, rows)
    keys = [row["RowKey"] for row in rows]
    # The entries of a deleted user have no rows `i:` any more.
    keys += [id_key(row["sender"], row["id"]) for row in rows if row["sender"] != DELETED_USER]
    if any("reactions" in row or "deleted" in row for row in rows):
        low, high = (f"r:{seq_of(row):019}" for row in (rows[0], rows[-1]))
        keys += [row["RowKey"] async for row in logs.query_rows(name, f"{low}:", f"{high};")]
    await logs.delete_rows(name, keys)


async def _raise_first(logs: LogStore, name: str, rows: list[Row]) -> None:
    """Rows that do not belong to the present log, left from a deleted one, do not count."""
    while (head := await logs.read_head(name)).etag:
        own = [seq_of(row) for row in rows if head.includes(row["epoch"], seq_of(row))]
        if not own or own[-1] < head.first:
            return
        try:
            await logs.update_head(name, _with_first(head, own[-1] + 1))
        except ConflictError:
            continue
        return


def _with_first(head: Head, first: int) -> Head:
    """`first` is never above seq + 1; spans that end before it have no entries any more."""
    spans = tuple((epoch, last) for epoch, last in head.spans if last >= first)
    return replace(head, first=min(first, head.seq + 1), spans=spans)
