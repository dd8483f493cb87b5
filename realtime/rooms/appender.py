"""Appends messages to logs: each stored once, in one order, before it is published.

Stores a message, then publishes it, then acknowledges it. While a commit is in flight, further
messages wait in the log's queue and are stored together by the next commit: a busy room needs one
transaction and one publish for many messages, an idle one has no delay. A sender without an
acknowledgement sends again; the message's id identifies the repetition.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from azure.core.exceptions import AzureError

from realtime.azure import telemetry
from realtime.azure.web_pubsub import Hub, hub
from realtime.errors import ApiError
from realtime.messages import (
    DirectMessageEvent,
    Entry,
    MessageEvent,
    MessagesEvent,
    format_timestamp,
)
from realtime.names import room_group, users_of_direct_log
from realtime.rooms.log import (
    MAX_COMMIT_ENTRIES,
    AlreadyStoredError,
    ConflictError,
    Draft,
    LogStore,
    logs,
)

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

MAX_COMMIT_CHARACTERS = 100_000
"""The most text of one commit: escaped, its frame is below the service's limit of 1 MiB."""

MAX_QUEUE_MESSAGES = 1_000
"""Messages that may wait for one log; further ones are rejected as `busy`."""

COMMIT_TIMEOUT_SECONDS = 10.0
"""The time limit of a commit, and then of its publish."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stored:
    """A stored message: its entry and the epoch of its log."""

    epoch: str
    entry: Entry


Outcome = Stored | Exception
"""What an append came to."""


@dataclass
class _QueuedMessage:
    """A draft and the future on which its senders wait."""

    draft: Draft
    outcome: "asyncio.Future[Stored]"
    span: "SpanContext | None"  # of the event that brought it


@dataclass
class _Queue:
    """The messages that wait for one log; `pending` has all without an outcome, by (sender, id)."""

    waiting: deque[_QueuedMessage] = field(default_factory=deque)
    pending: dict[tuple[str, str], _QueuedMessage] = field(default_factory=dict)
    writer: "asyncio.Task[None] | None" = None


class Appender:
    """The queues of all logs; publishes what it has stored in the order of the log."""

    def __init__(
        self,
        logs: LogStore,
        hub: Hub,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._logs = logs
        self._hub = hub
        self._now = now
        self._chance = chance
        self._queues: dict[str, _Queue] = {}

    async def append(self, name: str, draft: Draft) -> Stored:
        """Store a message and publish it; returns when both are done.

        A draft that is stored already returns its first entry and is published again. Raises
        ApiError: `busy` if too many messages wait, `id_conflict` if the id was used for another
        text, `unavailable` if the storage or the service failed: then send it again.
        """
        queue = self._queues.setdefault(name, _Queue())
        message = queue.pending.get((draft.sender, draft.id))
        if message is None:
            message = self._enqueue(queue, draft)
        elif message.draft != draft:
            raise _id_conflict()
        if queue.writer is None:
            queue.writer = asyncio.create_task(self._write(name, queue))
        return await asyncio.shield(message.outcome)

    def _enqueue(self, queue: _Queue, draft: Draft) -> _QueuedMessage:
        if len(queue.waiting) >= MAX_QUEUE_MESSAGES:
            raise ApiError("busy", "Too many messages wait for this room.", retry_after_ms=500)
        outcome = asyncio.get_running_loop().create_future()
        message = _QueuedMessage(draft, outcome, telemetry.current_span())
        queue.waiting.append(message)
        queue.pending[draft.sender, draft.id] = message
        return message

    async def _write(self, name: str, queue: _Queue) -> None:
        """Commit batch after batch; one is published while the next is committed."""
        publishing = None
        while queue.waiting:
            batch = _take_batch(queue.waiting)
            outcomes = await self._store(name, batch)
            if publishing:
                await publishing
            publishing = asyncio.create_task(self._publish(name, queue, batch, outcomes))
            if not queue.waiting:
                await publishing
        del self._queues[name]

    async def _store(self, name: str, batch: Sequence[_QueuedMessage]) -> list[Outcome]:
        """The outcome of each message. An error is an outcome too, so that nobody waits forever."""
        spans = [message.span for message in batch]
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS):
                with (
                    telemetry.measure_duration("townsquare.commit.duration"),
                    telemetry.span("commit", spans),
                ):
                    return await self._commit(name, [message.draft for message in batch])
        except (AzureError, TimeoutError) as error:
            log.warning("a commit failed: %s", type(error).__name__)
            return [_unconfirmed()] * len(batch)
        except Exception as error:
            log.exception("a commit failed")
            return [error] * len(batch)

    async def _commit(self, name: str, drafts: list[Draft]) -> list[Outcome]:
        """Retry until each draft has an outcome."""
        outcomes: dict[Draft, Outcome] = {}
        attempts = 0
        while remaining := [draft for draft in drafts if draft not in outcomes]:
            head = await self._logs.cached_head(name)
            try:
                epoch, entries = await self._logs.append(
                    name, head, remaining, format_timestamp(self._now())
                )
            except AlreadyStoredError:
                outcomes |= await self._find_stored(name, remaining)
            except ConflictError:
                telemetry.increment("townsquare.commit.conflicts")
                attempts += 1
                await asyncio.sleep(self._chance() * min(0.002 * 2**attempts, 0.2))
            except AzureError as error:
                attempts += 1
                log.warning("a commit is retried: %s", type(error).__name__)
                await asyncio.sleep((0.5 + self._chance()) * min(0.1 * 2**attempts, 2.0))
            else:
                telemetry.increment("townsquare.messages.stored", len(entries))
                telemetry.record("townsquare.commit.size", len(entries))
                stored = (Stored(epoch, entry) for entry in entries)
                outcomes |= dict(zip(remaining, stored, strict=True))
        return [outcomes[draft] for draft in drafts]

    async def _find_stored(self, name: str, drafts: Sequence[Draft]) -> dict[Draft, Outcome]:
        """The outcomes of those drafts that are stored already, by any instance."""
        head = await self._logs.read_head(name)
        found = await asyncio.gather(*(self._logs.find(name, head.epoch, one) for one in drafts))
        telemetry.increment("townsquare.messages.duplicates", sum(map(bool, found)))
        return {
            draft: Stored(head.epoch, entry) if entry.content == draft.content else _id_conflict()
            for draft, entry in zip(drafts, found, strict=True)
            if entry
        }

    async def _publish(
        self,
        name: str,
        queue: _Queue,
        batch: Sequence[_QueuedMessage],
        outcomes: Sequence[Outcome],
    ) -> None:
        """Publish what was stored, then give all senders their outcome."""
        stored = [outcome for outcome in outcomes if isinstance(outcome, Stored)]
        in_order = sorted(stored, key=lambda one: one.entry.seq)
        published = not stored or await self._try_send(name, in_order)
        for message, outcome in zip(batch, outcomes, strict=True):
            del queue.pending[message.draft.sender, message.draft.id]
            if isinstance(outcome, Exception) or not published:
                error = outcome if isinstance(outcome, Exception) else _unconfirmed()
                message.outcome.set_exception(error)
                message.outcome.exception()  # The sender may be gone; then nobody reads it.
            else:
                message.outcome.set_result(outcome)

    async def _try_send(self, name: str, stored: Sequence[Stored]) -> bool:
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS):
                with (
                    telemetry.measure_duration("townsquare.publish.duration"),
                    telemetry.span("publish"),
                ):
                    await self._send(name, stored)
        except Exception as error:  # noqa: BLE001 - the senders get an error and send again
            log.warning("a publish failed: %s", type(error).__name__)
            return False
        return True

    async def _send(self, name: str, stored: Sequence[Stored]) -> None:
        users = users_of_direct_log(name)
        if not users:
            return await self._hub.send_to_group(room_group(name), _room_event(name, stored))
        for one in stored:
            event = _direct_event(users, one)
            await asyncio.gather(*(self._hub.send_to_user(user, event) for user in users))
        return None


def _take_batch(waiting: deque[_QueuedMessage]) -> list[_QueuedMessage]:
    batch = [waiting.popleft()]
    free = MAX_COMMIT_CHARACTERS - len(batch[0].draft.content)
    while waiting and len(batch) < MAX_COMMIT_ENTRIES and len(waiting[0].draft.content) <= free:
        free -= len(waiting[0].draft.content)
        batch.append(waiting.popleft())
    return batch


def _room_event(room: str, stored: Sequence[Stored]) -> MessageEvent | MessagesEvent:
    first, *others = stored
    if others:
        return MessagesEvent(room, first.epoch, [one.entry for one in stored])
    one = first.entry
    return MessageEvent(room, first.epoch, one.seq, one.id, one.sender, one.content, one.timestamp)


def _direct_event(users: tuple[str, str], stored: Stored) -> DirectMessageEvent:
    one = stored.entry
    to = users[1] if one.sender == users[0] else users[0]
    return DirectMessageEvent(
        to, stored.epoch, one.seq, one.id, one.sender, one.content, one.timestamp
    )


def _id_conflict() -> ApiError:
    return ApiError("id_conflict", "This id was used for another message.")


def _unconfirmed() -> ApiError:
    return ApiError(
        "unavailable", "The message is not confirmed; send it again.", retry_after_ms=1000
    )


@cache
def appender() -> Appender:
    """The appender of this process."""
    return Appender(logs(), hub())
