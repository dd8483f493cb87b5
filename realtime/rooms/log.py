"""The logs in Table Storage: reads and commits. One partition of the table `history` is one log.

A commit is one transaction: the head (If-Match), the entries with their `i:` rows, and what they
change. It writes all or none, so seq has no gaps, two instances cannot assign the same seq, and
no draft is stored twice. `log_rows` describes the rows.
"""

import logging
import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import cache

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.data.tables import TableTransactionError
from msgspec import Struct
from msgspec.structs import replace

from realtime.azure.operations import Delete, Insert, Operation, Replace
from realtime.azure.table_reads import date_of_response
from realtime.azure.tables import Tables, tables
from realtime.concurrency import SharedCalls, gather_limited
from realtime.errors import ApiError
from realtime.messages import Change, Entry
from realtime.rooms.changes import Plan, find_unwritten, find_unwritten_changes, plan_commit
from realtime.rooms.commit_parts import (
    complete_outcomes,
    merge_taken,
    next_published,
    next_timestamp,
    remove_repetitions,
)
from realtime.rooms.commit_state import StateReader, read_outcomes
from realtime.rooms.drafts import Draft, target_of
from realtime.rooms.head_cache import HeadCache, Seen
from realtime.rooms.log_index import LogIndex
from realtime.rooms.log_rows import (
    QUEUE_PREFIX,
    Head,
    QueueRow,
    encode_head,
    encode_queue_row,
    id_key,
    parse_head,
    parse_queue_row,
)
from realtime.rooms.log_table import LogTable
from realtime.rooms.outcomes import Outcome
from realtime.settings import settings

DAY_SECONDS = 86_400.0

log = logging.getLogger(__name__)


class ConflictError(Exception):
    """Another instance has changed the log since its head was read."""


class Commit(Struct, frozen=True):
    """What was stored: the new head, the entries in order, and the outcome of each draft."""

    head: Head
    entries: list[Entry | Change]
    outcomes: dict[Draft, Outcome]


