"""Reads the history of a log: pages, and what a client has missed."""

from dataclasses import dataclass
from functools import cache

from realtime.errors import ApiError
from realtime.messages import Entry
from realtime.rooms.log import Head, LogStore, logs

MAX_PAGE_ENTRIES = 200
"""The most entries of one page."""

DEFAULT_PAGE_ENTRIES = 50


@dataclass(frozen=True)
class Page:
    """Entries of a log, oldest first; `more` says whether there are others in that direction."""

    head: Head
    entries: list[Entry]
    more: bool


class History:
    """The histories of all rooms and direct conversations, by log name."""

    def __init__(self, logs: LogStore) -> None:
        self._logs = logs

    async def read_page(
        self,
        name: str,
        limit: int = DEFAULT_PAGE_ENTRIES,
        *,
        before: int | None = None,
        after: int | None = None,
    ) -> Page:
        """The newest entries, or those before or after a seq.

        Raises ApiError `invalid_cursor` for both at once, or for a seq that the log does not have.
        """
        head = await self._logs.read_head(name)
        if before is not None and after is not None:
            raise ApiError("invalid_cursor", "Use before or after, not both.")
        if (after or 0) > head.seq or (before or 0) > head.seq + 1:
            raise ApiError("invalid_cursor", f"The history ends at {head.seq}.")
        if after is not None:
            low = max(after + 1, head.first)
            high = min(low + limit - 1, head.seq)
            return Page(head, await self._logs.read(name, head, low, high), high < head.seq)
        return await self._read_until(name, head, head.seq if before is None else before - 1, limit)

    async def read_since(
        self, name: str, after: int | None, epoch: str | None, limit: int = DEFAULT_PAGE_ENTRIES
    ) -> tuple[Page, bool]:
        """All entries after a client's position and True.

        Where that is impossible (no position, another epoch, too many entries, or removed by
        retention) the newest page and False.
        """
        head = await self._logs.read_head(name)
        if after is not None and _can_continue(head, after, epoch):
            entries = await self._logs.read(name, head, after + 1, head.seq)
            return Page(head, entries, more=False), True
        return await self._read_until(name, head, head.seq, limit), False

    async def _read_until(self, name: str, head: Head, high: int, limit: int) -> Page:
        low = max(head.first, high - limit + 1)
        return Page(head, await self._logs.read(name, head, low, high), low > head.first)


def _can_continue(head: Head, after: int, epoch: str | None) -> bool:
    """Whether everything after a position can be sent. A client at 0 may have no epoch yet."""
    same_log = epoch == head.epoch or (after == 0 and not epoch)
    return same_log and head.first - 1 <= after <= head.seq <= after + MAX_PAGE_ENTRIES


@cache
def history() -> History:
    """The history of this process."""
    return History(logs())
