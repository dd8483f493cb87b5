"""Commits and publishes drafts of one log: the steps that a lone writer and a leader share."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from msgspec import Struct, field

from realtime.azure import telemetry
from realtime.messages import Change, Entry
from realtime.rooms.contention import Contention
from realtime.rooms.draft_queue import DraftQueue, QueuedDraft
from realtime.rooms.history import read_entries
from realtime.rooms.log import Commit, LogStore
from realtime.rooms.log_rows import Head, QueueRow
from realtime.rooms.outcomes import Outcome
from realtime.rooms.publisher import LogPublisher

PUBLISH_TIMEOUT_SECONDS = 10.0

State = tuple[Head, list[QueueRow]]
"""The head and the queue rows, as they were read together."""


class Runtime(Struct):
    """What the writers of a process share, and what tests replace."""

    logs: LogStore
    publisher: LogPublisher
    now: Callable[[], datetime]
    chance: Callable[[], float]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class OutstandingRow(Struct):
    """A queue row of this instance. `outcomes` are known once a leader has committed it.

    `is_unmarked`: drafts of the row were stored by another commit than that of the row, so it is
    not known whether they were published.
    """

    key: str
    epoch: str
    drafts: list[QueuedDraft]
    inserted_at: float
    checked_at: float
    outcomes: list[Outcome] = field(default_factory=list)
    committed_at: float = 0.0
    is_unmarked: bool = False

    @property
    def last_seq(self) -> int:
        return max((one for one in self.outcomes if isinstance(one, int)), default=0)


class Committer:
    """The drafts of one log on this instance, and what is done with them.

    `outstanding` are the queue rows that this instance has inserted and that have no outcome yet,
    by key. `published` is the seq up to which this instance has published as the leader.
    """

    def __init__(self, name: str, runtime: Runtime, contention: Contention) -> None:
        self.name = name
        self.runtime = runtime
        self.logs = runtime.logs
        self.contention = contention
        self.queue = DraftQueue()
        self.outstanding: dict[str, OutstandingRow] = {}
        self.published = 0
        self.clock = runtime.clock
        self.sleep = runtime.sleep
        self.chance = runtime.chance

    async def read_queue(self) -> tuple[Head, list[QueueRow]]:
        return await self.logs.read_queue(self.name)

    # --- contention -------------------------------------------------------------------------

    @property
    def is_shared(self) -> bool:
        """Whether other instances write this log too."""
        return self.contention.is_shared(self.clock())

    @property
    def is_careful(self) -> bool:
        return self.contention.is_careful(self.clock())

    def note_shared(self) -> None:
        self.contention.note_shared(self.clock())

    @property
    def may_take_turns(self) -> bool:
        return self.contention.may_take_turns(self.clock())

    def note_missed_turn(self) -> None:
        self.contention.note_missed_turn(self.clock())

    def fail_all(self, problem: str) -> None:
        self.queue.waiting.clear()
        self.outstanding.clear()
        self.queue.fail(list(self.queue.pending.values()), problem)

    def note_conflict(self) -> None:
        telemetry.increment("townsquare.commit.conflicts")
        self.contention.note_conflict(self.runtime.clock())

    async def commit(
        self,
        head: Head,
        batch: Sequence[QueuedDraft],
        queue: Sequence[QueueRow] = (),
        *,
        published: int | None = None,
        turns: tuple[str, ...] = (),
    ) -> Commit:
        """A leader gives the seq up to which it has published, `turns` who commits next."""
        with (
            telemetry.measure_duration("townsquare.commit.duration"),
            telemetry.span("commit", [one.span for one in batch]),
        ):
            commit = await self.logs.commit(
                self.name,
                head,
                [one.draft for one in batch],
                self.runtime.now(),
                queue=queue,
                leading=published is not None or bool(turns),
                published=published,
                turns=turns,
            )
        telemetry.increment("townsquare.messages.stored", len(commit.entries))
        telemetry.increment(
            "townsquare.messages.duplicates", len(commit.outcomes) - len(commit.entries)
        )
        if commit.entries:
            telemetry.record("townsquare.commit.size", len(commit.entries))
        return commit

    # --- publishing -------------------------------------------------------------------------

    async def publish(
        self, commit: Commit, batch: Sequence[QueuedDraft], rows: Sequence[QueueRow]
    ) -> bool:
        """Publish the entries of a commit, then give the drafts of this instance their outcome."""
        own = [*batch, *self.own_drafts(rows)]
        entries = [*commit.entries, *await self._read_repeated(commit)]
        published = await self.try_publish(commit.head.epoch, entries)
        self.remove_rows(rows)
        if not published:
            self.queue.fail(own, "a publish failed")
            return False
        self.published = max(self.published, commit.head.seq)
        for queued in own:
            self.queue.resolve(queued, commit.head.epoch, commit.outcomes[queued.draft])
        return True

    def remove_rows(self, rows: Sequence[QueueRow]) -> None:
        """The rows are deleted. The drafts of one that was not usable wait again."""
        for row in rows:
            own = self.outstanding.pop(row.key, None)
            if own and not row.drafts:
                self.queue.put_back(own.drafts)

    def own_drafts(self, rows: Sequence[QueueRow]) -> list[QueuedDraft]:
        """The drafts in queue rows that this instance has inserted."""
        return [
            queued
            for row in rows
            if row.drafts and row.key in self.outstanding
            for queued in self.outstanding[row.key].drafts
        ]

    async def _read_repeated(self, commit: Commit) -> list[Entry | Change]:
        """The entries of repeated drafts, of any instance: the publish after their first commit may
        have failed."""
        stored = {entry.seq for entry in commit.entries}
        outcomes = {one for one in commit.outcomes.values() if isinstance(one, int) and one}
        return await self.read_entries(commit.head, outcomes - stored)

    async def read_entries(self, head: Head, seqs: set[int]) -> list[Entry | Change]:
        if not seqs:
            return []
        found = await read_entries(self.logs, self.name, head, min(seqs), max(seqs))
        return [entry for entry in found if entry.seq in seqs]

    async def try_publish(self, epoch: str, entries: Sequence[Entry | Change]) -> bool:
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
                with (
                    telemetry.measure_duration("townsquare.publish.duration"),
                    telemetry.span("publish"),
                ):
                    await self.runtime.publisher.publish(self.name, epoch, entries)
        except Exception:  # noqa: BLE001 - the senders get an error and send again
            return False
        return True
