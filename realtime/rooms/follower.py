"""A follower: leaves its drafts to the leader in queue rows, and waits for their outcomes."""

import asyncio
import secrets
import time

from realtime.rooms import contention as protocol
from realtime.rooms.committer import Committer, OutstandingRow, State
from realtime.rooms.draft_queue import Budget, QueuedDraft
from realtime.rooms.log_rows import QUEUE_PREFIX, Head, instance_of_row
from realtime.rooms.outstanding_rows import OutstandingRows


class Follower:
    """Follows the leader of one log."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._rows = OutstandingRows(committer)
        self._head = Head()
        self._is_stopping = False

    async def follow(self) -> State | None:
        """Insert own drafts as queue rows and wait for their outcomes.

        Returns the head and the queue rows if this instance has to lead, or commits in turn;
        else None.
        """
        self._head = await self._committer.logs.cached_head(self._committer.name)
        self._is_stopping = False
        inserting = asyncio.create_task(self._insert_rows())
        try:
            has_to_commit = await self._poll(inserting)
        finally:
            self._is_stopping = True
            self._committer.queue.changed.set()
            await inserting
        return await self._committer.read_queue() if has_to_commit else None

    async def _poll(self, inserting: asyncio.Task[None]) -> bool:
        """Read the head until all rows have their outcomes. Whether this instance has to commit."""
        etag, unchanged_since = self._head.etag, self._committer.clock()
        while self._committer.queue.waiting or self._committer.outstanding:
            await self._committer.sleep(protocol.poll_seconds(_count_followers(self._head)))
            if inserting.done():
                return False  # The insert has failed; its error is raised by the caller.
            head = self._head = await self._committer.logs.read_head(self._committer.name)
            await self._rows.resolve(head)
            if self._committer.logs.instance in head.turns:
                return True
            now = self._committer.clock()
            if head.etag != etag:
                etag, unchanged_since = head.etag, now
            if not head.etag or await self._must_take_over(head, now - unchanged_since):
                return True
        return False

    async def _insert_rows(self) -> None:
        """Insert what waits, row after row, until the follower stops: the drafts that come during
        an insert go together into the next row."""
        queue = self._committer.queue
        while not self._is_stopping:
            queue.changed.clear()
            has_room = len(self._committer.outstanding) < protocol.MAX_OUTSTANDING_ROWS
            drafts = self._take_for_row() if has_room else []
            if drafts:
                await self._insert_row(drafts)
            else:
                await queue.changed.wait()

    async def _insert_row(self, drafts: list[QueuedDraft]) -> None:
        key = _make_key(self._committer.logs.instance)
        now = self._committer.clock()
        row = OutstandingRow(key, self._head.epoch, drafts, inserted_at=now, checked_at=now)
        self._committer.outstanding[key] = row
        await self._committer.logs.insert_queue_row(
            self._committer.name, key, row.epoch, [one.draft for one in drafts]
        )

    def _take_for_row(self) -> list[QueuedDraft]:
        """Drafts for one row. A sender with a draft in another row waits: rows may be stored in
        another order than they were inserted."""
        busy = {
            one.draft.sender for row in self._committer.outstanding.values() for one in row.drafts
        }
        budget = Budget(entries=protocol.MAX_ROW_DRAFTS, size=protocol.MAX_ROW_CHARACTERS)
        drafts: list[QueuedDraft] = []
        waiting = self._committer.queue.waiting
        while waiting and waiting[0].draft.sender not in busy and budget.accept(waiting[0].draft):
            drafts.append(waiting.popleft())
        return drafts

    async def _must_take_over(self, head: Head, unchanged_seconds: float) -> bool:
        """Whether no leader is active, or it has left a row of this instance waiting."""
        timeout = (
            protocol.LEADER_TIMEOUT_SECONDS if head.leading else protocol.NO_LEADER_TIMEOUT_SECONDS
        )
        waiting = [row for row in self._committer.outstanding.values() if not row.outcomes]
        now = self._committer.clock()
        if any(now - row.inserted_at > protocol.ROW_TIMEOUT_SECONDS for row in waiting):
            return True
        if unchanged_seconds < timeout or not waiting:
            return False
        _, queue = await self._committer.read_queue()
        keys = [row.key for row in queue]
        rank = min((keys.index(row.key) for row in waiting if row.key in keys), default=0)
        return unchanged_seconds >= timeout + rank * protocol.RANK_DELAY_SECONDS


def _make_key(instance: str) -> str:
    """A new key of a queue row; the older row sorts first."""
    return f"{QUEUE_PREFIX}{time.time_ns() // 1_000_000:013}-{instance}-{secrets.token_hex(3)}"


def _count_followers(head: Head) -> int:
    """How many instances had queue rows in the last commits."""
    return len({instance_of_row(key) for key in head.taken})
