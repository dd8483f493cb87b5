"""Begins a new epoch of each log after the tables were restored from a copy.

A client that has entries of before the restore must not continue with those of after it, although
they have the same seq. Rows are not copied at one moment, so the head may be older or newer than
the entries: it is corrected.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from realtime.concurrency import gather_limited
from realtime.names import DELETED_USER
from realtime.rooms.log import ConflictError, LogStore
from realtime.rooms.log_rows import Head, seq_of


class RestoredLog(Struct, frozen=True):
    """A log with a new epoch; `missing` entries are not in the copy."""

    name: str
    seq: int
    messages: int
    missing: int


async def begin_epochs(logs: LogStore, names: Iterable[str] | None = None) -> Sequence[RestoredLog]:
    """Begin a new epoch of each log, by default of all that have a head."""
    if names is None:
        names = [name async for name in logs.scan_names()]
    found = await gather_limited(_begin_epoch(logs, name) for name in names)
    return [one for one in found if one is not None]


async def _begin_epoch(logs: LogStore, name: str) -> RestoredLog | None:
    """None for a log without a head. A log that is written meanwhile is read again."""
    while True:
        head = await logs.read_head(name)
        if not head.etag:
            return None
        corrected, missing, authors = await _correct(logs, name, head)
        await logs.index.add(name, [], is_new=True)
        await logs.index.authors.add(name, authors)
        try:
            await logs.begin_epoch(name, corrected)
        except ConflictError:
            continue
        return RestoredLog(name, corrected.seq, corrected.messages, missing)


async def _correct(logs: LogStore, name: str, head: Head) -> tuple[Head, int, set[str]]:
    """The head that ends with the last entry, the number of missing entries, and the authors."""
    known = {head.epoch, *(epoch for epoch, _ in head.spans)}
    count, seq, messages = 0, head.first - 1, 0
    authors = set()
    rows = logs.query_rows(name, "m:", "m;", select=["RowKey", "epoch", "ordinal", "sender"])
    async for row in rows:
        if seq_of(row) < head.first or row["epoch"] not in known:
            continue
        count, seq = count + 1, seq_of(row)
        authors.add(row["sender"])
        if "ordinal" in row:
            messages = row["ordinal"].value
    missing = seq - head.first + 1 - count
    corrected = replace(head, seq=seq, messages=messages or head.messages, published=seq)
    return corrected, missing, authors - {DELETED_USER}
