"""What was said: each message kept once, in one order for everybody, before anybody hears it.

Keep, then publish, then acknowledge. While a commit is in flight, what arrives waits and goes
together in the next one: a hot room costs one transaction and one publish for many messages, an
idle one no delay. Whoever gets no acknowledgement sends again, and is recognised by the id.
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

from realtime import telemetry
from realtime.channels import group_of, people_of
from realtime.hub import Hub, hub
from realtime.logs import BATCH, Draft, Head, Known, Logs, Moved
from realtime.messages import DirectMessage, Entry, Message, Messages, Refused, timestamp
from realtime.tables import tables

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

BATCH_CHARACTERS = 100_000
"""The most text of one commit: fully escaped, its frame stays below the service's 1 MiB."""

LINE = 1_000
"""How many messages may wait for one log; further ones are refused as `busy`."""

PAGE = 200
"""The most messages of one answer."""

PATIENCE = 10.0
"""How many seconds a commit, and then its publishing, may take before the senders are told."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """A message in its place."""

    epoch: str
    entry: Entry


Fate = Kept | Exception
"""What becomes of a message: its place, or why it has none."""


@dataclass(frozen=True)
class Page:
    """Some messages of a log, oldest first; `more` tells of further ones in the direction asked."""

    head: Head
    entries: list[Entry]
    more: bool


@dataclass
class _Waiting:
    """A draft and those who wait for its fate."""

    draft: Draft
    fate: "asyncio.Future[Kept]"
    event: "SpanContext | None"  # the step of a trace that brought it


@dataclass
class _Line:
    """What waits for one log, and by (sender, id) all that has no fate yet."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    pending: dict[tuple[str, str], _Waiting] = field(default_factory=dict)
    writer: "asyncio.Task[None] | None" = None


