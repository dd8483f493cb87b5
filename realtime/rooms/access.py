"""Who may enter a room: everybody, unless the room is private or only listed rooms exist.

A room is a partition of the table `rooms`: the row `room` has its settings, a row `member:<user>`
for each member. A room that nobody created has no rows.

Joins and reads are checked against the table, the same on every instance; in a private room every
message is, too. Whether a room is private is cached for a few seconds for users who are in it.
Concurrent checks share the read of a room's row.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import UpdateMode
from cachetools import TTLCache

from realtime.azure.tables import Row, Tables, tables
from realtime.concurrency import SharedCalls
from realtime.errors import ApiError
from realtime.settings import settings

PRIVATE_CACHE_SECONDS = 5.0
"""How long an instance caches whether a room is private."""

MAX_CACHED_ROOMS = 10_000


@dataclass(frozen=True)
class RoomState:
    """A room's access settings and whether one user is its member."""

    exists: bool
    private: bool
    member: bool


class RoomAccess:
    """The access settings and members of all rooms."""

    def __init__(
        self, tables: Tables, *, listed: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tables = tables
        self._listed = listed
        self._private: TTLCache[str, bool] = TTLCache(
            MAX_CACHED_ROOMS, PRIVATE_CACHE_SECONDS, timer=clock
        )
        self._changes = 0
        self._reads = SharedCalls[str, Row | None]()

    async def check(self, room: str, user_id: str) -> None:
        """Check the table as it is now. Raises ApiError `unknown_room`.

        The error is the same for a private room and for one that does not exist, and so are the
        reads: the duration does not reveal which it is.
        """
        row = await self._reads.run(room, lambda: self._read_room(room))
        private = row is not None and bool(row["private"])
        if not private and (row is not None or not self._listed):
            return
        member = await self._is_member(room, user_id)
        if not (private and member):
            raise ApiError("unknown_room", "There is no such room.")

    async def check_cached(self, room: str, user_id: str) -> None:
        """The same with the cache: an open room costs no read, a private one a read of the member.

        For users who are in the room already.
        """
        private = self._private.get(room)
        if private is None or (private and not await self._is_member(room, user_id)):
            await self.check(room, user_id)

    async def _read_room(self, room: str) -> Row | None:
        """The row with the room's settings. Caches whether the room is private."""
        changes = self._changes
        row = await self._read_row(room, "room")
        if row is None and self._listed:
            self._private.pop(room, None)
        elif changes == self._changes:  # Otherwise the row may be older than a change of it.
            self._private[room] = row is not None and bool(row["private"])
        return row

    async def _is_member(self, room: str, user_id: str) -> bool:
        return await self._read_row(room, f"member:{user_id}") is not None

    async def find(self, room: str, user_id: str) -> RoomState | None:
        """The room's state if the user may enter it, else None."""
        state = await self.read_state(room, user_id)
        return state if self._allows(state) else None

    def _allows(self, state: RoomState) -> bool:
        return state.member if state.private else state.exists or not self._listed

    async def read_state(self, room: str, user_id: str) -> RoomState:
        """Reads both rows always and in parallel: the duration does not reveal what exists."""
        row, member = await asyncio.gather(
            self._read_row(room, "room"), self._is_member(room, user_id)
        )
        private = row is not None and bool(row["private"])
        return RoomState(row is not None, private, member)

    async def _read_row(self, room: str, key: str) -> Row | None:
        table = self._tables.open("rooms")
        try:
            return dict(await table.get_entity(room, key))
        except ResourceNotFoundError:
            return None

    async def put_room(self, room: str, *, private: bool) -> None:
        """Create a room, or change the one that exists."""
        table = self._tables.open("rooms")
        row = {"PartitionKey": room, "RowKey": "room", "private": private}
        await table.upsert_entity(row, mode=UpdateMode.REPLACE)
        self._changes += 1
        self._private.pop(room, None)

    async def add_member(self, room: str, user_id: str) -> None:
        table = self._tables.open("rooms")
        await table.upsert_entity({"PartitionKey": room, "RowKey": f"member:{user_id}"})

    async def remove_member(self, room: str, user_id: str) -> None:
        table = self._tables.open("rooms")
        await table.delete_entity(room, f"member:{user_id}")


@cache
def room_access() -> RoomAccess:
    """The room access of this process."""
    return RoomAccess(tables(), listed=settings().rooms == "listed")
