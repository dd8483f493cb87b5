"""Appends drafts to logs: each is stored once, in one order, and published before it is
acknowledged.

While a commit is in flight, further drafts wait and are stored together by the next commit: a busy
room needs one transaction and one publish for many messages, an idle one has no delay. A sender
without an acknowledgement sends again; the draft's id identifies the repetition.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

from cachetools import LRUCache

from realtime.rooms.committer import Committer, Runtime
from realtime.rooms.contention import Contention
from realtime.rooms.draft_queue import Problem, QueuedDraft, Stored, UnconfirmedError
from realtime.rooms.drafts import Draft, digest_of
from realtime.rooms.log import LogStore, logs
from realtime.rooms.outcomes import id_conflict
from realtime.rooms.publisher import LogPublisher, log_publisher
from realtime.rooms.writer import LogWriter

APPEND_TIMEOUT_SECONDS = 10.0
"""How long a sender waits. The draft goes on being stored, and a repetition finds it."""

MAX_CONTENTION_LOGS = 10_000


class Appender:
    """The writers of all logs on this instance."""

    def __init__(
        self,
        logs: LogStore,
        publisher: LogPublisher,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
        timeout_seconds: float = APPEND_TIMEOUT_SECONDS,
    ) -> None:
        self._runtime = Runtime(logs, publisher, now, chance)
        self._timeout_seconds = timeout_seconds
        self._contention: LRUCache[str, Contention] = LRUCache(MAX_CONTENTION_LOGS)
        self._writers: dict[str, LogWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def append(self, name: str, draft: Draft) -> Stored:
        """Store a draft and publish it; returns when both are done.

        A draft that is stored already returns its first seq and is published again. Raises
        ApiError: `busy` if too many wait, `id_conflict` if the id was used for another draft, the
        errors of a change, and `unavailable` if storage or service failed: then send it again.
        """
        queued = self._enqueue(name, draft)
        done, _ = await asyncio.wait([queued.outcome], timeout=self._timeout_seconds)
        if not done:
            error = UnconfirmedError(Problem("a commit takes longer than its senders wait"))
            error.problem.log_once()
            raise error
        try:
            return queued.outcome.result()
        except UnconfirmedError as error:
            error.problem.log_once()
            raise

    def _enqueue(self, name: str, draft: Draft) -> QueuedDraft:
        writer = self._writers.get(name)
        if writer is None:
            contention = self._contention.setdefault(name, Contention())
            writer = self._writers[name] = LogWriter(Committer(name, self._runtime, contention))
            queued = writer.queue.add(draft)
            task = asyncio.create_task(self._run(name, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return queued
        known = writer.queue.pending.get((draft.sender, draft.id))
        if known is None:
            return writer.queue.add(draft)
        if digest_of(known.draft) != digest_of(draft):
            raise id_conflict()
        return known

    async def _run(self, name: str, writer: LogWriter) -> None:
        """Nothing waits between the writer's last look at its queue and its removal here."""
        try:
            await writer.run()
        finally:
            del self._writers[name]


@cache
def appender() -> Appender:
    """The appender of this process."""
    return Appender(logs(), log_publisher())
