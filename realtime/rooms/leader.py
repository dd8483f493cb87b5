"""The leader of a log that several instances write.

It commits its own drafts and the queue rows of the others, and publishes all of them in order.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence

from azure.core.exceptions import AzureError
from msgspec.structs import replace

from realtime.concurrency import has_failed
from realtime.rooms import contention as protocol
from realtime.rooms.committer import Committer, State
from realtime.rooms.draft_queue import Budget, QueuedDraft
from realtime.rooms.history import MAX_PAGE_ENTRIES
from realtime.rooms.log import Commit, ConflictError
from realtime.rooms.log_rows import Head, QueueRow, instance_of_row
from realtime.rooms.outstanding_rows import OutstandingRows


class Leader:
    """Leads one log while there is something to commit."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._rows = OutstandingRows(committer)
        self._head = Head()
        self._publishing: asyncio.Task[bool] | None = None
        self._is_lost = False
        self._recent_counts: deque[Counter[str]] = deque(maxlen=protocol.BUSY_COMMITS)

    async def lead(self, head: Head, queue: list[QueueRow]) -> State | None:
        """Commit own drafts and queue rows until there is nothing to commit or a race is lost.

        Returns the head if it and the followers commit in turn from now on, else None.
        """
        self._head, self._is_lost = replace(head, turns=()), False
        self._recent_counts.clear()
        self._committer.published = head.published
        if head.published < head.seq:
            self._publishing = asyncio.create_task(self._publish_unmarked(head))
        found: list[QueueRow] | None = queue
        empty_reads = 0
        try:
            while found is not None and empty_reads <= protocol.MAX_EMPTY_READS:
                # Rows of this instance that a leader before has committed are not in the queue.
                await self._rows.resolve(self._head)
                rows, batch = self._choose(head := self._head, found)
                if rows or batch:
                    empty_reads = 0
                    found = await self._commit_and_publish(head, batch, rows)
                else:
                    empty_reads += 1
                    found = await self._wait_for_rows()
        finally:
            await self._stop_leading()
        return (self._head, []) if self._head.turns and not self._is_lost else None

    async def _commit_and_publish(
        self, head: Head, batch: list[QueuedDraft], rows: list[QueueRow]
    ) -> list[QueueRow] | None:
        """Commit, and begin to publish after the commit before is published.

        The queue rows that were found meanwhile, or None if this instance leads no more.
        """
        turns = self._offer_turns(head, batch, rows)
        commit, queue = await self._commit_and_read(head, batch, rows, turns)
        if commit is None:
            return None
        self._head = commit.head
        if not await self._is_published():
            self._abandon(batch, rows)
            return None
        self._publishing = asyncio.create_task(self._committer.publish(commit, batch, rows))
        if rows:
            self._committer.note_shared()
            await asyncio.wait([self._publishing], timeout=protocol.MARK_WAIT_SECONDS)
        if turns or (self._publishing.done() and not self._publishing.result()):
            return None
        return queue

    def _offer_turns(
        self, head: Head, batch: Sequence[QueuedDraft], rows: Sequence[QueueRow]
    ) -> tuple[str, ...]:
        """The instances that commit in turn from now on: all that write the log, if all are busy.

        This one is the first, since its next commit marks what it has published for the others.
        """
        own = self._committer.logs.instance
        counts = Counter({own: len(batch)})
        for row in rows:
            counts[instance_of_row(row.key)] += len(row.drafts)
        self._recent_counts.append(counts)
        recent = sum(self._recent_counts, Counter())
        writers = {own, *counts, *map(instance_of_row, head.taken)}
        is_busy = all(recent[one] >= protocol.MIN_TURN_ENTRIES for one in writers)
        if not is_busy or not self._committer.may_take_turns:
            return ()
        if not 1 < len(writers) <= protocol.MAX_TURN_INSTANCES:
            return ()
        return own, *sorted(writers - {own})

    async def _wait_for_rows(self) -> list[QueueRow] | None:
        """Mark what is published, since no commit does it; else pause until a draft comes.

        The queue rows, or None if this instance leads no more.
        """
        if self._publishing and self._publishing.done():
            if not await self._is_published() or not await self._mark_published(leading=True):
                return None
        else:
            await self._committer.queue.wait_for_change(protocol.EMPTY_READ_PAUSE_SECONDS)
            if self._committer.queue.waiting:
                return []
        head, queue = await self._committer.read_queue()
        return queue if head.etag == self._head.etag else None

    async def _is_published(self) -> bool:
        """Whether the publish before, if there is one, has succeeded."""
        publishing, self._publishing = self._publishing, None
        return publishing is None or await publishing

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
        return rows, self._committer.queue.take(budget)

    async def _commit_and_read(
        self, head: Head, batch: list[QueuedDraft], rows: list[QueueRow], turns: tuple[str, ...]
    ) -> tuple[Commit | None, list[QueueRow]]:
        """Commit, and read the queue rows meanwhile. No commit if another instance was faster."""
        reading = asyncio.create_task(self._committer.read_queue())
        try:
            commit = await self._committer.commit(
                head, batch, rows, published=self._committer.published, turns=turns
            )
        except ConflictError:
            self._is_lost = True
            self._committer.note_conflict()
            self._committer.queue.put_back(batch)
            commit = None
        except BaseException:
            self._committer.queue.put_back(batch)
            raise
        finally:
            await asyncio.wait([reading])
            failed = has_failed(reading)  # asked in any case: asyncio reports errors nobody reads
        if commit is None or failed:
            return commit, []
        taken = {row.key for row in rows}
        return commit, [row for row in reading.result()[1] if row.key not in taken]

    async def _publish_unmarked(self, head: Head) -> bool:
        """Publish what the leader before may have committed without publishing it."""
        first = max(head.published + 1, head.first, head.seq - MAX_PAGE_ENTRIES + 1)
        entries = await self._committer.read_entries(head, set(range(first, head.seq + 1)))
        if not await self._committer.try_publish(head.epoch, entries):
            return False
        self._committer.published = head.seq
        return True

    def _abandon(self, batch: Sequence[QueuedDraft], rows: Sequence[QueueRow]) -> None:
        """The commit before was not published, so this one must not be marked as published. Its
        senders repeat their drafts; the owners of its rows publish them themselves."""
        self._committer.queue.fail([*batch, *self._committer.own_drafts(rows)], "a publish failed")
        self._committer.remove_rows(rows)

    async def _stop_leading(self) -> None:
        if await self._is_published():
            await self._mark_published(leading=False)

    async def _mark_published(self, *, leading: bool) -> bool:
        """Write into the head how far this leader has published, and whether it goes on leading.

        False if that failed: then the owners of the rows publish them after a timeout.
        """
        head, published = self._head, self._committer.published
        if (
            head.turns
            or not head.taken
            or (head.published >= published and head.leading == leading)
        ):
            return True
        if self._is_lost:
            return False
        marked = replace(head, published=max(head.published, published), leading=leading)
        try:
            self._head = await self._committer.logs.update_head(self._committer.name, marked)
        except (ConflictError, AzureError):
            return False
        return True
