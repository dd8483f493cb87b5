"""Who may enter a room: everybody, unless the room is private or only listed rooms exist.

A room is a partition of the table `rooms`: the row `room` has its settings, a row `member:<user>`
for each member. A room that nobody created has no rows.

Joins and reads are checked against the table, the same on every instance; in a private room every
message is, too. Whether a room is private is cached for a few seconds for users who are in it.
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

    async def check(self, room: str, user_id: str) -> RoomState:
        """The room's state as the table has it now. Raises ApiError `unknown_room`.

        The error is the same for a private room and for one that does not exist.
        """
        state = await self.find(room, user_id)
        if state is None:
            self._private.pop(room, None)
            raise ApiError("unknown_room", "There is no such room.")
        self._private[room] = state.private
        return state

    async def check_cached(self, room: str, user_id: str) -> None:
        """The same with the cache: an open room costs no read, a private one a read of the member.

        For users who are in the room already.
        """
        private = self._private.get(room)
        if private is None or (private and not await self._read_row(room, f"member:{user_id}")):
            await self.check(room, user_id)

    async def find(self, room: str, user_id: str) -> RoomState | None:
        """The room's state if the user may enter it, else None."""
        state = await self.read_state(room, user_id)
        return state if self._allows(state) else None

    def _allows(self, state: RoomState) -> bool:
        return state.member if state.private else state.exists or not self._listed

    async def read_state(self, room: str, user_id: str) -> RoomState:
        """Reads both rows always and in parallel: the duration does not reveal what exists."""
        row, member = await asyncio.gather(
            self._read_row(room, "room"), self._read_row(room, f"member:{user_id}")
        )
        private = row is not None and bool(row["private"])
        return RoomState(row is not None, private, member is not None)

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
