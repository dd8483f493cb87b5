"""Stores and publishes the queued drafts of one log.

While this instance is alone it commits batch after batch. If other instances write the same log
it either leads (commits its own drafts and the queue rows of the others, and publishes all of
them in order) or follows (leaves its drafts to the leader in queue rows and waits).
docs/history.md describes the protocol; no step needs an instance that is idle.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from azure.core.exceptions import AzureError, HttpResponseError

from realtime.azure import telemetry
from realtime.concurrency import has_failed
from realtime.messages import Change, Entry
from realtime.rooms import contention as protocol
from realtime.rooms.changes import Outcome, parse_outcome
from realtime.rooms.contention import Contention
from realtime.rooms.draft_queue import Budget, DraftQueue, QueuedDraft
from realtime.rooms.history import MAX_PAGE_ENTRIES, read_entries
from realtime.rooms.log import Commit, ConflictError, LogStore
from realtime.rooms.log_rows import QUEUE_PREFIX, Head, QueueRow
from realtime.rooms.publisher import LogPublisher

RETRY_SECONDS = 30.0
"""How long a commit is retried. The senders are answered earlier; a repetition of theirs finds the
draft that is still being stored."""

PUBLISH_TIMEOUT_SECONDS = 10.0

CONFLICT_PAUSE_SECONDS = 0.005

MAX_RETRY_PAUSE_SECONDS = 2.0

log = logging.getLogger(__name__)


@dataclass
class Runtime:
    """What the writers of a process share, and what tests replace."""

    logs: LogStore
    publisher: LogPublisher
    now: Callable[[], datetime]
    chance: Callable[[], float]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass
class _OutstandingRow:
    """A queue row of this instance. `outcomes` are known once a leader has committed it."""

    key: str
    epoch: str
    drafts: list[QueuedDraft]
    inserted_at: float
    checked_at: float
    outcomes: list[Outcome] = field(default_factory=list)
    committed_at: float = 0.0

    @property
    def last_seq(self) -> int:
        return max((one for one in self.outcomes if isinstance(one, int)), default=0)


class LogWriter:
    """Exists while drafts of its log wait on this instance."""

    def __init__(self, name: str, runtime: Runtime, contention: Contention) -> None:
        self.queue = DraftQueue()
        self._name = name
        self._runtime = runtime
        self._logs = runtime.logs
        self._contention = contention
        self._outstanding: dict[str, _OutstandingRow] = {}
        self._published = 0

    async def run(self) -> None:
        """Returns when each draft has an outcome. An error is an outcome too."""
        try:
            while self.queue.waiting or self._outstanding:
                if self._contention.is_shared(self._runtime.clock()) or self._outstanding:
                    await self._write_shared()
                else:
                    await self._write_alone()
        except (AzureError, TimeoutError) as error:
            self._fail_all(f"a commit failed: {_describe(error)}")
        except Exception as error:
            log.exception("a commit failed")
            self._fail_all(f"a commit failed: {type(error).__name__}")
        except BaseException:
            self._fail_all("a commit was cancelled")
            raise

    def _fail_all(self, problem: str) -> None:
        self.queue.waiting.clear()
        self._outstanding.clear()
        self.queue.fail(list(self.queue.pending.values()), problem)

    # --- alone ------------------------------------------------------------------------------

    async def _write_alone(self) -> None:
        """Commit batch after batch; one is published while the next is committed."""
        publishing: asyncio.Task[bool] | None = None
        try:
            while self.queue.waiting and not self._contention.is_shared(self._runtime.clock()):
                batch = self.queue.take(Budget())
                commit = await self._try_commit(batch)
                if commit is None:
                    return
                if publishing:
                    await publishing
                publishing = asyncio.create_task(self._publish(commit, batch, []))
                if not self.queue.waiting:
                    await publishing
        finally:
            if publishing:
                await publishing

    async def _try_commit(self, batch: list[QueuedDraft]) -> Commit | None:
        """None if the log is shared with other writers; then the batch is in the queue again."""
        started, attempts = self._runtime.clock(), 0
        while True:
            try:
                head = await self._read_head()
                if head is not None:
                    return await self._commit(head, batch)
            except ConflictError:
                self._note_conflict()
                await self._runtime.sleep(self._runtime.chance() * CONFLICT_PAUSE_SECONDS)
            except AzureError as error:
                if _is_permanent(error) or self._runtime.clock() - started > RETRY_SECONDS:
                    raise
                attempts += 1
                pause = min(0.1 * 2**attempts, MAX_RETRY_PAUSE_SECONDS)
                await self._runtime.sleep((0.5 + self._runtime.chance()) * pause)
            if self._contention.is_shared(self._runtime.clock()):
                self.queue.put_back(batch)
                return None

    async def _read_head(self) -> Head | None:
        """The head for a commit, or None if the log is shared with other writers."""
        if not self._contention.is_careful(self._runtime.clock()):
            return await self._logs.cached_head(self._name)
        head, queue = await self._logs.read_queue(self._name)
        if queue or (head.leading and head.writer != self._logs.instance):
            self._contention.note_shared(self._runtime.clock())
            return None
        return head

    def _note_conflict(self) -> None:
        telemetry.increment("townsquare.commit.conflicts")
        self._contention.note_conflict(self._runtime.clock())

    async def _commit(
        self,
        head: Head,
        batch: Sequence[QueuedDraft],
        queue: Sequence[QueueRow] = (),
        *,
        published: int | None = None,
    ) -> Commit:
        """A leader gives the seq up to which it has published."""
        with (
            telemetry.measure_duration("townsquare.commit.duration"),
            telemetry.span("commit", [one.span for one in batch]),
        ):
            commit = await self._logs.commit(
                self._name,
                head,
                [one.draft for one in batch],
                self._runtime.now(),
                queue=queue,
                leading=published is not None,
                published=published,
            )
        telemetry.increment("townsquare.messages.stored", len(commit.entries))
        telemetry.increment(
            "townsquare.messages.duplicates", len(commit.outcomes) - len(commit.entries)
        )
        if commit.entries:
            telemetry.record("townsquare.commit.size", len(commit.entries))
        return commit

    # --- publishing -------------------------------------------------------------------------

    async def _publish(
        self, commit: Commit, batch: Sequence[QueuedDraft], rows: Sequence[QueueRow]
    ) -> bool:
        """Publish the entries of a commit, then give the drafts of this instance their outcome."""
        own = [*batch, *self._own_drafts(rows)]
        entries = [*commit.entries, *await self._read_repeated(commit, own)]
        published = await self._try_publish(commit.head.epoch, entries)
        self._remove_rows(rows)
        if not published:
            self.queue.fail(own, "a publish failed")
            return False
        self._published = max(self._published, commit.head.seq)
        for queued in own:
            self.queue.resolve(queued, commit.head.epoch, commit.outcomes[queued.draft])
        return True

    def _remove_rows(self, rows: Sequence[QueueRow]) -> None:
        """The rows are deleted. The drafts of one that was not usable wait again."""
        for row in rows:
            own = self._outstanding.pop(row.key, None)
            if own and not row.drafts:
                self.queue.put_back(own.drafts)

    def _own_drafts(self, rows: Sequence[QueueRow]) -> list[QueuedDraft]:
        """The drafts in queue rows that this instance has inserted."""
        return [
            queued
            for row in rows
            if row.drafts and row.key in self._outstanding
            for queued in self._outstanding[row.key].drafts
        ]

    async def _read_repeated(
        self, commit: Commit, own: Sequence[QueuedDraft]
    ) -> list[Entry | Change]:
        """The entries of repeated drafts: the publish after their first commit may have failed."""
        stored = {entry.seq for entry in commit.entries}
        outcomes = (commit.outcomes[queued.draft] for queued in own)
        repeated = {one for one in outcomes if isinstance(one, int) and one} - stored
        return await self._read_entries(commit.head, repeated)

    async def _read_entries(self, head: Head, seqs: set[int]) -> list[Entry | Change]:
        if not seqs:
            return []
        found = await read_entries(self._logs, self._name, head, min(seqs), max(seqs))
        return [entry for entry in found if entry.seq in seqs]

    async def _try_publish(self, epoch: str, entries: Sequence[Entry | Change]) -> bool:
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
                with (
                    telemetry.measure_duration("townsquare.publish.duration"),
                    telemetry.span("publish"),
                ):
                    await self._runtime.publisher.publish(self._name, epoch, entries)
        except Exception:  # noqa: BLE001 - the senders get an error and send again
            return False
        return True

    # --- shared: the leader -----------------------------------------------------------------

    async def _write_shared(self) -> None:
        """Lead if nobody else does, else follow."""
        self._contention.note_shared(self._runtime.clock())
        try:
            head, queue = await self._logs.read_queue(self._name)
            if not head.etag or not head.leading or head.writer == self._logs.instance:
                await self._lead(head, queue)
            if self.queue.waiting or self._outstanding:
                await self._follow()
        except AzureError as error:
            if _is_permanent(error) or self._oldest_wait() > RETRY_SECONDS:
                raise
            await self._runtime.sleep(self._runtime.chance() * MAX_RETRY_PAUSE_SECONDS)

    def _oldest_wait(self) -> float:
        """Seconds since the oldest outstanding row was inserted."""
        now = self._runtime.clock()
        return max((now - row.inserted_at for row in self._outstanding.values()), default=0.0)

    async def _lead(self, head: Head, queue: list[QueueRow]) -> None:
        """Commit own drafts and queue rows until there is nothing to commit or a race is lost."""
        self._published = head.published
        publishing: asyncio.Task[bool] | None = None
        if head.published < head.seq:
            publishing = asyncio.create_task(self._publish_unmarked(head))
        empty_reads = 0
        try:
            while empty_reads <= protocol.MAX_EMPTY_READS:
                rows, batch = self._choose(head, queue)
                if not rows and not batch:
                    empty_reads += 1
                    await self._runtime.sleep(protocol.EMPTY_READ_PAUSE_SECONDS)
                    read, queue = await self._logs.read_queue(self._name)
                    if read.etag != head.etag:
                        return
                    continue
                empty_reads = 0
                commit, queue = await self._commit_and_read(head, batch, rows)
                if commit is None:
                    return
                head = commit.head
                if publishing and not await publishing:
                    publishing = None
                    self._abandon(batch, rows)
                    return
                publishing = asyncio.create_task(self._publish(commit, batch, rows))
                if rows:
                    await asyncio.wait([publishing], timeout=protocol.MARK_WAIT_SECONDS)
                if publishing.done() and not publishing.result():
                    return
        finally:
            if publishing and await publishing:
                await self._mark_published(head)

    def _choose(
        self, head: Head, queue: Sequence[QueueRow]
    ) -> tuple[list[QueueRow], list[QueuedDraft]]:
        """The queue rows and own drafts of the next commit, the oldest rows first.

        Rows of another epoch, of another version or older than a minute are deleted, not stored.
        """
        budget = Budget()
        rows: list[QueueRow] = []
        junk = 0
        for row in queue:
            usable = row.drafts and row.epoch == head.epoch
            if not usable or row.age_seconds > protocol.MAX_ROW_AGE_SECONDS:
                junk += 1
                if junk <= protocol.MAX_JUNK_ROWS and budget.accept_row([]):
                    rows.append(replace(row, drafts=[]))
            elif budget.accept_row(row.drafts):
                rows.append(row)
            else:
                break
        return rows, self.queue.take(budget)

    async def _commit_and_read(
        self, head: Head, batch: list[QueuedDraft], rows: list[QueueRow]
    ) -> tuple[Commit | None, list[QueueRow]]:
        """Commit, and read the queue rows meanwhile. No commit if another instance was faster."""
        reading = asyncio.create_task(self._logs.read_queue(self._name))
        try:
            commit = await self._commit(head, batch, rows, published=self._published)
        except ConflictError:
            self._note_conflict()
            self.queue.put_back(batch)
            commit = None
        except BaseException:
            self.queue.put_back(batch)
            raise
        finally:
            await asyncio.wait([reading])
        if commit is None or has_failed(reading):
            return commit, []
        taken = {row.key for row in rows}
        return commit, [row for row in reading.result()[1] if row.key not in taken]

    async def _publish_unmarked(self, head: Head) -> bool:
        """Publish what the leader before may have committed without publishing it."""
        first = max(head.published + 1, head.first, head.seq - MAX_PAGE_ENTRIES + 1)
        entries = await read_entries(self._logs, self._name, head, first, head.seq)
        if not await self._try_publish(head.epoch, entries):
            return False
        self._published = head.seq
        return True

    def _abandon(self, batch: Sequence[QueuedDraft], rows: Sequence[QueueRow]) -> None:
        """The commit before was not published, so this one must not be marked as published. Its
        senders repeat their drafts; the owners of its rows publish them themselves."""
        self.queue.fail([*batch, *self._own_drafts(rows)], "a publish failed")
        self._remove_rows(rows)

    async def _mark_published(self, head: Head) -> None:
        """Write into the head how far this leader has published, and that it leads no more."""
        if not head.taken or head.published >= self._published:
            return
        try:
            marked = replace(head, published=self._published, leading=False)
            await self._logs.update_head(self._name, marked)
        except (ConflictError, AzureError):
            return  # The owners of the rows publish them after a timeout.

    # --- shared: the followers --------------------------------------------------------------

    async def _follow(self) -> None:
        """Insert own drafts as queue rows and wait for their outcomes; take over if need be."""
        head = await self._logs.cached_head(self._name)
        etag, unchanged_since = head.etag, self._runtime.clock()
        pause = protocol.FIRST_POLL_SECONDS
        while self.queue.waiting or self._outstanding:
            await self._insert_rows(head)
            await self._runtime.sleep(pause)
            pause = protocol.POLL_SECONDS
            head = await self._logs.read_head(self._name)
            await self._settle_rows(head)
            now = self._runtime.clock()
            if head.etag != etag:
                etag, unchanged_since = head.etag, now
            if not head.etag or await self._must_take_over(head, now - unchanged_since):
                head, queue = await self._logs.read_queue(self._name)
                await self._lead(head, queue)
                return

    async def _insert_rows(self, head: Head) -> None:
        while self.queue.waiting and len(self._outstanding) < protocol.MAX_OUTSTANDING_ROWS:
            drafts = self._take_for_row()
            if not drafts:
                return
            key = f"{QUEUE_PREFIX}{time.time_ns() // 1_000_000:013}-{secrets.token_hex(5)}"
            now = self._runtime.clock()
            row = _OutstandingRow(key, head.epoch, drafts, inserted_at=now, checked_at=now)
            self._outstanding[key] = row
            await self._logs.insert_queue_row(
                self._name, key, head.epoch, [one.draft for one in drafts]
            )

    def _take_for_row(self) -> list[QueuedDraft]:
        """Drafts for one row. A sender with a draft in another row waits: rows may be stored in
        another order than they were inserted."""
        busy = {one.draft.sender for row in self._outstanding.values() for one in row.drafts}
        budget = Budget(entries=protocol.MAX_ROW_DRAFTS, size=protocol.MAX_ROW_CHARACTERS)
        drafts: list[QueuedDraft] = []
        waiting = self.queue.waiting
        while waiting and waiting[0].draft.sender not in busy and budget.accept(waiting[0].draft):
            drafts.append(waiting.popleft())
        return drafts

    async def _settle_rows(self, head: Head) -> None:
        """Give the drafts of rows that a leader has committed and published their outcomes."""
        now = self._runtime.clock()
        for key, row in list(self._outstanding.items()):
            taken = head.taken.get(key.removeprefix(QUEUE_PREFIX))
            if not row.outcomes and taken is not None and len(taken) == len(row.drafts):
                row.outcomes = [parse_outcome(one) for one in taken]
                row.committed_at = now
            elif not row.outcomes and now - row.checked_at > protocol.GONE_CHECK_SECONDS:
                row.checked_at = now
                await self._check_gone(row, now)
            if not row.outcomes:
                continue
            if head.published >= row.last_seq:
                self._resolve_row(head.epoch, row)
            elif now - row.committed_at > protocol.MARK_TIMEOUT_SECONDS:
                await self._publish_row(head, row)

    def _resolve_row(self, epoch: str, row: _OutstandingRow) -> None:
        del self._outstanding[row.key]
        for queued, outcome in zip(row.drafts, row.outcomes, strict=True):
            self.queue.resolve(queued, epoch, outcome)

    async def _publish_row(self, head: Head, row: _OutstandingRow) -> None:
        """Publish own entries, since the leader has not marked that it did."""
        seqs = {one for one in row.outcomes if isinstance(one, int) and one}
        entries = await self._read_entries(head, seqs)
        if await self._try_publish(head.epoch, entries):
            self._resolve_row(head.epoch, row)
        else:
            del self._outstanding[row.key]
            self.queue.fail(row.drafts, "a publish failed")

    async def _check_gone(self, row: _OutstandingRow, now: float) -> None:
        """A row that is gone, but not mentioned in the head, was stored some commits ago or was
        deleted: the `i:` rows tell. What is not stored waits again."""
        _, queue = await self._logs.read_queue(self._name)
        if any(one.key == row.key for one in queue):
            return
        found = await self._logs.find_stored(self._name, [one.draft for one in row.drafts])
        missing = [one for one in row.drafts if one.draft not in found]
        self.queue.put_back(missing)
        row.drafts = [one for one in row.drafts if one.draft in found]
        row.outcomes = [found[one.draft] for one in row.drafts]
        row.committed_at = now
        if not row.drafts:
            del self._outstanding[row.key]

    async def _must_take_over(self, head: Head, unchanged_seconds: float) -> bool:
        """Whether no leader is active, or it has left a row of this instance waiting."""
        timeout = (
            protocol.LEADER_TIMEOUT_SECONDS if head.leading else protocol.NO_LEADER_TIMEOUT_SECONDS
        )
        waiting = [row for row in self._outstanding.values() if not row.outcomes]
        now = self._runtime.clock()
        if any(now - row.inserted_at > protocol.ROW_TIMEOUT_SECONDS for row in waiting):
            return True
        if unchanged_seconds < timeout or not waiting:
            return False
        _, queue = await self._logs.read_queue(self._name)
        keys = [row.key for row in queue]
        rank = min((keys.index(row.key) for row in waiting if row.key in keys), default=0)
        return unchanged_seconds >= timeout + rank * protocol.RANK_DELAY_SECONDS


def _is_permanent(error: AzureError) -> bool:
    """Whether the same request would fail again: it is malformed or not allowed."""
    status = error.status_code if isinstance(error, HttpResponseError) else None
    return status is not None and 400 <= status < 500 and status not in {408, 409, 412, 429}


def _describe(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    return f"{type(error).__name__} {status or ''}".strip()
