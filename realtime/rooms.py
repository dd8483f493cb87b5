"""Which rooms there are, and who may enter: open to everybody unless made private.

A room is a partition of the table `rooms`: the row `room` says whether it is private, a row
`member:<user>` lets one person in. A room that was never made has no rows.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from azure.data.tables import UpdateMode

from realtime.messages import Refused
from realtime.settings import settings
from realtime.tables import Tables, tables

MEMORY = 5.0
"""For how many seconds an instance trusts what it has read about a room."""

REMEMBERED = 10_000


@dataclass(frozen=True)
class Door:
    """Who may pass into one room."""

    exists: bool = False
    private: bool = False
    members: frozenset[str] = frozenset()


class Rooms:
    """All rooms, over the table `rooms`."""

    def __init__(
        self, tables: Tables, *, listed: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tables = tables
        self._listed = listed
        self._clock = clock
        self._doors: dict[str, tuple[float, Door]] = {}

    async def enter(self, room: str, user: str) -> Door:
        """Pass, or be refused: `unknown_room` both for a room one may not know and for none."""
        door = await self.door(room)
        stranger = door.private and user not in door.members
        if stranger or (self._listed and not door.exists):
            raise Refused("unknown_room", "There is no such room.")
        return door

    async def door(self, room: str) -> Door:
        known = self._doors.get(room)
        if known and self._clock() < known[0]:
            return known[1]
        door = await self._read(room)
        if len(self._doors) >= REMEMBERED:
            self._doors.clear()
        self._doors[room] = (self._clock() + MEMORY, door)
        return door

    async def _read(self, room: str) -> Door:
        table = await self._tables("rooms")
        rows = {
            row["RowKey"]: row
            async for row in table.query_entities(
                "PartitionKey eq @room", parameters={"room": room}
            )
        }
        members = (key.removeprefix("member:") for key in rows if key.startswith("member:"))
        private = "room" in rows and bool(rows["room"]["private"])
        return Door("room" in rows, private, frozenset(members))

    async def make(self, room: str, *, private: bool) -> None:
        """Make a room, or open or close the one that is there."""
        table = await self._tables("rooms")
        row = {"PartitionKey": room, "RowKey": "room", "private": private}
        await table.upsert_entity(row, mode=UpdateMode.REPLACE)
        self._doors.pop(room, None)

    async def admit(self, room: str, user: str) -> None:
        table = await self._tables("rooms")
        await table.upsert_entity({"PartitionKey": room, "RowKey": f"member:{user}"})
        self._doors.pop(room, None)

    async def expel(self, room: str, user: str) -> None:
        table = await self._tables("rooms")
        await table.delete_entity(room, f"member:{user}")
        self._doors.pop(room, None)


@cache
def rooms() -> Rooms:
    """This process's view of the rooms."""
    return Rooms(tables(), listed=settings().rooms == "listed")
