"""The logs in Table Storage: one partition of the table `history` a log, one transaction a commit.

    head                   seq of the newest entry, epoch, the first seq that is stored
    m:<seq, 19 digits>     an entry
    i:<user>:<client id>   the seq of the entry with this id

A commit writes the head (If-Match), the entries and their `i:` rows, all or none. So seq has no
gaps, two instances cannot assign the same seq, and no message is stored twice.

The table `logs` has a row for each log, for the retention timer.
"""

import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables import EdmType, EntityProperty, TableTransactionError, UpdateMode
from cachetools import LRUCache

from realtime.azure.operations import Delete, Insert, Operation, Replace
from realtime.azure.tables import Row, Tables, tables
from realtime.messages import Entry

MAX_COMMIT_ENTRIES = 49
"""The most entries of one commit: two rows each and the head are below the 100 operations of a
transaction (learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions)."""

INDEX_PARTITION = "logs"
"""The partition of the table `logs`."""

MAX_CACHED_HEADS = 10_000
"""Heads that an instance caches; one that is not cached costs one more read."""


@dataclass(frozen=True)
class Draft:
    """A message before it has a seq."""

    sender: str
    id: str
    content: str


@dataclass(frozen=True)
class Head:
    """The head row of a log. A log that has no rows has seq 0 and no epoch."""

    epoch: str = ""
    seq: int = 0
    first: int = 1
    timestamp: str = ""
    etag: str = ""


class ConflictError(Exception):
    """Another instance has changed the log since its head was read."""


class AlreadyStoredError(Exception):
    """At least one of the messages is stored already."""


class LogStore:
    """All logs. There is one in a process, since it caches the heads."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._heads: LRUCache[str, Head] = LRUCache(MAX_CACHED_HEADS)

    # --- the head ---------------------------------------------------------------------------

    async def read_head(self, name: str) -> Head:
        table = self._tables.open("history")
        try:
            row = await table.get_entity(name, "head")
        except ResourceNotFoundError:
            return Head()
        head = Head(
            row["epoch"],
            row["seq"].value,
            row["first"].value,
            row["timestamp"],
            str(row.metadata["etag"]),
        )
        self._heads[name] = head
        return head

    async def cached_head(self, name: str) -> Head:
        """The head as this instance has last seen it; a commit detects whether it has changed."""
        head: Head | None = self._heads.get(name)
        return head or await self.read_head(name)

    def _drop_head(self, name: str) -> None:
        self._heads.pop(name, None)

    # --- writing ----------------------------------------------------------------------------

    async def append(
        self, name: str, head: Head, drafts: Sequence[Draft], timestamp: str
    ) -> tuple[str, list[Entry]]:
        """Commit messages after `head`, all or none; returns the log's epoch and the entries.

        Raises ConflictError or AlreadyStoredError if nothing was written. After any other error of
        the storage it is not known whether it was.
        """
        timestamp = max(timestamp, head.timestamp)  # The clocks of instances differ.
        entries = [
            Entry(seq, draft.id, draft.sender, draft.content, timestamp)
            for seq, draft in enumerate(drafts, start=head.seq + 1)
        ]
        new_head = replace(
            head,
            epoch=head.epoch or secrets.token_hex(4),
            seq=head.seq + len(entries),
            timestamp=timestamp,
        )
        if not head.etag:
            await self._add_to_index(name)
        etag = await self._commit(name, new_head, entries)
        self._heads[name] = replace(new_head, etag=etag)
        return new_head.epoch, entries

    async def _commit(self, name: str, head: Head, entries: Iterable[Entry]) -> str:
        operations = [_head_operation(name, head)]
        for entry in entries:
            operations += _entry_operations(name, head.epoch, entry)
        table = self._tables.open("history")
        try:
            etags = await table.submit(operations)
        except TableTransactionError as error:
            self._drop_head(name)
            if error.status_code == 409 and error.index:
                raise AlreadyStoredError from None
            if error.status_code in {404, 409, 412}:
                raise ConflictError from None
            raise
        except BaseException:
            self._drop_head(name)
            raise
        return etags[0]

    async def _add_to_index(self, name: str) -> None:
        """List a new log before its first commit, so that retention finds it."""
        table = self._tables.open("logs")
        await table.upsert_entity({"PartitionKey": INDEX_PARTITION, "RowKey": name})

    # --- reading ----------------------------------------------------------------------------

    async def find(self, name: str, epoch: str, draft: Draft) -> Entry | None:
        """The stored entry with the draft's sender and id; its content may differ."""
        table = self._tables.open("history")
        key = _id_key(draft.sender, draft.id)
        try:
            row = await table.get_entity(name, key)
            if row["epoch"] != epoch:  # A row of an older log that was deleted in part.
                await table.delete_entity(name, key)
                return None
            return _parse_entry(await table.get_entity(name, _entry_key(row["seq"].value)))
        except ResourceNotFoundError:
            return None

    async def read(self, name: str, head: Head, low: int, high: int) -> list[Entry]:
        """The entries from seq `low` to `high`, oldest first."""
        if high < low:
            return []
        table = self._tables.open("history")
        rows = table.query_entities(
            "PartitionKey eq @log and RowKey ge @low and RowKey le @high",
            parameters={"log": name, "low": _entry_key(low), "high": _entry_key(high)},
        )
        return [_parse_entry(row) async for row in rows if row["epoch"] == head.epoch]

    async def list_names(self) -> AsyncIterator[str]:
        """The names of all logs."""
        table = self._tables.open("logs")
        rows = table.query_entities("PartitionKey eq @index", parameters={"index": INDEX_PARTITION})
        async for row in rows:
            yield row["RowKey"]

    # --- removing ---------------------------------------------------------------------------

    async def read_oldest(self, name: str) -> list[Entry]:
        """The oldest stored entries, at most MAX_COMMIT_ENTRIES."""
        table = self._tables.open("history")
        rows = table.query_entities(
            "PartitionKey eq @log and RowKey ge 'm:' and RowKey lt 'm;'",
            parameters={"log": name},
            results_per_page=MAX_COMMIT_ENTRIES,
        )
        entries: list[Entry] = []
        async for row in rows:
            entries.append(_parse_entry(row))
            if len(entries) == MAX_COMMIT_ENTRIES:
                break
        return entries

    async def remove(self, name: str, entries: Sequence[Entry]) -> None:
        """Remove the oldest entries of a log. Updates `first` in the head before it deletes."""
        await self._raise_first(name, entries[-1].seq + 1)
        keys = [
            key
            for entry in entries
            for key in (_id_key(entry.sender, entry.id), _entry_key(entry.seq))
        ]
        table = self._tables.open("history")
        try:
            await table.submit([Delete(name, key) for key in keys])
        except TableTransactionError:  # A row is missing: an earlier run was interrupted here.
            for key in keys:
                await table.delete_entity(name, key)

    async def _raise_first(self, name: str, first: int) -> None:
        table = self._tables.open("history")
        while (head := await self.read_head(name)).etag and head.first < first:
            try:
                await table.update_entity(
                    _head_row(name, replace(head, first=first)),
                    mode=UpdateMode.REPLACE,
                    etag=head.etag,
                    match_condition=MatchConditions.IfNotModified,
                )
            except HttpResponseError as error:
                if error.status_code not in {404, 412}:
                    raise
            finally:
                self._drop_head(name)


