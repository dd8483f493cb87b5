"""The log of a room: each message once, in one order for everybody, kept before it is heard.

A log is one partition of the table `history`:

    head                   seq of the newest message, epoch, first seq still kept
    m:<seq, 19 digits>     a message
    i:<user>:<client id>   the seq that this message of theirs got

One commit is one entity group transaction: the head (If-Match), the messages and their `i:` rows.
Whoever lost the race for the head reads it again; whoever sends a message again finds its `i:` row.
While a commit is in flight, what arrives waits and goes together in the next one.
"""

import asyncio
import logging
import random
import secrets
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.data.tables import EdmType, EntityProperty, TableTransactionError, UpdateMode

from realtime.channels import group_of
from realtime.hub import Hub, hub
from realtime.messages import DirectMessage, Entry, Message, Messages, Refused, timestamp
from realtime.tables import Row, Tables, tables

BATCH = 49
"""The most messages of one commit: two rows each and the head stay within the 100 of a
transaction (learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions)."""

BATCH_UNITS = 100_000
"""The most text of one commit, in UTF-16 units: fully escaped, its frame stays below 1 MiB."""

LINE = 1_000
"""How many messages may wait for one log; further ones are refused as `busy`."""

PAGE = 200
"""The most messages of one answer."""

PATIENCE = 10.0
"""How many seconds a commit is tried before its senders hear `unavailable`."""

REMEMBERED_HEADS = 10_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Draft:
    """A message before it has a place in a log."""

    sender: str
    id: str
    content: str


@dataclass(frozen=True)
class Kept:
    """A message in its place. `repeat` tells that it was there already."""

    epoch: str
    entry: Entry
    repeat: bool


@dataclass(frozen=True)
class Head:
    """Where a log stands. A log that was never written has seq 0 and no epoch."""

    epoch: str = ""
    seq: int = 0
    first: int = 1
    timestamp: str = ""
    etag: str = ""


@dataclass(frozen=True)
class Page:
    """Some messages of a log, oldest first; `more` tells of further ones in the direction asked."""

    head: Head
    entries: list[Entry]
    more: bool


@dataclass
class _Waiting:
    draft: Draft
    kept: "asyncio.Future[Kept]"


