"""Reads the history of a log: pages, and what a client has missed."""

from functools import cache

import msgspec
from msgspec.structs import replace

from realtime.concurrency import SharedCalls, gather_limited
from realtime.errors import ApiError
from realtime.messages import Change, Entry
from realtime.rooms.log import LogStore, logs
from realtime.rooms.log_rows import (
    Head,
    emoji_of_key,
    entry_key,
    parse_entry,
    parse_message,
    seq_of,
)
from realtime.rooms.mention_rows import includes_mention, mention_key
from realtime.rooms.publisher import split_entries

MAX_PAGE_ENTRIES = 200
"""The most entries of one page."""

DEFAULT_PAGE_ENTRIES = 50

MIN_WINDOW_ENTRIES = 50
MAX_WINDOW_ENTRIES = 12_800
"""Entries of one query for a page of messages. Changes between the messages make a page need more
than one query; each one reads four times as many entries, in at most some 10 MB."""

MAX_PAGE_READS = 6
"""Queries for one page that has a message. Without one a reader could not ask for the next page."""

COUNT_WINDOW_ENTRIES = 20
"""Entries before a seq that are read to find the message before it; else the one after it tells."""

MAX_COUNTED_MENTIONS = 100

MAX_RANGE_REACTIONS = 1_000
"""Above this number of reactions in a page, they are read for each message by itself."""


class Page(msgspec.Struct, frozen=True):
    """Entries of a log, oldest first; `more` says whether there are others in that direction."""

    head: Head
    messages: list[Entry]
    more: bool
    changes: list[Change] = msgspec.field(default_factory=list)


class History:
    """The histories of all rooms and direct conversations, by log name."""

    def __init__(self, logs: LogStore) -> None:
        self._logs = logs
        self._shared = SharedCalls[
            tuple[str, str, int | None, str | None, int], tuple[Page, bool]
        ]()

    async def read_page(
        self,
        name: str,
        limit: int = DEFAULT_PAGE_ENTRIES,
        *,
        before: int | None = None,
        after: int | None = None,
        reader: str = "",
    ) -> Page:
        """The newest messages, those before a seq, or the entries after a seq.

        `reader` is the user whose own reactions are marked. Raises ApiError `invalid_cursor` for
        both at once, or for a seq that the log does not have.
        """
        head = await self._logs.read_head(name)
        if before is not None and after is not None:
            raise ApiError("invalid_cursor", "Use before or after, not both.")
        if (after or 0) > head.seq or (before or 0) > head.seq + 1:
            raise ApiError("invalid_cursor", f"The history ends at {head.seq}.")
        if after is not None:
            low = max(after + 1, head.first)
            high = min(low + limit - 1, head.seq)
            entries = await read_entries(self._logs, name, head, low, high)
            messages, changes = split_entries(entries)
            page = Page(head, messages, high < head.seq, changes)
        else:
            last = head.seq if before is None else before - 1
            page = await self._read_before(name, head, last, limit)
        return await self._mark_reactions(name, page, reader)

    async def read_since(
        self,
        name: str,
        after: int | None,
        epoch: str | None,
        limit: int = DEFAULT_PAGE_ENTRIES,
        *,
        reader: str = "",
    ) -> tuple[Page, bool]:
        """All entries after a client's position and True.

        Where that is impossible (no position, another epoch, too many entries, or removed by
        retention) the newest page and False. Concurrent readers from one position share the reads.
        """
        head = await self._logs.read_head_shared(name)
        page, recovered = await self._shared.run(
            (name, head.etag, after, epoch, limit),
            lambda: self._read_since(name, head, after, epoch, limit),
        )
        return await self._mark_reactions(name, page, reader), recovered

    async def _read_since(
        self, name: str, head: Head, after: int | None, epoch: str | None, limit: int
    ) -> tuple[Page, bool]:
        if after is not None and _can_continue(head, after, epoch):
            entries = await read_entries(self._logs, name, head, after + 1, head.seq)
            # Every seq has a row. If one is missing, a purge has run since the head was read.
            if len(entries) == head.seq - after:
                messages, changes = split_entries(entries)
                return Page(head, messages, more=False, changes=changes), True
        return await self._read_before(name, head, head.seq, limit), False

    async def find_message(self, name: str, seq: int, epoch: str | None = None) -> Entry | None:
        """A message in its present state, None if the log has none with this seq.

        With an epoch, None for a log that has been deleted since that epoch.
        """
        head = await self._logs.read_head(name)
        if epoch is not None and not head.includes(epoch, seq):
            return None
        return await _find_message(self._logs, name, head, seq)

    async def count_messages(self, name: str, seq: int) -> int:
        """The number of messages of a log up to a seq, also of those that are purged."""
        head = await self._logs.cached_head(name)
        if seq >= head.seq:
            head = await self._logs.read_head(name)
        if seq >= head.seq:
            return head.messages
        low = max(head.first, seq - COUNT_WINDOW_ENTRIES)
        rows = self._logs.query_rows(name, entry_key(low), entry_key(head.seq + 1))
        before = 0
        async for row in rows:
            if "kind" in row or not head.includes(row["epoch"], seq_of(row)):
                continue
            if seq_of(row) > seq:
                return before or int(row["ordinal"].value) - 1
            before = int(row["ordinal"].value)
        return before or head.messages

    async def count_mentions(self, name: str, user_id: str, after: int) -> int:
        """How many messages after a seq mention a user; it stops at MAX_COUNTED_MENTIONS."""
        head = await self._logs.cached_head(name)
        low = mention_key(user_id, max(after + 1, head.first))
        rows = self._logs.query_rows(
            name,
            low,
            f"n:{user_id};",
            results_per_page=MAX_COUNTED_MENTIONS,
            select=["RowKey", "epoch"],
        )
        count = 0
        async for row in rows:
            count += includes_mention(head, row)
            if count == MAX_COUNTED_MENTIONS:
                break
        return count

    async def _read_before(self, name: str, head: Head, last: int, limit: int) -> Page:
        """The last messages up to a seq: the changes between them are left out."""
        messages: list[Entry] = []
        window, high, reads = max(limit, MIN_WINDOW_ENTRIES), last, 0
        while high >= head.first and len(messages) < limit:
            if messages and reads >= MAX_PAGE_READS:
                break
            low = max(head.first, high - window + 1)
            found = await _read_rows(self._logs, name, head, low, high)
            found_messages, _ = split_entries(found)
            messages = found_messages + messages
            high, window, reads = low - 1, min(window * 4, MAX_WINDOW_ENTRIES), reads + 1
        more = len(messages) > limit or high >= head.first
        return Page(head, messages[-limit:], more)

    # --- the reader's reactions -------------------------------------------------------------

    async def _mark_reactions(self, name: str, page: Page, reader: str) -> Page:
        """The page with the reader's own reactions in `mine`."""
        reacted = [one for one in page.messages if one.reactions]
        if not reader or not reacted:
            return page
        if sum(sum(one.reactions.values()) for one in reacted) <= MAX_RANGE_REACTIONS:
            mine = await self._read_reactions(name, reacted[0].seq, reacted[-1].seq, reader)
        else:
            found = await gather_limited(
                self._read_own_reactions(name, one.seq, reader) for one in reacted
            )
            mine = {one.seq: emojis for one, emojis in zip(reacted, found, strict=True)}
        marked = [
            replace(one, mine=[e for e in mine[one.seq] if e in one.reactions])
            if mine.get(one.seq)
            else one
            for one in page.messages
        ]
        return replace(page, messages=marked)

    async def _read_reactions(
        self, name: str, first: int, last: int, reader: str
    ) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        rows = self._logs.query_rows(name, f"r:{first:019}:", f"r:{last:019};")
        async for row in rows:
            if row["user"] == reader:
                seq = int(row["RowKey"].split(":")[1])
                found.setdefault(seq, []).append(emoji_of_key(row["RowKey"]))
        return found

    async def _read_own_reactions(self, name: str, seq: int, reader: str) -> list[str]:
        prefix = f"r:{seq:019}:{reader}"
        rows = self._logs.query_rows(name, f"{prefix}:", f"{prefix};")
        return [emoji_of_key(row["RowKey"]) async for row in rows]


