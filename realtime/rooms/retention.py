"""Purges entries that are past retention, in batches; the next run continues.

The logs get a few batches each, one after the other, so that a large log does not delay the others.
"""

import asyncio
import logging
from datetime import datetime, timedelta
from functools import partial

import msgspec
from msgspec.structs import replace

from realtime.azure.tables import Row, take_rows
from realtime.messages import format_timestamp
from realtime.names import DELETED_USER
from realtime.rooms.author_entries import find_entries
from realtime.rooms.log import ConflictError, LogStore
from realtime.rooms.log_rows import Head, id_key, seq_of
from realtime.rooms.mention_rows import mention_key, mentioned_users

RUN_TIMEOUT_SECONDS = 210.0
"""The time limit of one run. With the other purges of a night it is below the platform's
`functionTimeout` of 300 s, by more than one slow call."""

LAST_TURN = 0.8
"""The share of the time after which no turn begins. A turn that is interrupted may leave the rows
that name its authors."""

BATCH_ENTRIES = 50
TURN_BATCHES = 4

log = logging.getLogger(__name__)


async def purge(
    logs: LogStore,
    now: datetime,
    days: int,
    *,
    timeout_seconds: float = RUN_TIMEOUT_SECONDS,
) -> int:
    """Remove the entries older than `days`; returns how many were removed.

    No turn of a log begins in the last part of the time, and at the timeout the run ends also in
    the middle of a slow call. The next run begins there.
    """
    last_turn_at = asyncio.get_running_loop().time() + LAST_TURN * timeout_seconds
    run = _Run(logs, format_timestamp(now - timedelta(days=days)), last_turn_at)
    stopped_at = ""
    try:
        async with asyncio.timeout(timeout_seconds):
            await run.purge_all()
    except TimeoutError:
        stopped_at = run.position
        log.info("the purge continues at its next run")
    if stopped_at or run.started_at:
        await logs.index.write_purge_position(stopped_at)
    return run.removed


class _Run(msgspec.Struct):
    """One run, and how far it has come: `position` is the log in work."""

    logs: LogStore
    limit: str
    last_turn_at: float
    removed: int = 0
    started_at: str = ""
    position: str = ""

    async def purge_all(self) -> None:
        self.started_at = self.position = await self.logs.index.read_purge_position()
        names = [name async for name in self.logs.index.list_names()]
        unfinished = [name for name in names if name >= self.started_at]
        unfinished += [name for name in names if name < self.started_at]
        while unfinished:
            unfinished = [name for name in unfinished if not await self._purge_safely(name)]

    async def _purge_safely(self, name: str) -> bool:
        """One turn of a log; whether it needs no other. A log that fails delays no other."""
        self.position = name
        if asyncio.get_running_loop().time() > self.last_turn_at:
            raise TimeoutError
        try:
            removed, finished = await _purge_log(self.logs, name, self.limit)
        except Exception as error:  # noqa: BLE001 - the next run tries it again
            log.warning("the purge of a log failed: %s", type(error).__name__)
            return True
        self.removed += removed
        return finished


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
    rows = logs.query_rows(name, "m:", "m;", results_per_page=BATCH_ENTRIES)
    return await take_rows(rows, BATCH_ENTRIES)


async def _remove(logs: LogStore, name: str, rows: list[Row]) -> None:
    """Updates `first` in the head before it deletes, so that no reader finds a gap."""
    await _raise_first(logs, name, rows)
    keys = [row["RowKey"] for row in rows]
    # The entries of a deleted user have no rows `i:` any more.
    keys += [id_key(row["sender"], row["id"]) for row in rows if row["sender"] != DELETED_USER]
    if any("reactions" in row or "deleted" in row for row in rows):
        low, high = (f"r:{seq_of(row):019}" for row in (rows[0], rows[-1]))
        keys += [row["RowKey"] async for row in logs.query_rows(name, f"{low}:", f"{high};")]
    for row in rows:
        keys += [mention_key(user, seq_of(row)) for user in mentioned_users(row)]
    await logs.delete_rows(name, keys)


async def _raise_first(logs: LogStore, name: str, rows: list[Row]) -> None:
    """Rows that do not belong to the present log, left from a deleted one, do not count."""
    while (head := await logs.read_head(name)).etag:
        own = [row for row in rows if head.includes(row["epoch"], seq_of(row))]
        if not own or seq_of(own[-1]) < head.first:
            return
        ordinals = [row["ordinal"].value for row in own if "ordinal" in row]
        purged = max(ordinals, default=head.purged)
        try:
            await logs.update_head(name, _with_first(head, seq_of(own[-1]) + 1, purged))
        except ConflictError:
            continue
        return


def _with_first(head: Head, first: int, purged: int) -> Head:
    """`first` is never above seq + 1; spans that end before it have no entries any more."""
    spans = tuple((epoch, last) for epoch, last in head.spans if last >= first)
    return replace(head, first=min(first, head.seq + 1), purged=purged, spans=spans)
