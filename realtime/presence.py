"""Who is in a room: asked of the service, told to the room once.

The service's own list of a group's connections is the truth. The table `presence` only remembers
whom a room knows to be in (PartitionKey room, RowKey user), so that "joined" and "left" are said
once, whichever instance notices first and whatever event was late, doubled or lost.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cache

from azure.core.exceptions import ResourceExistsError
from azure.data.tables import TableTransactionError

from realtime.channels import display_name, group_of
from realtime.hub import PAGE, Hub, hub
from realtime.messages import Present, System
from realtime.tables import Row, Tables, few_at_once, tables

GRACE = 5.0
"""For how many seconds somebody who has gone may come back unnoticed: a reload takes less."""


@dataclass(frozen=True)
class Roster:
    """The people in a room, with their number of connections, by user id."""

    people: Counter[str]

    @property
    def crowded(self) -> bool:
        """Whether comings and goings are too many to tell: they are counted, not announced."""
        return self.people.total() > PAGE

    def page(self, after: str = "") -> list[Present]:
        """Some of the people by user id: the first, or those that come after an id."""
        users = sorted(user for user in self.people if user > after)
        return [Present(user, self.people[user]) for user in users[:PAGE]]


class Presence:
    """The rooms' rosters, over the hub and the table `presence`."""

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
        """Who is in a room now.

        Callers share a listing that starts after they have asked, so that a crowd at the door
        costs few listings and everybody sees at least themselves.
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
            members = self._hub.connections(group_of(room))
            return Roster(Counter([one.user async for one in members if one.user]))
        finally:
            if room not in self._next:
                self._running.pop(room, None)

    async def arrived(self, room: str, user: str, roster: Roster) -> None:
        """Tell the room that somebody has come, unless it knows."""
        if await self._note(room, user) and not roster.crowded:
            await self._announce(room, user, "joined")

    async def departed(self, room: str, user: str, *, grace: float = 0) -> None:
        """Tell the room that somebody has gone, if it is so and they do not come back at once."""
        if grace:
            await self._sleep(grace)
        roster = await self.roster(room)
        if user not in roster.people and await self._forget(room, user) and not roster.crowded:
            await self._announce(room, user, "left")

    async def settle(self) -> int:
        """Set right what lost events have left wrong, in every room; how many corrections."""
        told = await self._told()
        rosters = await few_at_once(self.roster(room) for room in told)
        gone = []
        come = []
        for (room, users), roster in zip(told.items(), rosters, strict=True):
            gone += [(room, user) for user in users - set(roster.people)]
            come += [(room, user, roster) for user in set(roster.people) - users]
        await few_at_once(self.arrived(*one) for one in come)
        if gone:
            await self._sleep(GRACE)
        await few_at_once(self.departed(*one) for one in gone)
        return len(gone) + len(come)

    async def _told(self) -> dict[str, set[str]]:
        """Whom each room knows to be in."""
        told: dict[str, set[str]] = {}
        table = await self._tables("presence")
        async for row in table.list_entities():
            told.setdefault(row["PartitionKey"], set()).add(row["RowKey"])
        return told

    async def _note(self, room: str, user: str) -> bool:
        """Remember that somebody is in the room; False when it was remembered before."""
        table = await self._tables("presence")
        try:
            await table.create_entity(_row(room, user))
        except ResourceExistsError:
            return False
        return True

    async def _forget(self, room: str, user: str) -> bool:
        """The reverse, by a transaction: a plain delete does not tell whether a row was there."""
        table = await self._tables("presence")
        operations: Iterable[tuple[str, Row]] = [("delete", _row(room, user))]
        try:
            await table.submit_transaction(operations)
        except TableTransactionError as error:
            if error.status_code != 404:
                raise
            return False
        return True

    async def _announce(self, room: str, user: str, event: str) -> None:
        name = display_name(user)
        await self._hub.publish(group_of(room), System(room, event, user, f"{name} {event}"))


def _row(room: str, user: str) -> Row:
    return {"PartitionKey": room, "RowKey": user}


@cache
def presence() -> Presence:
    """This process's view of who is where."""
    return Presence(tables(), hub())