async def read_entries(
    logs: LogStore, name: str, head: Head, low: int, high: int
) -> list[Entry | Change]:
    """The entries from seq `low` to `high`; edits have the present content of their message."""
    entries = await _read_rows(logs, name, head, low, high)
    messages, changes = split_entries(entries)
    known = {one.seq: one for one in messages}
    edited = {one.target for one in changes if one.kind == "edit"} - known.keys()
    found = await gather_limited(_find_message(logs, name, head, seq) for seq in edited)
    known |= {one.seq: one for one in found if one is not None}
    return [
        _complete_edit(one, known.get(one.target)) if isinstance(one, Change) else one
        for one in entries
    ]


async def _read_rows(
    logs: LogStore, name: str, head: Head, low: int, high: int
) -> list[Entry | Change]:
    if high < low:
        return []
    rows = logs.query_rows(name, entry_key(low), entry_key(high + 1))
    return [parse_entry(row) async for row in rows if head.includes(row["epoch"], seq_of(row))]


async def _find_message(logs: LogStore, name: str, head: Head, seq: int) -> Entry | None:
    async for row in logs.query_rows(name, entry_key(seq), entry_key(seq + 1)):
        if "kind" not in row and head.includes(row["epoch"], seq):
            return parse_message(row)
    return None


def _complete_edit(change: Change, target: Entry | None) -> Change:
    """A later edit of the same message makes the content newer than the change; that is what the
    client will have in the end."""
    if change.kind != "edit" or target is None or target.deleted:
        return change
    return replace(
        change, content=target.content, mentions=target.mentions, revision=target.revision
    )


def _can_continue(head: Head, after: int, epoch: str | None) -> bool:
    """Whether everything after a position can be sent. A client at 0 may have no epoch yet."""
    same_log = epoch == head.epoch or (after == 0 and not epoch)
    return same_log and head.first - 1 <= after <= head.seq <= after + MAX_PAGE_ENTRIES


@cache
def history() -> History:
    """The history of this process."""
    return History(logs())