class LogStore(LogTable):
    """All logs. There is one in a process, since it caches the heads."""

    def __init__(self, tables: Tables, *, edit_seconds: float = DAY_SECONDS) -> None:
        super().__init__(tables)
        self._edit_seconds = edit_seconds
        self._heads = HeadCache()
        self._states = StateReader(self)
        self._head_reads = SharedCalls[str, Head]()
        self.index = LogIndex(tables)
        self.instance = secrets.token_hex(4)
        """Identifies this process as the writer of a head."""

    # --- the head ---------------------------------------------------------------------------

    async def read_head(self, name: str) -> Head:
        seen = self._heads.see(name)
        try:
            head = parse_head(await self._table().get_entity(name, "head"))
        except ResourceNotFoundError:
            self._heads.drop(name)
            return Head()
        return await self._note_head(name, seen, head)

    async def read_head_shared(self, name: str) -> Head:
        """The head now; concurrent callers share a read that begins after they have asked."""
        return await self._head_reads.run(name, lambda: self.read_head(name))

    async def cached_head(self, name: str) -> Head:
        """The head as this instance has last seen it; a commit detects whether it has changed."""
        return self._heads.get(name) or await self.read_head(name)

    async def read_queue(self, name: str) -> tuple[Head, list[QueueRow]]:
        """The head and the queue rows, oldest first, in one query."""
        seen = self._heads.see(name)
        dates: list[datetime] = []
        rows = self._table().query_entities(
            "PartitionKey eq @log and RowKey ge 'head' and RowKey lt 'heae'",
            parameters={"log": name},
            raw_response_hook=lambda response: dates.append(date_of_response(response)),
        )
        head, queue = Head(), []
        async for row in rows:
            if row["RowKey"] == "head":
                head = await self._note_head(name, seen, parse_head(row))
            elif row["RowKey"].startswith(QUEUE_PREFIX):
                written = row.metadata["timestamp"]
                age = (dates[-1] - written).total_seconds() if dates else 0.0
                queue.append(parse_queue_row(row, age))
        return head, queue

    async def _note_head(self, name: str, seen: Seen, head: Head) -> Head:
        """Cache a head that was read. One that is behind what was seen begins a new epoch."""
        if seen.is_ahead_of(head):
            # The table was restored from an older copy: without a new epoch, clients would mix
            # the entries that they have with others of the same seq.
            try:
                return await self.begin_epoch(name, head)
            except ConflictError:  # Another instance has begun it.
                return await self.read_head(name)
        if self._heads.get(name) is seen.head:  # else a commit has finished during the read
            self._heads.put(name, head)
        return head

    async def begin_epoch(self, name: str, head: Head) -> Head:
        """Give a log a new epoch; its entries stay. Raises ConflictError."""
        spans = (*head.spans, (head.epoch, head.seq)) if head.seq else ()
        fresh = replace(
            head, epoch=secrets.token_hex(4), spans=spans, taken={}, leading=False, turns=()
        )
        log.warning("a log begins a new epoch at seq %d", head.seq)
        return await self.update_head(name, fresh)

    async def update_head(self, name: str, head: Head) -> Head:
        """Replace the head row if it has still this etag. Raises ConflictError."""
        try:
            (etag,) = await self._table().submit([Replace(encode_head(name, head), head.etag)])
        except HttpResponseError as error:
            self._heads.drop(name)
            if error.status_code in {404, 412}:
                raise ConflictError from None
            raise
        head = replace(head, etag=etag)
        self._heads.put(name, head)
        return head

    # --- queue rows -------------------------------------------------------------------------

    async def insert_queue_row(self, name: str, key: str, epoch: str, drafts: list[Draft]) -> None:
        """Insert drafts for the next commit of any instance. A repeated insert has no effect."""
        await self.index.add(name, drafts)
        await self._table().upsert_entity(encode_queue_row(name, key, epoch, drafts))

    # --- commits ----------------------------------------------------------------------------

    async def commit(
        self,
        name: str,
        head: Head,
        drafts: Sequence[Draft],
        now: datetime,
        *,
        queue: Sequence[QueueRow] = (),
        leading: bool = False,
        published: int | None = None,
        turns: tuple[str, ...] = (),
    ) -> Commit:
        """Store drafts after `head`, and those of queue rows, which are deleted.

        A leader gives the seq up to which it has `published`, `turns` are the instances that
        commit next, where they commit in turn.

        Every draft gets an outcome. Raises ConflictError if nothing was written because the log
        has changed. After any other error of the storage it is not known whether it was.
        """
        everything = [*drafts, *(draft for row in queue for draft in row.drafts)]
        unique, outcomes = remove_repetitions(everything)
        stored: dict[Draft, Outcome] = {}
        looked_up: set[Draft] = set()
        cached = True
        # Who inserted a queue row has added its authors.
        await self.index.add(name, drafts, is_new=not head.etag)
        while True:
            remaining = [draft for draft in unique if draft not in outcomes]
            plan = await self._plan(name, head, remaining, now, cached=cached)
            if unwritten := find_unwritten_changes(plan) - looked_up:
                looked_up |= unwritten
                if found := await self.find_stored(name, list(unwritten)):
                    outcomes, stored = outcomes | found, stored | found
                    continue
            new_head = replace(
                plan.head,
                writer=self.instance,
                leading=leading,
                taken=merge_taken(head, queue, outcomes | plan.outcomes, stored),
                published=next_published(head, plan.head, published),
                turns=turns,
            )
            if not plan.entries and not queue and plan.head.access == head.access:
                await self._check_refusals(name, head, plan)
                return Commit(head, [], complete_outcomes(everything, outcomes | plan.outcomes))
            try:
                etag, *etags = await self._submit(name, new_head, plan, queue)
            except _AlreadyStoredError:
                outcomes |= (stored := await self.find_stored(name, unique))
                continue
            except _OutdatedStateError:
                if not cached:
                    raise ConflictError from None
                cached = False
                continue
            new_head = replace(new_head, etag=etag)
            self._heads.put(name, new_head)
            self._states.note_commit(name, plan, etags)
            outcomes = complete_outcomes(everything, outcomes | plan.outcomes)
            return Commit(new_head, plan.entries, outcomes)

    async def _plan(
        self, name: str, head: Head, drafts: Sequence[Draft], now: datetime, *, cached: bool
    ) -> Plan:
        """The plan for drafts. What has no effect or is refused is so by what was just read."""
        timestamp = next_timestamp(now, head.timestamp)
        state = await self._states.read(name, head, drafts, cached=cached)
        started = replace(head, epoch=head.epoch or secrets.token_hex(4))
        plan = plan_commit(name, started, drafts, state, timestamp, self._edit_seconds)
        if state.unverified & set(map(target_of, find_unwritten(plan))):
            return await self._plan(name, head, drafts, now, cached=False)
        return plan

    async def _check_refusals(self, name: str, head: Head, plan: Plan) -> None:
        """Raises ConflictError if drafts were refused by a head that is not the present one."""
        is_refused = any(isinstance(one, ApiError) for one in plan.outcomes.values())
        if is_refused and (await self.read_head(name)).etag != head.etag:
            raise ConflictError

    async def _submit(
        self, name: str, head: Head, plan: Plan, queue: Sequence[QueueRow]
    ) -> list[str]:
        """The etag of each operation."""
        row = encode_head(name, head)
        operations: list[Operation] = [
            Replace(row, head.etag) if head.etag else Insert(row),
            *plan.operations,
            *(Delete(name, one.key) for one in queue),
        ]
        try:
            return await self._table().submit(operations)
        except TableTransactionError as error:
            self._heads.drop(name)
            if error.status_code == 409 and error.index:
                raise _AlreadyStoredError from None
            if error.status_code in {404, 412} and 0 < (error.index or 0) <= len(plan.operations):
                raise _OutdatedStateError from None
            if error.status_code in {404, 409, 412}:
                raise ConflictError from None
            raise
        except BaseException:
            self._heads.drop(name)
            raise

    async def find_stored(self, name: str, drafts: Sequence[Draft]) -> dict[Draft, Outcome]:
        """The outcomes of those drafts that are stored already, by any instance."""
        rows = await gather_limited(
            self.find_row(name, id_key(draft.sender, draft.id)) for draft in drafts
        )
        if not any(row is not None for row in rows):
            return {}
        # The head is read after the rows: it is not older than any of them.
        head = await self.read_head(name)
        found, outdated = await read_outcomes(self, name, head, drafts, rows)
        await gather_limited(self._table().delete_entity(name, key) for key in outdated)
        return found


class _AlreadyStoredError(Exception):
    """The id of at least one draft is stored."""


class _OutdatedStateError(Exception):
    """A message has changed since its state was cached or read."""


@cache
def logs() -> LogStore:
    """The logs of this process."""
    return LogStore(tables(), edit_seconds=3600.0 * settings().edit_hours)
