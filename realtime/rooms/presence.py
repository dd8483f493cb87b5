"""Who is in a room, and the notices "joined" and "left".

The service's list of a group's connections is authoritative. The table `presence` (PartitionKey
room, RowKey user) only stores who was announced, so that each notice is published once, whichever
instance detects it first and whichever event was late, repeated or lost.

"left" follows a grace period, which realtime/rooms/departures.py keeps.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache

from azure.core.exceptions import ResourceExistsError
from azure.data.tables import TableTransactionError

from realtime.azure.operations import Delete
from realtime.azure.tables import Row, Tables, tables
from realtime.azure.web_pubsub import MAX_PAGE_CONNECTIONS, Hub, hub
from realtime.concurrency import gather_limited
from realtime.messages import RoomUser, SystemEvent
from realtime.names import display_name, room_group

GRACE_SECONDS = 5.0
"""How long a user may be away without a "left": a page reload takes less."""


@dataclass(frozen=True)
class Roster:
    """The users in a room, with their number of connections, by user id."""

    users: Counter[str]

    @property
    def crowded(self) -> bool:
        """Whether the users are more than one page: then joins and leaves are not announced.

        Users count, not connections: one user with many tabs does not silence a room.
        """
        return len(self.users) > MAX_PAGE_CONNECTIONS

    def page(self, after: str = "") -> list[RoomUser]:
        """One page of users by user id: the first, or the one after an id."""
        users = sorted(user for user in self.users if user > after)
        return [RoomUser(user, self.users[user]) for user in users[:MAX_PAGE_CONNECTIONS]]


class Presence:
    """The rosters of all rooms."""

    def __init__(
        self,
        tables: Tables,
        hub: Hub,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._tables = tables
        self._hub = hub
        self._sleep = sleep
        self._running: dict[str, asyncio.Task[Roster]] = {}
        self._next: dict[str, asyncio.Task[Roster]] = {}

    async def roster(self, room: str) -> Roster:
        """The users in a room now.

        Callers share a listing that starts after they have asked. So many joins at once cost few
        listings, and each caller is in the roster.
        """
        if room not in self._running:
            self._running[room] = asyncio.create_task(self._list(room, None))
            return await asyncio.shield(self._running[room])
        if room not in self._next:
            self._next[room] = asyncio.create_task(self._list(room, self._running[room]))
        return await asyncio.shield(self._next[room])

    async def _list(self, room: str, after: "asyncio.Task[Roster] | None") -> Roster:
        if after is not None:
            await asyncio.wait([after])
            self._running[room] = self._next.pop(room)
        try:
            connections = self._hub.list_connections(room_group(room))
            return Roster(Counter([one.user_id async for one in connections if one.user_id]))
        finally:
            if room not in self._next:
                self._running.pop(room, None)

    async def announce_joined(self, room: str, user_id: str, roster: Roster) -> None:
        """Publish "joined" unless it was published already or the room is crowded."""
        if await self._add_announced(room, user_id) and not roster.crowded:
            await self._publish_notice(room, user_id, "joined")

    async def announce_left(self, room: str, user_id: str) -> None:
        """Publish "left" if the user is not in the room."""
        roster = await self.roster(room)
        if user_id in roster.users:
            return
        if await self._remove_announced(room, user_id) and not roster.crowded:
            await self._publish_notice(room, user_id, "left")

    async def reconcile(self) -> int:
        """Correct the announced users of every room that has some; returns how many were wrong."""
        announced = await self._read_announced()
        rosters = await gather_limited(self.roster(room) for room in announced)
        left = []
        joined = []
        for (room, users), roster in zip(announced.items(), rosters, strict=True):
            left += [(room, user) for user in users - set(roster.users)]
            joined += [(room, user, roster) for user in set(roster.users) - users]
        await gather_limited(self.announce_joined(*one) for one in joined)
        if left:
            await self._sleep(GRACE_SECONDS)
        await gather_limited(self.announce_left(*one) for one in left)
        return len(left) + len(joined)

    async def _read_announced(self) -> dict[str, set[str]]:
        """The announced users by room."""
        announced: dict[str, set[str]] = {}
        table = self._tables.open("presence")
        async for row in table.list_entities():
            announced.setdefault(row["PartitionKey"], set()).add(row["RowKey"])
        return announced

    async def _add_announced(self, room: str, user_id: str) -> bool:
        """Whether the user was not announced before."""
        table = self._tables.open("presence")
        try:
            await table.create_entity(_row(room, user_id))
        except ResourceExistsError:
            return False
        return True

    async def _remove_announced(self, room: str, user_id: str) -> bool:
        """Whether the user was announced. A plain delete does not tell, a transaction does."""
        table = self._tables.open("presence")
        try:
            await table.submit([Delete(room, user_id)])
        except TableTransactionError as error:
            if error.status_code != 404:
                raise
            return False
        return True

    async def _publish_notice(self, room: str, user_id: str, event: str) -> None:
        notice = SystemEvent(room, event, user_id, f"{display_name(user_id)} {event}")
        await self._hub.send_to_group(room_group(room), notice)


def _row(room: str, user_id: str) -> Row:
    return {"PartitionKey": room, "RowKey": user_id}


@cache
def presence() -> Presence:
    """The presence of this process."""
    return Presence(tables(), hub())
