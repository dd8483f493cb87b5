"""The queue rows of this instance that have no outcome yet, and what becomes of their drafts."""

from realtime.rooms import contention as protocol
from realtime.rooms.committer import Committer, OutstandingRow
from realtime.rooms.log_rows import QUEUE_PREFIX, Head
from realtime.rooms.outcomes import parse_outcome


class OutstandingRows:
    """The outstanding rows of one log. A follower has them, and keeps them when it leads."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    async def resolve(self, head: Head) -> None:
        """Give the drafts of rows that a leader has committed and published their outcomes."""
        now = self._committer.clock()
        for key, row in list(self._committer.outstanding.items()):
            taken = head.taken.get(key.removeprefix(QUEUE_PREFIX))
            if not row.outcomes and taken is not None and len(taken) == len(row.drafts):
                row.outcomes = [parse_outcome(_without_sign(one)) for one in taken]
                row.is_unmarked = any(isinstance(one, int) and one < 0 for one in taken)
                row.committed_at = now
            elif not row.outcomes and now - row.checked_at > protocol.GONE_CHECK_SECONDS:
                row.checked_at = now
                await self._check_gone(row)
            if not row.outcomes:
                continue
            if head.published >= row.last_seq and not row.is_unmarked:
                self._resolve_row(head.epoch, row)
            elif row.is_unmarked or now - row.committed_at > protocol.MARK_TIMEOUT_SECONDS:
                await self._publish_row(head, row)

    def _resolve_row(self, epoch: str, row: OutstandingRow) -> None:
        del self._committer.outstanding[row.key]
        for queued, outcome in zip(row.drafts, row.outcomes, strict=True):
            self._committer.queue.resolve(queued, epoch, outcome)

    async def _publish_row(self, head: Head, row: OutstandingRow) -> None:
        """Publish own entries, since the leader has not marked that it did."""
        seqs = {one for one in row.outcomes if isinstance(one, int) and one}
        entries = await self._committer.read_entries(head, seqs)
        if await self._committer.try_publish(head.epoch, entries):
            self._resolve_row(head.epoch, row)
        else:
            del self._committer.outstanding[row.key]
            self._committer.queue.fail(row.drafts, "a publish failed")

    async def _check_gone(self, row: OutstandingRow) -> None:
        """A row that is gone, but not mentioned in the head, was stored some commits ago or was
        deleted: the `i:` rows tell. What is not stored waits again."""
        _, queue = await self._committer.read_queue()
        if any(one.key == row.key for one in queue):
            return
        found = await self._committer.logs.find_stored(
            self._committer.name, [one.draft for one in row.drafts]
        )
        missing = [one for one in row.drafts if one.draft not in found]
        self._committer.queue.put_back(missing)
        row.drafts = [one for one in row.drafts if one.draft in found]
        row.outcomes = [found[one.draft] for one in row.drafts]
        row.is_unmarked = True
        if not row.drafts:
            del self._committer.outstanding[row.key]


def _without_sign(outcome: int | str) -> int | str:
    return abs(outcome) if isinstance(outcome, int) else outcome
