"""The directory: the open rooms that are listed, with the number of users in each."""

import time
from collections.abc import Callable
from functools import cache

from cachetools import TTLCache
from msgspec import Struct

from realtime.concurrency import gather_limited
from realtime.rooms.presence import Presence, presence
from realtime.rooms.room_store import DirectoryRow, RoomStore, room_store

MAX_DIRECTORY_ROOMS = 50
"""The most rooms of one page."""

PAGE_CACHE_SECONDS = 5.0
COUNT_CACHE_SECONDS = 10.0
"""So one instance counts the users of a room at most six times a minute, whoever asks."""

MAX_CACHED_PAGES = 200
MAX_CACHED_COUNTS = 10_000


class DirectoryPage(Struct, frozen=True):
    """Rooms by id, the number of users of each, and the id after which the next page starts."""

    rooms: list[DirectoryRow]
    members: list[int]
    following: str | None


class Directory:
    """The directory as one instance reads it."""

    def __init__(
        self,
        store: RoomStore,
        presence: Presence,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._presence = presence
        self._pages: TTLCache[tuple[str, int], DirectoryPage] = TTLCache(
            MAX_CACHED_PAGES, PAGE_CACHE_SECONDS, timer=clock
        )
        self._counts: TTLCache[str, int] = TTLCache(
            MAX_CACHED_COUNTS, COUNT_CACHE_SECONDS, timer=clock
        )

    async def read_page(self, limit: int, after: str = "") -> DirectoryPage:
        """One page, at most PAGE_CACHE_SECONDS old."""
        limit = min(limit, MAX_DIRECTORY_ROOMS)
        cached: DirectoryPage | None = self._pages.get((after, limit))
        if cached:
            return cached
        rooms, following = await self._store.list_directory(limit, after)
        members = await gather_limited(self._count(one.room) for one in rooms)
        page = self._pages[after, limit] = DirectoryPage(rooms, members, following)
        return page

    async def _count(self, room: str) -> int:
        count: int | None = self._counts.get(room)
        if count is None:
            count = self._counts[room] = await self._presence.count_announced(room)
        return count


@cache
def directory() -> Directory:
    """The directory of this process."""
    return Directory(room_store(), presence())