class History:
    """All conversations, over the logs; what is kept is published, in the order of the log."""

    def __init__(
        self,
        logs: Logs,
        hub: Hub,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._logs = logs
        self._hub = hub
        self._now = now
        self._chance = chance
        self._lines: dict[str, _Line] = {}

    # --- writing ----------------------------------------------------------------------------

    async def keep(self, name: str, draft: Draft) -> Kept:
        """Keep a message and publish it; returns when both are done.

        The same draft again returns its first place, and is published again. Raises Refused:
        `busy` when too many wait, `id_conflict` when the id was used for another text,
        `unavailable` when the storage or the service is away: send it again.
        """
        line = self._lines.setdefault(name, _Line())
        waiting = line.pending.get((draft.sender, draft.id))
        if waiting is None:
            waiting = self._queue(line, draft)
        elif waiting.draft != draft:
            raise _conflict()
        if line.writer is None:
            line.writer = asyncio.create_task(self._write(name, line))
        return await asyncio.shield(waiting.fate)

    def _queue(self, line: _Line, draft: Draft) -> _Waiting:
        if len(line.waiting) >= LINE:
            raise Refused("busy", "Too many messages wait for this room.", retry_after_ms=500)
        waiting = _Waiting(draft, asyncio.get_running_loop().create_future(), telemetry.here())
        line.waiting.append(waiting)
        line.pending[draft.sender, draft.id] = waiting
        return waiting

    async def _write(self, name: str, line: _Line) -> None:
        """Commit what waits, batch after batch; one is published while the next is committed."""
        publishing = None
        while line.waiting:
            batch = _next_batch(line.waiting)
            fates = await self._fates(name, batch)
            if publishing:
                await publishing
            publishing = asyncio.create_task(self._publish(name, line, batch, fates))
            if not line.waiting:
                await publishing
        del self._lines[name]

    async def _fates(self, name: str, batch: Sequence[_Waiting]) -> list[Fate]:
        """What becomes of each message. Whatever goes wrong, nobody is left waiting."""
        events = [waiting.event for waiting in batch]
        try:
            async with asyncio.timeout(PATIENCE):
                with telemetry.time("townsquare.commit.time"), telemetry.span("commit", events):
                    return await self._commit(name, [waiting.draft for waiting in batch])
        except (AzureError, TimeoutError) as error:
            log.warning("a commit failed: %s", type(error).__name__)
            return [_unconfirmed()] * len(batch)
        except Exception as error:
            log.exception("a commit failed")
            return [error] * len(batch)

    async def _commit(self, name: str, drafts: list[Draft]) -> list[Fate]:
        """Try until each draft is kept; a lost race or answer costs another round."""
        fates: dict[Draft, Fate] = {}
        rounds = 0
        while fresh := [draft for draft in drafts if draft not in fates]:
            head = await self._logs.likely_head(name)
            try:
                epoch, entries = await self._logs.append(name, head, fresh, timestamp(self._now()))
            except Known:
                fates |= await self._known(name, fresh)
            except Moved:
                telemetry.count("townsquare.commit.conflicts")
                rounds += 1
                await asyncio.sleep(self._chance() * min(0.002 * 2**rounds, 0.2))
            except AzureError as error:
                rounds += 1
                log.warning("a commit is tried again: %s", type(error).__name__)
                await asyncio.sleep((0.5 + self._chance()) * min(0.1 * 2**rounds, 2.0))
            else:
                telemetry.count("townsquare.messages.kept", len(entries))
                telemetry.measure("townsquare.commit.size", len(entries))
                kept = (Kept(epoch, entry) for entry in entries)
                fates |= dict(zip(fresh, kept, strict=True))
        return [fates[draft] for draft in drafts]

    async def _known(self, name: str, drafts: Sequence[Draft]) -> dict[Draft, Fate]:
        """The fates of those drafts that were kept before, here or by another instance."""
        head = await self._logs.head(name)
        found = await asyncio.gather(*(self._logs.find(name, head.epoch, one) for one in drafts))
        telemetry.count("townsquare.messages.repeated", sum(map(bool, found)))
        return {
            draft: Kept(head.epoch, entry) if entry.content == draft.content else _conflict()
            for draft, entry in zip(drafts, found, strict=True)
            if entry
        }

    async def _publish(
        self, name: str, line: _Line, batch: Sequence[_Waiting], fates: Sequence[Fate]
    ) -> None:
        """Send what was kept; only then do its senders know."""
        kept = [fate for fate in fates if isinstance(fate, Kept)]
        sent = not kept or await self._sent(name, sorted(kept, key=lambda one: one.entry.seq))
        for waiting, fate in zip(batch, fates, strict=True):
            del line.pending[waiting.draft.sender, waiting.draft.id]
            if isinstance(fate, Exception) or not sent:
                waiting.fate.set_exception(fate if isinstance(fate, Exception) else _unconfirmed())
                waiting.fate.exception()  # Its sender may have gone: that is no error of ours.
            else:
                waiting.fate.set_result(fate)

    async def _sent(self, name: str, kept: Sequence[Kept]) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                with telemetry.time("townsquare.publish.time"), telemetry.span("publish"):
                    await self._send(name, kept)
        except Exception as error:  # noqa: BLE001 - the senders hear of it and send again
            log.warning("publishing failed: %s", type(error).__name__)
            return False
        return True

    async def _send(self, name: str, kept: Sequence[Kept]) -> None:
        people = people_of(name)
        if not people:
            return await self._hub.publish(group_of(name), _room_frame(name, kept))
        for one in kept:
            frame = _direct_frame(people, one)
            await asyncio.gather(*(self._hub.tell(person, frame) for person in people))
        return None

    # --- reading ----------------------------------------------------------------------------

    async def head(self, name: str) -> Head:
        """Where a log stands now."""
        return await self._logs.head(name)

    async def page(
        self, name: str, limit: int = 50, *, before: int | None = None, after: int | None = None
    ) -> Page:
        """The newest messages, or those before or after a seq.

        Raises Refused `invalid_cursor` for both at once or a seq that the log has not reached.
        """
        head = await self._logs.head(name)
        if before is not None and after is not None:
            raise Refused("invalid_cursor", "Ask for before or for after, not for both.")
        if (after or 0) > head.seq or (before or 0) > head.seq + 1:
            raise Refused("invalid_cursor", f"The history ends at {head.seq}.")
        if after is not None:
            low = max(after + 1, head.first)
            high = min(low + limit - 1, head.seq)
            return Page(head, await self._logs.read(name, head, low, high), high < head.seq)
        return await self._until(name, head, head.seq if before is None else before - 1, limit)

    async def since(
        self, name: str, after: int | None, epoch: str | None, limit: int = 50
    ) -> tuple[Page, bool]:
        """What a client that stands at `after` has missed, and whether that is all of it.

        Where it cannot be (no position, another epoch, too much, or removed by retention) the
        newest page comes instead, and False.
        """
        head = await self._logs.head(name)
        if after is not None and _continues(head, after, epoch):
            entries = await self._logs.read(name, head, after + 1, head.seq)
            return Page(head, entries, more=False), True
        return await self._until(name, head, head.seq, limit), False

    async def _until(self, name: str, head: Head, high: int, limit: int) -> Page:
        low = max(head.first, high - limit + 1)
        return Page(head, await self._logs.read(name, head, low, high), low > head.first)


def _next_batch(waiting: deque[_Waiting]) -> list[_Waiting]:
    batch = [waiting.popleft()]
    room = BATCH_CHARACTERS - len(batch[0].draft.content)
    while waiting and len(batch) < BATCH and len(waiting[0].draft.content) <= room:
        room -= len(waiting[0].draft.content)
        batch.append(waiting.popleft())
    return batch


def _continues(head: Head, after: int, epoch: str | None) -> bool:
    """Whether all that came behind `after` can be told. Who has heard nothing fits any epoch."""
    same_log = epoch == head.epoch or (after == 0 and not epoch)
    return same_log and head.first - 1 <= after <= head.seq <= after + PAGE


def _room_frame(room: str, kept: Sequence[Kept]) -> Message | Messages:
    first, *others = kept
    if others:
        return Messages(room, first.epoch, [one.entry for one in kept])
    one = first.entry
    return Message(room, first.epoch, one.seq, one.id, one.sender, one.content, one.timestamp)


def _direct_frame(people: tuple[str, str], kept: Kept) -> DirectMessage:
    one = kept.entry
    to = people[1] if one.sender == people[0] else people[0]
    return DirectMessage(to, kept.epoch, one.seq, one.id, one.sender, one.content, one.timestamp)


def _conflict() -> Refused:
    return Refused("id_conflict", "This id was used for another message.")


def _unconfirmed() -> Refused:
    return Refused(
        "unavailable", "The message is not confirmed; send it again.", retry_after_ms=1000
    )


@cache
def history() -> History:
    """This process's history."""
    return History(Logs(tables()), hub())
