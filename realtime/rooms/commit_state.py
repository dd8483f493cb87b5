"""Reads what a commit has to know about the messages that its drafts refer to."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from realtime.azure.tables import Row
from realtime.concurrency import gather_limited
from realtime.rooms.changes import Outcome, State
from realtime.rooms.commit_parts import id_conflict
from realtime.rooms.drafts import Draft, ReactionDraft, digest_of, target_of
from realtime.rooms.log_rows import Head, entry_key, parse_stored_message, reaction_key, seq_of

FindRow = Callable[[str, str], Awaitable[Row | None]]


async def read_state(find_row: FindRow, name: str, head: Head, drafts: Iterable[Draft]) -> State:
    """The messages that exist under the targets, and the reactions that drafts would repeat."""
    drafts = list(drafts)
    targets = {target for one in drafts if (target := target_of(one)) is not None}
    if not targets:
        return State()
    stored = [seq for seq in targets if head.first <= seq <= head.seq]
    rows = await gather_limited(find_row(name, entry_key(seq)) for seq in stored)
    messages = [
        parse_stored_message(row)
        for row in rows
        if row is not None and "kind" not in row and head.includes(row["epoch"], seq_of(row))
    ]
    wanted = [
        (one.target, one.sender, one.emoji) for one in drafts if isinstance(one, ReactionDraft)
    ]
    reactions = await gather_limited(find_row(name, reaction_key(*one)) for one in wanted)
    found = {
        reaction
        for reaction, row in zip(wanted, reactions, strict=True)
        if row is not None and head.includes(row["epoch"], reaction[0])
    }
    return State({one.entry.seq: one for one in messages}, found)


async def read_outcomes(
    find_row: FindRow, name: str, head: Head, drafts: Sequence[Draft], rows: Sequence[Row | None]
) -> tuple[dict[Draft, Outcome], list[str]]:
    """The outcomes of stored drafts from their `i:` rows, and the keys of rows without an entry.

    Such a row is left from an older log that was deleted in part, or its entry was not restored.
    """
    found = {draft: row for draft, row in zip(drafts, rows, strict=True) if row is not None}
    entries = await gather_limited(
        find_row(name, entry_key(row["seq"].value)) for row in found.values()
    )
    outcomes: dict[Draft, Outcome] = {}
    outdated = []
    for (draft, row), entry in zip(found.items(), entries, strict=True):
        seq = row["seq"].value
        is_purged = seq < head.first  # its `i:` row goes with it
        if not head.includes(row["epoch"], seq) or (entry is None and not is_purged):
            outdated.append(row["RowKey"])
        else:
            outcomes[draft] = seq if row["digest"] == digest_of(draft) else id_conflict()
    return outcomes, outdated
