"""Writes one log while drafts for it wait on this instance.

While this instance is alone it commits batch after batch. If other instances write the same log
it leads or follows: `leader`, `follower`. docs/history.md describes the protocol; no step needs an
instance that is idle.
"""

import asyncio
import logging
from collections.abc import Sequence

from azure.core.exceptions import AzureError, HttpResponseError

from realtime.rooms import contention as protocol
from realtime.rooms.committer import Committer, State
from realtime.rooms.draft_queue import MAX_COMMIT_ENTRIES, Budget, DraftQueue, QueuedDraft
from realtime.rooms.follower import Follower
from realtime.rooms.leader import Leader
from realtime.rooms.log import Commit, ConflictError
from realtime.rooms.log_rows import Head
from realtime.rooms.turns import Turns

RETRY_SECONDS = 30.0
"""How long a commit is retried. The senders get an error earlier; if they repeat the draft, it
finds the one that is still being stored."""

CONFLICT_PAUSE_SECONDS = 0.005

MAX_RETRY_PAUSE_SECONDS = 2.0

log = logging.getLogger(__name__)


class LogWriter:
    """Exists while drafts of its log wait on this instance."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._leader = Leader(committer)
        self._follower = Follower(committer)
        self._turns = Turns(committer)
        self._failures = 0
        self._failing_since: float | None = None

    @property
    def queue(self) -> DraftQueue:
        """The drafts that wait."""
        return self._committer.queue

    async def run(self) -> None:
        """Returns when each draft has an outcome. An error is an outcome too."""
        try:
            while self._committer.queue.waiting or self._committer.outstanding:
                if self._committer.is_shared or self._committer.outstanding:
                    await self._write_shared()
                else:
                    await self._write_alone()
        except (AzureError, TimeoutError) as error:
            self._committer.fail_all(f"a commit failed: {_describe(error)}")
        except Exception as error:
            if self.queue.pending:
                log.exception("a commit failed")
            self._committer.fail_all(f"a commit failed: {type(error).__name__}")
        except BaseException:
            self._committer.fail_all("a commit was cancelled")
            raise

    # --- alone ------------------------------------------------------------------------------

    async def _write_alone(self) -> None:
        """Commit batch after batch; one is published while the next is committed."""
        publishing: asyncio.Task[bool] | None = None
        expected = 0
        try:
            while not self._committer.is_shared:
                await self._wait_for_senders(expected, publishing)
                if not self.queue.waiting:
                    return
                batch = self._committer.queue.take(Budget())
                commit = await self._try_commit(batch)
                if commit is None:
                    return
                if publishing:
                    await publishing
                expected = self._count_expected(batch)
                publishing = asyncio.create_task(self._committer.publish(commit, batch, []))
                if not self.queue.waiting:
                    await publishing
        finally:
            if publishing:
                await publishing

    async def _wait_for_senders(self, expected: int, publishing: asyncio.Task[bool] | None) -> None:
        """Returns when this many drafts wait, or when no more are to be expected."""
        drafts, clock = self.queue, self._committer.clock
        end = clock() + protocol.MAX_BATCH_WAIT_SECONDS
        if publishing and len(drafts.waiting) < expected:
            await asyncio.wait([publishing], timeout=protocol.MAX_BATCH_WAIT_SECONDS)
        before = -1
        while before < len(drafts.waiting) < expected and clock() < end:
            before = len(drafts.waiting)
            await drafts.wait_for_drafts(expected, protocol.BATCH_WINDOW_SECONDS)

    def _count_expected(self, batch: Sequence[QueuedDraft]) -> int:
        """How many drafts the next commit waits for: all that are in flight, if the log is busy."""
        is_busy = len(batch) >= protocol.MIN_BUSY_ENTRIES
        return min(len(self.queue.pending), MAX_COMMIT_ENTRIES) if is_busy else 0

    async def _try_commit(self, batch: list[QueuedDraft]) -> Commit | None:
        """None if the log is shared with other writers; then the batch is in the queue again."""
        started, attempts = self._committer.clock(), 0
        while True:
            try:
                head = await self._read_head()
                if head is not None:
                    return await self._committer.commit(head, batch)
            except ConflictError:
                self._committer.note_conflict()
                await self._committer.sleep(self._committer.chance() * CONFLICT_PAUSE_SECONDS)
            except AzureError as error:
                if _is_permanent(error) or self._committer.clock() - started > RETRY_SECONDS:
                    raise
                attempts += 1
                pause = min(0.1 * 2**attempts, MAX_RETRY_PAUSE_SECONDS)
                await self._committer.sleep((0.5 + self._committer.chance()) * pause)
            if self._committer.is_shared:
                self._committer.queue.put_back(batch)
                return None

    async def _read_head(self) -> Head | None:
        """The head for a commit, or None if the log is shared with other writers."""
        if not self._committer.is_careful:
            return await self._committer.logs.cached_head(self._committer.name)
        head, queue = await self._committer.read_queue()
        if queue or self._is_led_by_another(head):
            self._committer.note_shared()
            return None
        return head

    # --- shared -----------------------------------------------------------------------------

    async def _write_shared(self) -> None:
        """Lead if nobody else does, else follow."""
        try:
            if not await self._follows_another():
                head, queue = await self._committer.read_queue()
                if not self._is_led_by_another(head):
                    await self._lead((head, queue))
            if self._committer.queue.waiting or self._committer.outstanding:
                self._committer.note_shared()
                await self._lead(await self._follower.follow())
        except AzureError as error:
            await self._pause_after_failure(error)
        else:
            self._failures, self._failing_since = 0, None

    async def _lead(self, state: State | None) -> None:
        """Lead, or commit in turn with others, for as long as there is a reason."""
        while state is not None:
            if self._committer.logs.instance in state[0].turns:
                state = await self._turns.take(*state)
            else:
                state = await self._leader.lead(*state)

    async def _follows_another(self) -> bool:
        """Whether another instance led when this one last saw the head, so that no query is needed
        before the first row. If it has stopped since, the follower finds out and takes over."""
        head = await self._committer.logs.cached_head(self._committer.name)
        return self._is_led_by_another(head)

    def _is_led_by_another(self, head: Head) -> bool:
        return head.leading and head.writer != self._committer.logs.instance

    async def _pause_after_failure(self, error: AzureError) -> None:
        """Raises the error if it is permanent, or if the storage has failed for too long."""
        now = self._committer.clock()
        self._failing_since = now if self._failing_since is None else self._failing_since
        if _is_permanent(error) or now - self._failing_since > RETRY_SECONDS:
            raise error
        self._failures += 1
        pause = min(0.02 * 2**self._failures, MAX_RETRY_PAUSE_SECONDS)
        await self._committer.sleep((0.5 + self._committer.chance()) * pause)


def _is_permanent(error: AzureError) -> bool:
    """Whether the same request would fail again: it is malformed or not allowed."""
    status = error.status_code if isinstance(error, HttpResponseError) else None
    return status is not None and 400 <= status < 500 and status not in {408, 409, 412, 429}


def _describe(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    return f"{type(error).__name__} {status or ''}".strip()