@dataclass
class _Line:
    """What waits for one log, and what is being written; both by (sender, id)."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    pending: dict[tuple[str, str], _Waiting] = field(default_factory=dict)
    writer: "asyncio.Task[None] | None" = None


class History:
    """All logs, over the table `history`; what it keeps it publishes, in order."""

    def __init__(
        self,
        tables: Tables,
        hub: Hub,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._tables = tables
        self._hub = hub
        self._now = now
        self._chance = chance
        self._lines: dict[str, _Line] = {}
        self._heads: OrderedDict[str, Head] = OrderedDict()

    # --- writing ----------------------------------------------------------------------------

    async def keep(self, name: str, draft: Draft) -> Kept:
        """Keep a message and publish it; returns when both are done.

        Sending the same draft again returns its first place and publishes it again. Raises
        Refused: `busy` when too many wait, `id_conflict` when the id was used for another text,
        `unavailable` when the storage or the service is away (send it again).
        """
        line = self._lines.setdefault(name, _Line())
        waiting = line.pending.get((draft.sender, draft.id))
        if waiting is None:
            waiting = self._queue(line, draft)
            if line.writer is None:
                line.writer = asyncio.create_task(self._write(name, line))
        elif waiting.draft != draft:
            raise _conflict()
        return await asyncio.shield(waiting.kept)

    def _queue(self, line: _Line, draft: Draft) -> _Waiting:
        if len(line.waiting) >= LINE:
            raise Refused("busy", "Too many messages wait for this room.", retry_after_ms=500)
        waiting = _Waiting(draft, asyncio.get_running_loop().create_future())
        line.waiting.append(waiting)
        line.pending[draft.sender, draft.id] = waiting
        return waiting

    async def _write(self, name: str, line: _Line) -> None:
        """Commit what waits, batch after batch; one is published while the next is committed."""
        published = None
        while line.waiting:
            batch = _next_batch(line.waiting)
            outcome = await self._settled(name, batch)
            if published:
                await published
            published = asyncio.create_task(self._publish(name, line, outcome))
            if not line.waiting:
                await published
        del self._lines[name]

    async def _settled(
        self, name: str, batch: list[_Waiting]
    ) -> list[tuple[_Waiting, Kept | Exception]]:
        """The fate of each message of a batch; whatever goes wrong, nobody is left waiting."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._commit(name, batch)
        except (AzureError, TimeoutError) as error:
            log.warning("a commit failed: %s", type(error).__name__)
            gone = _away()
            return [(waiting, gone) for waiting in batch]
        except Exception as error:
            log.exception("a commit failed")
            return [(waiting, error) for waiting in batch]

    async def _commit(
        self, name: str, batch: list[_Waiting]
    ) -> list[tuple[_Waiting, Kept | Exception]]:
        settled: list[tuple[_Waiting, Kept | Exception]] = []
        attempt = 0
        while batch:
            head = self._heads.get(name) or await self._read_head(name)
            try:
                kept = await self._transact(name, head, [waiting.draft for waiting in batch])
            except TableTransactionError as error:
                self._heads.pop(name, None)
                if error.status_code == 409 and error.index:
                    known, batch = await self._repeats(name, batch)
                    settled += known
                elif error.status_code not in {404, 409, 412}:
                    raise
                attempt += 1
                await asyncio.sleep(self._chance() * min(0.002 * 2**attempt, 0.2))
            except AzureError:
                self._heads.pop(name, None)  # The answer was lost, perhaps not the commit.
                attempt += 1
                await asyncio.sleep((0.5 + self._chance()) * min(0.1 * 2**attempt, 2.0))
            else:
                return settled + list(zip(batch, kept, strict=True))
        return settled

    async def _transact(self, name: str, head: Head, drafts: Sequence[Draft]) -> list[Kept]:
        """Write messages behind `head`, all or none."""
        moment = max(timestamp(self._now()), head.timestamp)
        epoch = head.epoch or secrets.token_hex(4)
        entries = [
            Entry(head.seq + place, draft.id, draft.sender, draft.content, moment)
            for place, draft in enumerate(drafts, start=1)
        ]
        behind = replace(head, epoch=epoch, seq=entries[-1].seq, timestamp=moment)
        operations = [_head_operation(name, behind)]
        for entry in entries:
            operations += _message_operations(name, epoch, entry)
        if not head.etag:
            await self._list_log(name)
        table = await self._tables("history")
        results = await table.submit_transaction(operations)
        self._remember(name, replace(behind, etag=results[0]["etag"]))
        return [Kept(epoch, entry, repeat=False) for entry in entries]

    async def _list_log(self, name: str) -> None:
        """Note a new log's name where retention finds it, before its first message."""
        table = await self._tables("rooms")
        await table.upsert_entity({"PartitionKey": LOGS, "RowKey": name})

    async def _repeats(
        self, name: str, batch: list[_Waiting]
    ) -> tuple[list[tuple[_Waiting, Kept | Exception]], list[_Waiting]]:
        """Divide a batch into what is kept already, with its fate, and what is new."""
        head = await self._read_head(name)
        found = await asyncio.gather(*(self._kept(name, head, one.draft) for one in batch))
        known = [(one, kept) for one, kept in zip(batch, found, strict=True) if kept]
        return known, [one for one, kept in zip(batch, found, strict=True) if not kept]

    async def _kept(self, name: str, head: Head, draft: Draft) -> Kept | Exception | None:
        """What became of a draft that was perhaps kept before."""
        table = await self._tables("history")
        key = _id_key(draft.sender, draft.id)
        try:
            known = await table.get_entity(name, key)
            row = await table.get_entity(name, _message_key(known["seq"].value))
        except ResourceNotFoundError:
            return None
        if known["epoch"] != head.epoch:  # It is left from a log that was deleted in part.
            await table.delete_entity(name, key)
            return None
        entry = _entry(row)
        return (
            Kept(head.epoch, entry, repeat=True) if entry.content == draft.content else _conflict()
        )

    async def _publish(
        self, name: str, line: _Line, outcome: list[tuple[_Waiting, Kept | Exception]]
    ) -> None:
        """Send what was kept; only then do its senders know."""
        kept = sorted(
            (fate for _, fate in outcome if isinstance(fate, Kept)), key=lambda one: one.entry.seq
        )
        failed = await self._failure(self._send(name, kept))
        for waiting, fate in outcome:
            del line.pending[waiting.draft.sender, waiting.draft.id]
            if waiting.kept.cancelled():
                continue
            if isinstance(fate, Exception) or failed:
                waiting.kept.set_exception(fate if isinstance(fate, Exception) else _away())
            else:
                waiting.kept.set_result(fate)

    async def _failure(self, sending: Awaitable[None]) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                await sending
        except Exception as error:  # noqa: BLE001 - the senders hear of it and send again
            log.warning("publishing failed: %s", type(error).__name__)
            return True
        return False

    async def _send(self, name: str, kept: Sequence[Kept]) -> None:
        if not kept:
            return
        people = name.split(":")
        if len(people) == 2:
            for one in kept:
                frame = _direct_frame(people, one)
                await asyncio.gather(*(self._hub.tell(person, frame) for person in people))
        else:
            await self._hub.publish(group_of(name), _room_frame(name, kept))

    # --- reading ----------------------------------------------------------------------------

    async def head(self, name: str) -> Head:
        """Where a log stands now."""
        return await self._read_head(name)

    async def page(
        self, name: str, limit: int = 50, *, before: int | None = None, after: int | None = None
    ) -> Page:
        """The newest messages, or those before or after a seq.

        Raises Refused `invalid_cursor` for both at once or a seq that the log has not reached.
        """
        head = await self._read_head(name)
        if before is not None and after is not None:
            raise Refused("invalid_cursor", "Ask for before or for after, not for both.")
        if (after or 0) > head.seq or (before or 0) > head.seq + 1:
            raise Refused("invalid_cursor", f"The history ends at {head.seq}.")
        if after is not None:
            low, high = max(after + 1, head.first), min(after + limit, head.seq)
            high = max(high, min(low + limit - 1, head.seq))
            return Page(head, await self._range(name, head, low, high), high < head.seq)
        high = head.seq if before is None else before - 1
        low = max(head.first, high - limit + 1)
        return Page(head, await self._range(name, head, low, high), low > head.first)

    async def since(
        self, name: str, after: int | None, epoch: str | None, limit: int = 50
    ) -> tuple[Page, bool]:
        """What a client that stands at `after` has missed, and whether that is all of it.

        Where it cannot be (no position, another epoch, too much, or removed by retention) the
        newest page comes instead, and False.
        """
        head = await self._read_head(name)
        if after is not None and _continues(head, after, epoch):
            return Page(head, await self._range(name, head, after + 1, head.seq), more=False), True
        low = max(head.first, head.seq - limit + 1)
        return Page(head, await self._range(name, head, low, head.seq), low > head.first), False

    async def _range(self, name: str, head: Head, low: int, high: int) -> list[Entry]:
        if high < low:
            return []
        table = await self._tables("history")
        rows = table.query_entities(
            "PartitionKey eq @log and RowKey ge @low and RowKey le @high",
            parameters={"log": name, "low": _message_key(low), "high": _message_key(high)},
        )
        return [_entry(row) async for row in rows if row["epoch"] == head.epoch]

    async def _read_head(self, name: str) -> Head:
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

    def _remember(self, name: str, head: Head) -> None:
        self._heads[name] = head
        self._heads.move_to_end(name)
        if len(self._heads) > REMEMBERED_HEADS:
            self._heads.popitem(last=False)

    # --- retention --------------------------------------------------------------------------

    async def forget(self, days: int, *, seconds: float = 240) -> int:
        """Remove messages older than `days`; how many were removed.

        Stops after `seconds` and goes on at the next call: what is to go is found anew.
        """
        oldest = timestamp(self._now() - timedelta(days=days))
        removed = 0
        try:
            async with asyncio.timeout(seconds):
                table = await self._tables("rooms")
                async for row in table.query_entities(
                    "PartitionKey eq @logs", parameters={"logs": LOGS}
                ):
                    removed += await self._forget(row["RowKey"], oldest)
        except TimeoutError:
            log.info("retention goes on at its next run")
        return removed

    async def _forget(self, name: str, oldest: str) -> int:
        removed = 0
        while batch := await self._oldest(name, oldest):
            await self._raise_first(name, batch[-1].seq + 1)
            await self._remove(name, batch)
            removed += len(batch)
        return removed

    async def _oldest(self, name: str, before: str) -> list[Entry]:
        table = await self._tables("history")
        rows = table.query_entities(
            "PartitionKey eq @log and RowKey ge 'm:' and RowKey lt 'm;'",
            parameters={"log": name},
            results_per_page=BATCH,
        )
        async for page in rows.by_page():
            entries = [_entry(row) async for row in page]
            if entries:
                return [entry for entry in entries if entry.timestamp < before]
        return []

    async def _raise_first(self, name: str, first: int) -> None:
        """Say that what lies before `first` is gone, before it goes."""
        table = await self._tables("history")
        while (head := await self._read_head(name)).etag and head.first < first:
            try:
                await table.update_entity(
                    _head_row(name, replace(head, first=first)),
                    mode=UpdateMode.REPLACE,
                    etag=head.etag,
                    match_condition=MatchConditions.IfNotModified,
                )
            except AzureError as error:
                if getattr(error, "status_code", None) != 412:
                    raise
            finally:
                self._heads.pop(name, None)

    async def _remove(self, name: str, entries: Iterable[Entry]) -> None:
        table = await self._tables("history")
        keys = [
            key
            for entry in entries
            for key in (_id_key(entry.sender, entry.id), _message_key(entry.seq))
        ]
        rows = [("delete", {"PartitionKey": name, "RowKey": key}) for key in keys]
        try:
            await table.submit_transaction(rows)
        except TableTransactionError:  # A row is missing: an earlier run was cut short here.
            for key in keys:
                await table.delete_entity(name, key)


