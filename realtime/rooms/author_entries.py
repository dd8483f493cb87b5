"""The entries of one author in a log, by the rows `i:<user>:` of the log."""

from collections.abc import AsyncIterator

from msgspec import Struct

from realtime.azure.tables import Row, take_rows
from realtime.concurrency import gather_limited
from realtime.messages import Change, Entry
from realtime.names import DELETED_USER
from realtime.rooms.log import LogStore
from realtime.rooms.log_rows import Head, entry_key, parse_entry

MAX_PAGE_ROWS = 100
"""Rows that are read at once; each is followed by a read of its entry."""


class AuthorEntry(Struct, frozen=True):
    """A row `i:` and the row of its entry, if that is stored and is of this author.

    `is_current`: the entry belongs to the log. Others are past retention, or of an older log that
    was deleted in part. `erased_seq` is the seq of a message whose author was removed before.
    """

    id_key: str
    row: Row | None
    is_current: bool
    erased_seq: int | None = None

    @property
    def entry(self) -> Entry | Change | None:
        """The entry for a reader, None if there is none."""
        return parse_entry(self.row) if self.row is not None and self.is_current else None


async def read_author_page(
    logs: LogStore, name: str, user_id: str, after: str = ""
) -> list[AuthorEntry]:
    """Up to MAX_PAGE_ROWS entries of an author in the order of the rows `i:`, after a key."""
    low = f"{after}\x00" if after else f"i:{user_id}:"
    rows = logs.query_rows(name, low, f"i:{user_id};", results_per_page=MAX_PAGE_ROWS)
    ids = await take_rows(rows, MAX_PAGE_ROWS)
    head = await logs.read_head(name)
    return await gather_limited(_read_entry(logs, name, user_id, head, row) for row in ids)


async def _read_entry(
    logs: LogStore, name: str, user_id: str, head: Head, id_row: Row
) -> AuthorEntry:
    seq = id_row["seq"].value
    row = await logs.find_row(name, entry_key(seq))
    if row is None or row["sender"] != user_id:
        is_erased = row is not None and row["sender"] == DELETED_USER and row.get("deleted", False)
        erased_seq = seq if is_erased else None
        return AuthorEntry(id_row["RowKey"], None, is_current=False, erased_seq=erased_seq)
    is_current = head.first <= seq and head.includes(row["epoch"], seq)
    return AuthorEntry(id_row["RowKey"], row, is_current)


async def find_entries(logs: LogStore, name: str, user_id: str) -> AsyncIterator[str]:
    """The keys of a user's entries in a log, read one page at a time."""
    rows = logs.query_rows(name, f"i:{user_id}:", f"i:{user_id};", results_per_page=1)
    async for row in rows:
        yield row["RowKey"]