def _entry_key(seq: int) -> str:
    return f"m:{seq:019}"


def _id_key(sender: str, client_id: str) -> str:
    return f"i:{sender}:{client_id}"


def _int64(value: int) -> EntityProperty:
    return EntityProperty(value, EdmType.INT64)


def _head_row(name: str, head: Head) -> Row:
    return {
        "PartitionKey": name,
        "RowKey": "head",
        "epoch": head.epoch,
        "seq": _int64(head.seq),
        "first": _int64(head.first),
        "timestamp": head.timestamp,
    }


def _head_operation(name: str, head: Head) -> Operation:
    row = _head_row(name, head)
    return Replace(row, head.etag) if head.etag else Insert(row)


def _entry_operations(name: str, epoch: str, entry: Entry) -> list[Operation]:
    message = {
        "PartitionKey": name,
        "RowKey": _entry_key(entry.seq),
        "epoch": epoch,
        "id": entry.id,
        "sender": entry.sender,
        "content": entry.content,
        "timestamp": entry.timestamp,
    }
    id_row = {
        "PartitionKey": name,
        "RowKey": _id_key(entry.sender, entry.id),
        "epoch": epoch,
        "seq": _int64(entry.seq),
    }
    # A row with this seq can only be left from a deleted log: the head has assigned the seq here.
    return [Replace(message), Insert(id_row)]


def _parse_entry(row: Row) -> Entry:
    seq = int(row["RowKey"].removeprefix("m:"))
    return Entry(seq, row["id"], row["sender"], row["content"], row["timestamp"])


@cache
def logs() -> LogStore:
    """The logs of this process."""
    return LogStore(tables())