LOGS = ":logs"
"""The partition of the table `rooms` that lists all logs; no room is called that."""


def _next_batch(waiting: deque[_Waiting]) -> list[_Waiting]:
    batch = [waiting.popleft()]
    units = len(batch[0].draft.content)
    while waiting and len(batch) < BATCH:
        units += len(waiting[0].draft.content)
        if units > BATCH_UNITS:
            break
        batch.append(waiting.popleft())
    return batch


def _continues(head: Head, after: int, epoch: str | None) -> bool:
    same_log = epoch == head.epoch or (after == 0 and not epoch)
    return same_log and head.first - 1 <= after <= head.seq <= after + PAGE


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


def _head_operation(name: str, head: Head) -> Any:
    row = _head_row(name, head)
    if not head.etag:
        return ("create", row)
    condition = {"etag": head.etag, "match_condition": MatchConditions.IfNotModified}
    return ("update", row, {"mode": UpdateMode.REPLACE, **condition})


def _message_operations(name: str, epoch: str, entry: Entry) -> list[Any]:
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


def _room_frame(room: str, kept: Sequence[Kept]) -> Message | Messages:
    if len(kept) > 1:
        return Messages(room, kept[0].epoch, [one.entry for one in kept])
    (one,) = kept
    entry = one.entry
    return Message(
        room, one.epoch, entry.seq, entry.id, entry.sender, entry.content, entry.timestamp
    )


def _direct_frame(people: Sequence[str], kept: Kept) -> DirectMessage:
    entry = kept.entry
    to = people[1] if entry.sender == people[0] else people[0]
    return DirectMessage(
        to, kept.epoch, entry.seq, entry.id, entry.sender, entry.content, entry.timestamp
    )


def _conflict() -> Refused:
    return Refused("id_conflict", "This id was used for another message.")


def _away() -> Refused:
    return Refused(
        "unavailable", "The message is not confirmed; send it again.", retry_after_ms=1000
    )


@cache
def history() -> History:
    """This process's history."""
    return History(tables(), hub())
