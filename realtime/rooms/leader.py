"""The leader of a log that several instances write.

It commits its own drafts and the queue rows of the others, and publishes all of them in order.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from azure.core.exceptions import AzureError

from realtime.concurrency import has_failed
from realtime.rooms import contention as protocol
from realtime.rooms.committer import Committer
from realtime.rooms.draft_queue import Budget, QueuedDraft
from realtime.rooms.history import MAX_PAGE_ENTRIES
from realtime.rooms.log import Commit, ConflictError
from realtime.rooms.log_rows import Head, QueueRow


class Leader:
    """Leads one log while there is something to commit."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    async def lead(self, head: Head, queue: list[QueueRow]) -> None:
        """Commit own drafts and queue rows until there is nothing to commit or a race is lost."""
        self._committer.published = head.published
        publishing: asyncio.Task[bool] | None = None
        if head.published < head.seq:
            publishing = asyncio.create_task(self._publish_unmarked(head))
        empty_reads = 0
        try:
            while empty_reads <= protocol.MAX_EMPTY_READS:
                rows, batch = self._choose(head, queue)
                if not rows and not batch:
                    empty_reads += 1
                    await self._committer.sleep(protocol.EMPTY_READ_PAUSE_SECONDS)
                    read, queue = await self._committer.read_queue()
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
                publishing = asyncio.create_task(self._committer.publish(commit, batch, rows))
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
        return rows, self._committer.queue.take(budget)

    async def _commit_and_read(
        self, head: Head, batch: list[QueuedDraft], rows: list[QueueRow]
    ) -> tuple[Commit | None, list[QueueRow]]:
        """Commit, and read the queue rows meanwhile. No commit if another instance was faster."""
        reading = asyncio.create_task(self._committer.read_queue())
        try:
            commit = await self._committer.commit(
                head, batch, rows, published=self._committer.published
            )
        except ConflictError:
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

    async def _mark_published(self, head: Head) -> None:
        """Write into the head how far this leader has published, and that it leads no more."""
        if not head.taken or head.published >= self._committer.published:
            return
        try:
            marked = replace(head, published=self._committer.published, leading=False)
            await self._committer.logs.update_head(self._committer.name, marked)
        except (ConflictError, AzureError):
            return  # The owners of the rows publish them after a timeout.
