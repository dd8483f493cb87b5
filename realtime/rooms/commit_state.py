"""What a commit has to know about the messages that its drafts refer to: cached, or read."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from realtime.azure.operations import Replace
from realtime.azure.tables import Row
from realtime.concurrency import gather_limited
from realtime.rooms.changes import Plan, State
from realtime.rooms.drafts import Draft, MessageDraft, ReactionDraft, digest_of, target_of
from realtime.rooms.log_rows import (
    Head,
    StoredMessage,
    emoji_of_key,
    entry_key,
    parse_stored_message,
    reaction_key,
    seq_of,
)
from realtime.rooms.log_table import LogTable
from realtime.rooms.message_cache import MessageCache, UserReaction
from realtime.rooms.outcomes import Outcome, id_conflict

MAX_GAP = 8
"""Targets that are at most this far from each other are read together: the rows between them cost
less than another request."""

ROWS_PER_READ = 20
"""All reactions to a message are read if there are at most this many for each that is needed: such
a query costs less than the reads of single rows, and none is needed the next time."""


class StateReader:
    """Finds the state of the messages that drafts refer to."""

    def __init__(self, table: LogTable) -> None:
        self._table = table
        self._cache = MessageCache()

    async def read(
        self, name: str, head: Head, drafts: Iterable[Draft], *, cached: bool = True
    ) -> State:
        """The messages that exist under the targets, and the reactions that drafts would repeat.

        A cached message may be outdated, or not exist any more after a restore. The etag of its row
        shows that when it is changed. A reply changes no row, so its target is read.
        """
        drafts = list(drafts)
        answered = {one.reply_to for one in drafts if isinstance(one, MessageDraft)}
        targets = {target for one in drafts if (target := target_of(one)) is not None}
        stored = {seq for seq in targets if head.first <= seq <= head.seq}
        if not stored:
            return State()
        messages = self._find_cached(name, head, stored - answered) if cached else {}
        state = State(messages, unverified=set(messages))
        messages |= await self._read_messages(name, head, stored - messages.keys())
        unknown: dict[int, list[ReactionDraft]] = {}
        for draft in drafts:
            if not isinstance(draft, ReactionDraft) or draft.target not in messages:
                continue
            known = self._cache.find_reactions(name, messages[draft.target]) if cached else None
            if known is None:
                unknown.setdefault(draft.target, []).append(draft)
            elif (draft.sender, draft.emoji) in known:
                state.reactions.add((draft.target, draft.sender, draft.emoji))
        found = await gather_limited(
            self._read_wanted(name, head, messages[seq], some) for seq, some in unknown.items()
        )
        for seq, pairs in zip(unknown, found, strict=True):
            state.reactions |= {(seq, *pair) for pair in pairs}
        return state

    def note_commit(self, name: str, plan: Plan, etags: Sequence[str]) -> None:
        """Cache what a commit has written; `etags` are those of the plan's operations."""
        by_key = {
            operation.entity["RowKey"]: etag
            for operation, etag in zip(plan.operations, etags, strict=False)
            if isinstance(operation, Replace)
        }
        changes: dict[int, dict[UserReaction, bool]] = {}
        for (seq, user_id, emoji), is_added in plan.reactions.items():
            changes.setdefault(seq, {})[user_id, emoji] = is_added
        for seq, message in plan.messages.items():
            written = replace(message, etag=by_key[entry_key(seq)])
            self._cache.update(name, written, changes.get(seq, {}), message.etag)

    # --- messages ---------------------------------------------------------------------------

    def _find_cached(self, name: str, head: Head, seqs: Iterable[int]) -> dict[int, StoredMessage]:
        found = ((seq, self._cache.get(name, seq)) for seq in seqs)
        return {seq: one for seq, one in found if one and head.includes(one.epoch, seq)}

    async def _read_messages(
        self, name: str, head: Head, seqs: Iterable[int]
    ) -> dict[int, StoredMessage]:
        wanted = set(seqs)
        groups = await gather_limited(
            self._read_range(name, *one) for one in find_ranges(wanted, MAX_GAP)
        )
        messages = {}
        for row in (row for group in groups for row in group):
            seq = seq_of(row)
            if seq in wanted and "kind" not in row and head.includes(row["epoch"], seq):
                messages[seq] = parse_stored_message(row)
                self._cache.add(name, messages[seq])
        return messages

    async def _read_range(self, name: str, first: int, last: int) -> list[Row]:
        if first == last:
            row = await self._table.find_row(name, entry_key(first))
            return [] if row is None else [row]
        return [
            row async for row in self._table.query_rows(name, entry_key(first), entry_key(last + 1))
        ]

    # --- reactions --------------------------------------------------------------------------

    async def _read_wanted(
        self, name: str, head: Head, message: StoredMessage, drafts: Sequence[ReactionDraft]
    ) -> set[UserReaction]:
        """Those that exist, of the reactions that drafts add or remove."""
        counts: Mapping[str, int] = message.entry.reactions
        # A row without a count, which a restore may leave, can be removed, and added once more.
        needed = {(one.sender, one.emoji) for one in drafts if one.emoji in counts or not one.on}
        if needed and sum(counts.values()) <= ROWS_PER_READ * len(needed):
            return needed & await self._read_reactions(name, head, message)
        seq = message.entry.seq
        pairs = list(needed)
        rows = await gather_limited(
            self._table.find_row(name, reaction_key(seq, *pair)) for pair in pairs
        )
        return {
            pair
            for pair, row in zip(pairs, rows, strict=True)
            if row is not None and head.includes(row["epoch"], seq)
        }

    async def _read_reactions(
        self, name: str, head: Head, message: StoredMessage
    ) -> set[UserReaction]:
        """All reactions to a message, which are cached with it."""
        seq = message.entry.seq
        rows = self._table.query_rows(
            name, f"r:{seq:019}:", f"r:{seq:019};", select=["RowKey", "epoch", "user"]
        )
        found = {
            (row["user"], emoji_of_key(row["RowKey"]))
            async for row in rows
            if head.includes(row["epoch"], seq)
        }
        self._cache.add(name, message, found)
        return found


def find_ranges(seqs: Iterable[int], max_gap: int) -> list[tuple[int, int]]:
    """The first and the last seq of each group of seqs that are near to each other."""
    ranges: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if ranges and seq - ranges[-1][1] <= max_gap:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return ranges


async def read_outcomes(
    table: LogTable, name: str, head: Head, drafts: Sequence[Draft], rows: Sequence[Row | None]
) -> tuple[dict[Draft, Outcome], list[str]]:
    """The outcomes of stored drafts from their `i:` rows, and the keys of rows without an entry.

    Such a row is left from an older log that was deleted in part, or its entry was not restored.
    """
    found = {draft: row for draft, row in zip(drafts, rows, strict=True) if row is not None}
    entries = await gather_limited(
        table.find_row(name, entry_key(row["seq"].value)) for row in found.values()
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
