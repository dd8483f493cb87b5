"""The pure parts of a commit: repeated drafts, the outcomes of queue rows, times and marks."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from realtime.messages import format_timestamp
from realtime.rooms.drafts import Draft, digest_of
from realtime.rooms.log_rows import QUEUE_PREFIX, Head, Outcomes, QueueRow
from realtime.rooms.outcomes import Outcome, encode_outcome, id_conflict

MAX_TAKEN_ROWS = 32
"""Queue rows whose outcomes the head keeps: those of several commits."""

MAX_CLOCK_SKEW = timedelta(minutes=5)
"""An entry further in the future is from a wrong clock; later entries do not follow it."""


def remove_repetitions(drafts: Sequence[Draft]) -> tuple[list[Draft], dict[Draft, Outcome]]:
    """The drafts without repetitions of an id; a different draft with a used id is rejected."""
    by_id: dict[tuple[str, str], Draft] = {}
    outcomes: dict[Draft, Outcome] = {}
    for draft in drafts:
        first = by_id.setdefault((draft.sender, draft.id), draft)
        if first is not draft and digest_of(first) != digest_of(draft):
            outcomes[draft] = id_conflict()
    return list(by_id.values()), outcomes


def complete_outcomes(
    drafts: Sequence[Draft], outcomes: dict[Draft, Outcome]
) -> dict[Draft, Outcome]:
    """The outcome of every draft; a repetition has that of the first draft with its id."""
    by_id = {(draft.sender, draft.id): outcome for draft, outcome in reversed(outcomes.items())}
    return {draft: outcomes.get(draft, by_id[draft.sender, draft.id]) for draft in drafts}


def merge_taken(
    head: Head,
    queue: Sequence[QueueRow],
    outcomes: dict[Draft, Outcome],
    repeated: Collection[Draft] = (),
) -> dict[str, Outcomes]:
    """The outcomes of the queue rows of this commit and of those before, the oldest left out.

    `repeated` are the drafts that were stored before this commit."""
    if not queue:
        # The owners of the rows that a leader has taken may not have read the head yet.
        return dict(head.taken) if head.leading else {}
    by_id = {(draft.sender, draft.id): outcome for draft, outcome in reversed(outcomes.items())}
    repeated_ids = {(draft.sender, draft.id) for draft in repeated}
    taken = dict(head.taken)
    for row in queue:
        encoded: Outcomes = []
        for one in row.drafts:
            outcome = encode_outcome(outcomes.get(one, by_id[one.sender, one.id]))
            is_repeated = isinstance(outcome, int) and (one.sender, one.id) in repeated_ids
            encoded.append(-outcome if is_repeated else outcome)  # type: ignore[operator]
        taken[row.key.removeprefix(QUEUE_PREFIX)] = encoded
    return dict(list(taken.items())[-MAX_TAKEN_ROWS:])


def next_published(head: Head, new_head: Head, published: int | None) -> int:
    """All entries from queue rows up to this seq are published.

    A commit without queue rows adds none, so it changes nothing if there are others left.
    """
    if published is not None:
        return max(published, head.published)
    return new_head.seq if head.published >= head.seq else head.published


def next_timestamp(now: datetime, previous: str) -> str:
    """Not before the previous entry of the log, since the clocks of instances differ.

    A previous entry far in the future is from a wrong clock and is not followed.
    """
    if previous and format_timestamp(now) < previous <= format_timestamp(now + MAX_CLOCK_SKEW):
        return previous
    return format_timestamp(now)
