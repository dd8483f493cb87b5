"""Instances that are busy with one log commit in turn, each its own drafts.

A follower's draft is stored by another instance, which must read it and mark it as published. In
turn, each instance stores, publishes and confirms its own drafts. `turns` of the head has the
instances in the order in which they commit next. It is advice: If-Match decides, and a turn that
is not taken expires.
"""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from realtime.rooms import contention as protocol
from realtime.rooms.committer import Committer, State
from realtime.rooms.draft_queue import Budget, QueuedDraft
from realtime.rooms.log import ConflictError
from realtime.rooms.log_rows import Head, QueueRow, instance_of_row
from realtime.rooms.outstanding_rows import OutstandingRows


class Turns:
    """The turns of this instance in one log."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._rows = OutstandingRows(committer)
        self._instance = committer.logs.instance
        self._publishing: asyncio.Task[bool] | None = None
        self._empty_turns = 0

    async def take(self, head: Head, queue: list[QueueRow]) -> State | None:
        """Commit whenever it is this instance's turn, for as long as it has drafts.

        Returns the head and the queue rows if this instance has to lead, else None.
        """
        self._publishing, self._empty_turns = None, 0
        # What this instance has committed for the others, as the leader, is not marked yet.
        unmarked_seq = head.seq if head.writer == self._instance else None
        state: State | None = (head, queue)
        try:
            while state is not None:
                if not self._is_next(state[0]):
                    state = await self._wait_for_turn(state[0])
                if state is None:
                    return None
                head, queue = state
                if not self._is_next(head) or not self._can_commit(head, queue):
                    return replace(head, turns=()), queue
                if unmarked_seq is not None and self._committer.published >= unmarked_seq:
                    head = replace(head, published=head.seq)
                state = await self._commit(head, queue)
            return None
        finally:
            await self._wait_until_published()

    def _is_next(self, head: Head) -> bool:
        return head.turns[:1] == (self._instance,)

    async def _wait_for_turn(self, head: Head) -> State | None:
        """Read the head until it is this instance's turn.

        It is not if another instance has not committed in time, or has ended the turns: then this
        instance has to lead. None if another one leads.
        """
        changed_at = self._committer.clock()
        distance = head.turns.index(self._instance)
        await self._committer.sleep(distance * protocol.MIN_TURN_SECONDS)
        while True:
            found, queue = await self._committer.read_queue()
            await self._rows.resolve(found)
            if found.etag != head.etag:
                if self._instance not in found.turns:
                    return None if found.leading else (found, queue)
                if self._is_next(found):
                    return found, queue
                head, changed_at = found, self._committer.clock()
                distance = head.turns.index(self._instance)
            elif self._committer.clock() - changed_at >= protocol.turn_timeout_seconds(distance):
                self._committer.note_missed_turn()
                return found, queue
            if distance > 1:
                await self._committer.sleep((distance - 1) * protocol.MIN_TURN_SECONDS)

    def _can_commit(self, head: Head, queue: Sequence[QueueRow]) -> bool:
        """Whether all queue rows are of instances that have turns, and those of this one usable."""
        return all(
            row.key in self._committer.outstanding and row.drafts and row.epoch == head.epoch
            if instance_of_row(row.key) == self._instance
            else instance_of_row(row.key) in head.turns
            for row in queue
        )

    async def _commit(self, head: Head, queue: Sequence[QueueRow]) -> State | None:
        """Commit own drafts, and publish them while the next instance commits.

        Returns the new state, None if this instance has no turns any more.
        """
        rows, batch = await self._choose(queue)
        if not rows and not batch:
            return await self._commit_nothing(head)
        self._empty_turns = 0
        turns = (*head.turns[1:], self._instance)
        try:
            commit = await self._committer.commit(head, batch, rows, turns=turns)
        except ConflictError:
            self._committer.note_conflict()
            self._committer.queue.put_back(batch)
            return None
        except BaseException:
            self._committer.queue.put_back(batch)
            raise
        self._committer.note_shared()
        await self._wait_until_published()
        self._publishing = asyncio.create_task(self._committer.publish(commit, batch, rows))
        return commit.head, []

    async def _choose(self, queue: Sequence[QueueRow]) -> tuple[list[QueueRow], list[QueuedDraft]]:
        """What the next commit stores: rows that this instance inserted as a follower, else drafts.

        Never both, since the drafts of one sender are stored in their order.
        """
        budget = Budget()
        own = [row for row in queue if row.key in self._committer.outstanding]
        rows = [row for row in own if budget.accept_row(row.drafts)]
        if rows:
            return rows, []
        drafts = self._committer.queue
        await drafts.wait_for_drafts(1, protocol.TURN_WINDOW_SECONDS)
        return [], drafts.take(budget)

    async def _commit_nothing(self, head: Head) -> State | None:
        """Let the next instance commit, since this one has nothing to commit.

        It keeps its turns if its senders wait for the leader before, which marks what it has
        published, and for a few turns otherwise.
        """
        self._empty_turns += 1
        others = head.turns[1:]
        stays = self._committer.outstanding or self._empty_turns <= protocol.MAX_EMPTY_TURNS
        turns = (*others, self._instance) if stays else others
        turns = turns if len(turns) > 1 else ()
        head = replace(head, writer=self._instance, leading=bool(turns), turns=turns)
        try:
            head = await self._committer.logs.update_head(self._committer.name, head)
        except ConflictError:
            self._committer.note_conflict()
            return None
        return (head, []) if stays else None

    async def _wait_until_published(self) -> None:
        """Frames of this instance are in the order of the log."""
        if self._publishing:
            await self._publishing
