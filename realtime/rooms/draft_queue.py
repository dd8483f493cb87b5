"""The drafts of one log that wait on this instance, and how batches are taken from them."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field

from realtime.azure import telemetry
from realtime.errors import ApiError
from realtime.rooms.drafts import (
    AccessDraft,
    DeleteDraft,
    Draft,
    EditDraft,
    ReactionDraft,
    size_of,
)
from realtime.rooms.outcomes import Outcome

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

MAX_QUEUE_DRAFTS = 1_000
"""Drafts that may wait for one log; further ones are rejected as `busy`."""

MAX_COMMIT_ENTRIES = 49
"""The most entries of one commit: two rows each and the head are below the 100 operations of a
transaction (learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions)."""

MAX_COMMIT_OPERATIONS = 100

MAX_COMMIT_BYTES = 800_000
"""The most text of one commit as UTF-8: its frame is below the service's limit of 1 MiB."""

log = logging.getLogger(__name__)


class Problem:
    """Why drafts are not confirmed. Logged by the first invocation that waits for one of them:
    the host drops the log lines of tasks whose invocation is over."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._logged = False

    def log_once(self) -> None:
        if not self._logged:
            self._logged = True
            log.warning("%s", self._text)


class UnconfirmedError(ApiError):
    """It is not known whether a draft is stored and published; its sender sends it again."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(
            "unavailable", "The message is not confirmed; send it again.", retry_after_ms=1000
        )
        self.problem = problem


class Stored(Struct, frozen=True):
    """A stored draft: its seq (0 for a change without effect) and the epoch of its log."""

    epoch: str
    seq: int


class QueuedDraft(Struct):
    """A draft and the future on which its senders wait."""

    draft: Draft
    outcome: "asyncio.Future[Stored]"
    span: "SpanContext | None"  # of the event that brought it

    @property
    def id(self) -> tuple[str, str]:
        return self.draft.sender, self.draft.id


class DraftQueue(Struct):
    """`waiting` are the drafts to be committed, `pending` all without an outcome. `changed` is set
    when at least `wanted` drafts wait, and when a draft gets its outcome."""

    waiting: deque[QueuedDraft] = field(default_factory=deque)
    pending: dict[tuple[str, str], QueuedDraft] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: int = 1

    def add(self, draft: Draft) -> QueuedDraft:
        """Raises ApiError `busy` if too many drafts wait."""
        if len(self.waiting) >= MAX_QUEUE_DRAFTS:
            raise ApiError("busy", "Too many messages wait for this room.", retry_after_ms=500)
        future: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
        queued = QueuedDraft(draft, future, telemetry.current_span())
        self.waiting.append(queued)
        self.pending[queued.id] = queued
        if len(self.waiting) >= self.wanted:
            self.changed.set()
        return queued

    async def wait_for_change(self, seconds: float) -> None:
        """Returns when `changed` is set again, or after the time."""
        self.changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.changed.wait()

    async def wait_for_drafts(self, count: int, seconds: float) -> None:
        """Returns when this many drafts wait, or after the time."""
        if len(self.waiting) >= count:
            return
        self.wanted = count  # else each draft would wake this up
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while len(self.waiting) < count:
                        self.changed.clear()
                        await self.changed.wait()
        finally:
            self.wanted = 1

    def take(self, budget: "Budget") -> list[QueuedDraft]:
        """The next drafts that fit into a commit, in order."""
        batch: list[QueuedDraft] = []
        while self.waiting and budget.accept(self.waiting[0].draft):
            batch.append(self.waiting.popleft())
        return batch

    def put_back(self, batch: Sequence[QueuedDraft]) -> None:
        """Return drafts to the front, because they were not committed."""
        self.waiting.extendleft(reversed([one for one in batch if not one.outcome.done()]))
        self.changed.set()

    def resolve(self, queued: QueuedDraft, epoch: str, outcome: Outcome) -> None:
        """Give a draft its outcome."""
        self.pending.pop(queued.id, None)
        self.changed.set()
        if queued.outcome.done():
            return
        if isinstance(outcome, ApiError):
            queued.outcome.set_exception(outcome)
            queued.outcome.exception()  # The sender may be gone; then nobody reads it.
        else:
            queued.outcome.set_result(Stored(epoch, outcome))

    def fail(self, batch: Sequence[QueuedDraft], problem: str) -> None:
        error = UnconfirmedError(Problem(problem))
        for queued in batch:
            self.resolve(queued, "", error)


class Budget(Struct):
    """What still fits into one commit. The first draft always fits."""

    operations: int = MAX_COMMIT_OPERATIONS - 1  # one is the head
    entries: int = MAX_COMMIT_ENTRIES
    size: int = MAX_COMMIT_BYTES
    targets: set[int] = field(default_factory=set)

    def accept(self, draft: Draft) -> bool:
        """Whether a draft fits; then its part is deducted."""
        return self._accept([draft], 0)

    def accept_row(self, drafts: Sequence[Draft]) -> bool:
        """Whether all drafts of a queue row and its deletion fit."""
        return self._accept(drafts, 1)

    def _accept(self, drafts: Sequence[Draft], deletions: int) -> bool:
        # The row of a message is written once, however many drafts change the message.
        targets = {one.target for one in drafts if isinstance(one, _CHANGES)} - self.targets
        operations = deletions + len(targets) + sum(map(_operations_of, drafts))
        size = sum(map(size_of, drafts))
        too_large = operations > self.operations or size > self.size
        if too_large or len(drafts) > self.entries:
            return False
        self.operations -= operations
        self.size -= size
        self.entries -= len(drafts)
        self.targets |= targets
        return True


_CHANGES = (EditDraft, DeleteDraft, ReactionDraft)


def _operations_of(draft: Draft) -> int:
    """Rows that a draft writes at most beside its target: its entry, its id, its reaction or
    mentions."""
    if isinstance(draft, AccessDraft):
        return 0
    if isinstance(draft, ReactionDraft):
        return 3
    return 2 + (0 if isinstance(draft, DeleteDraft) else len(draft.mentions))
