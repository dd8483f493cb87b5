"""How a log lies in the table `history`: one partition a log, one transaction a commit.

    head                   seq of the newest message, epoch, the first seq that is still kept
    m:<seq, 19 digits>     a message
    i:<user>:<client id>   the seq that this message of theirs has

A commit writes the head (If-Match), the messages and their `i:` rows, all or none. So seq has no
gap, two instances cannot give one seq twice, and no message is kept twice.
"""

import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables import EdmType, EntityProperty, TableTransactionError, UpdateMode

from realtime.messages import Entry
from realtime.tables import Row, Tables

BATCH = 49
"""The most messages of one commit: two rows each and the head stay within the 100 of a
transaction (learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions)."""

NAMES = ":logs"
"""The partition of the table `rooms` that lists all logs; no room is called that."""

REMEMBERED = 10_000
"""How many heads an instance remembers; a forgotten one costs one more read."""


@dataclass(frozen=True)
class Draft:
    """A message before it has a place in a log."""

    sender: str
    id: str
    content: str


@dataclass(frozen=True)
class Head:
    """Where a log stands. One that was never written has seq 0 and no epoch."""

    epoch: str = ""
    seq: int = 0
    first: int = 1
    timestamp: str = ""
    etag: str = ""


class Moved(Exception):  # noqa: N818 - it is what happened
    """Somebody else has written the log since its head was read."""


class Known(Exception):  # noqa: N818 - it is what happened
    """At least one of the messages has been kept before."""


class Logs:
    """All logs, over the table `history`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._heads: OrderedDict[str, Head] = OrderedDict()

    # --- the head ---------------------------------------------------------------------------

    async def head(self, name: str) -> Head:
        """Where a log stands now."""
        table = await self._tables("history")
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
        self._remember(name, head)
        return head

    async def likely_head(self, name: str) -> Head:
        """Where a log stood when this instance last saw it; a commit finds out if it moved."""
        return self._heads.get(name) or await self.head(name)

    def forget_head(self, name: str) -> None:
        self._heads.pop(name, None)

    def _remember(self, name: str, head: Head) -> None:
        self._heads[name] = head
        self._heads.move_to_end(name)
        if len(self._heads) > REMEMBERED:
            self._heads.popitem(last=False)

    # --- writing ----------------------------------------------------------------------------

    async def append(
        self, name: str, head: Head, drafts: Sequence[Draft], moment: str
    ) -> tuple[str, list[Entry]]:
        """Commit messages behind `head`, all or none: the log's epoch, and the messages' places.

        Raises Moved or Known; then nothing was written. Any other error of the storage leaves
        open whether it was.
        """
        moment = max(moment, head.timestamp)  # A clock may be behind that of another instance.
        entries = [
            Entry(seq, draft.id, draft.sender, draft.content, moment)
            for seq, draft in enumerate(drafts, start=head.seq + 1)
        ]
        behind = replace(
            head,
            epoch=head.epoch or secrets.token_hex(4),
            seq=head.seq + len(entries),
            timestamp=moment,
        )
        if not head.etag:
            await self._list(name)
        etag = await self._commit(name, behind, entries)
        self._remember(name, replace(behind, etag=etag))
        return behind.epoch, entries

    async def _commit(self, name: str, head: Head, entries: Iterable[Entry]) -> str:
        operations = [_write_head(name, head)]
        for entry in entries:
            operations += _write_message(name, head.epoch, entry)
        table = await self._tables("history")
        try:
            results = await table.submit_transaction(operations)
        except TableTransactionError as error:
            self.forget_head(name)
            if error.status_code == 409 and error.index:
                raise Known from None
            if error.status_code in {404, 409, 412}:
                raise Moved from None
            raise
        except BaseException:
            self.forget_head(name)
            raise
        return str(results[0]["etag"])

    async def _list(self, name: str) -> None:
        """Write a new log's name where it is found again, before its first message."""
        table = await self._tables("rooms")
        await table.upsert_entity({"PartitionKey": NAMES, "RowKey": name})

    # --- reading ----------------------------------------------------------------------------

    async def find(self, name: str, epoch: str, draft: Draft) -> Entry | None:
        """The message of this sender and id, if it was kept before (its text may differ)."""
        table = await self._tables("history")
        key = _id_key(draft.sender, draft.id)
        try:
            known = await table.get_entity(name, key)
            if known["epoch"] != epoch:  # It is left from a log that was deleted in part.
                await table.delete_entity(name, key)
                return None
            return _entry(await table.get_entity(name, _message_key(known["seq"].value)))
        except ResourceNotFoundError:
            return None

    async def read(self, name: str, head: Head, low: int, high: int) -> list[Entry]:
        """The messages from seq `low` to `high`, oldest first."""
        if high < low:
            return []
        table = await self._tables("history")
        rows = table.query_entities(
            "PartitionKey eq @log and RowKey ge @low and RowKey le @high",
            parameters={"log": name, "low": _message_key(low), "high": _message_key(high)},
        )
        return [_entry(row) async for row in rows if row["epoch"] == head.epoch]

    async def names(self) -> AsyncIterator[str]:
        """Every log there is."""
        table = await self._tables("rooms")
        rows = table.query_entities("PartitionKey eq @names", parameters={"names": NAMES})
        async for row in rows:
            yield row["RowKey"]

    # --- removing ---------------------------------------------------------------------------

    async def oldest(self, name: str) -> list[Entry]:
        """The oldest messages that are there, at most one batch."""
        table = await self._tables("history")
        rows = table.query_entities(
            "PartitionKey eq @log and RowKey ge 'm:' and RowKey lt 'm;'",
            parameters={"log": name},
            results_per_page=BATCH,
        )
        found: list[Entry] = []
        async for row in rows:
            found.append(_entry(row))
            if len(found) == BATCH:
                break
        return found

    async def remove(self, name: str, entries: Sequence[Entry]) -> None:
        """Remove the oldest messages of a log. The head says that they are gone before they go."""
        await self._raise_first(name, entries[-1].seq + 1)
        keys = [
            key
            for entry in entries
            for key in (_id_key(entry.sender, entry.id), _message_key(entry.seq))
        ]
        table = await self._tables("history")
        try:
            await table.submit_transaction(
                [("delete", {"PartitionKey": name, "RowKey": key}) for key in keys]
            )
        except TableTransactionError:  # A row is missing: an earlier run was cut short here.
            for key in keys:
                await table.delete_entity(name, key)

    async def _raise_first(self, name: str, first: int) -> None:
        table = await self._tables("history")
        while (head := await self.head(name)).etag and head.first < first:
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
                self.forget_head(name)


