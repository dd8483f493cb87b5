"""Which rooms there are, and who may enter: open to everybody unless made private.

A room is a partition of the table `rooms`: the row `room` says whether it is private, a row
`member:<user>` lets one person in. A room that was never made has no rows.

Who comes in or reads is checked against the table, on every instance alike; so is, in a private
room, who speaks. Only whether a room is private is trusted for a few seconds, for who is in it.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import UpdateMode

from realtime.messages import Refused
from realtime.settings import settings
from realtime.tables import Row, Tables, tables

MEMORY = 5.0
"""For how many seconds an instance trusts that a room is still open, or still private."""

REMEMBERED = 10_000


@dataclass(frozen=True)
class Door:
    """How a room looks to one person."""

    exists: bool
    private: bool
    member: bool


class Rooms:
    """All rooms, over the table `rooms`."""

    def __init__(
        self, tables: Tables, *, listed: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tables = tables
        self._listed = listed
        self._clock = clock
        self._known: dict[str, tuple[float, bool]] = {}

    async def enter(self, room: str, user: str) -> Door:
        """Pass as the table has it now, or be refused.

        `unknown_room` stands both for a room that one may not know of and for none.
        """
        door = await self.welcomes(room, user)
        if door is None:
            self._known.pop(room, None)
            raise Refused("unknown_room", "There is no such room.")
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[room] = (self._clock() + MEMORY, door.private)
        return door

    async def stay(self, room: str, user: str) -> None:
        """The same for who is in the room already, or is checked once more on the way in."""
        until, private = self._known.get(room, (0.0, False))
        known = self._clock() < until
        if not known or (private and not await self._row(room, f"member:{user}")):
            await self.enter(room, user)

    async def welcomes(self, room: str, user: str) -> Door | None:
        """How a room looks to somebody who may know of it; None for others."""
        door = await self.door(room, user)
        return door if self._passes(door) else None

    def _passes(self, door: Door) -> bool:
        return door.member if door.private else door.exists or not self._listed

    async def door(self, room: str, user: str) -> Door:
        """Both rows at once, always: the time it takes does not tell what is there."""
        row, member = await asyncio.gather(
            self._row(room, "room"), self._row(room, f"member:{user}")
        )
        private = row is not None and bool(row["private"])
        return Door(row is not None, private, member is not None)

    async def _row(self, room: str, key: str) -> Row | None:
        table = await self._tables("rooms")
        try:
            return dict(await table.get_entity(room, key))
        except ResourceNotFoundError:
            return None

    async def make(self, room: str, *, private: bool) -> None:
        """Make a room, or open or close the one that is there."""
        table = await self._tables("rooms")
        row = {"PartitionKey": room, "RowKey": "room", "private": private}
        await table.upsert_entity(row, mode=UpdateMode.REPLACE)
        self._known.pop(room, None)

    async def admit(self, room: str, user: str) -> None:
        table = await self._tables("rooms")
        await table.upsert_entity({"PartitionKey": room, "RowKey": f"member:{user}"})

    async def expel(self, room: str, user: str) -> None:
        table = await self._tables("rooms")
        await table.delete_entity(room, f"member:{user}")


@cache
def rooms() -> Rooms:
    """This process's view of the rooms."""
    return Rooms(tables(), listed=settings().rooms == "listed")