def _message_key(seq: int) -> str:
    return f"m:{seq:019}"


def _id_key(sender: str, client_id: str) -> str:
    return f"i:{sender}:{client_id}"


def _long(value: int) -> EntityProperty:
    return EntityProperty(value, EdmType.INT64)


def _head_row(name: str, head: Head) -> Row:
    return {
        "PartitionKey": name,
        "RowKey": "head",
        "epoch": head.epoch,
        "seq": _long(head.seq),
        "first": _long(head.first),
        "timestamp": head.timestamp,
    }


def _write_head(name: str, head: Head) -> Any:
    row = _head_row(name, head)
    if not head.etag:
        return ("create", row)
    condition = {"etag": head.etag, "match_condition": MatchConditions.IfNotModified}
    return ("update", row, {"mode": UpdateMode.REPLACE, **condition})


def _write_message(name: str, epoch: str, entry: Entry) -> list[Any]:
    message = {
        "PartitionKey": name,
        "RowKey": _message_key(entry.seq),
        "epoch": epoch,
        "id": entry.id,
        "sender": entry.sender,
        "content": entry.content,
        "timestamp": entry.timestamp,
    }
    known = {
        "PartitionKey": name,
        "RowKey": _id_key(entry.sender, entry.id),
        "epoch": epoch,
        "seq": _long(entry.seq),
    }
    # A row in the message's place can only be left from a deleted log: the head is ours.
    return [("upsert", message, {"mode": UpdateMode.REPLACE}), ("create", known)]


def _entry(row: Row) -> Entry:
    seq = int(row["RowKey"].removeprefix("m:"))
    return Entry(seq, row["id"], row["sender"], row["content"], row["timestamp"])
