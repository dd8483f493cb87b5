"""Who is in a room, and the notices "joined" and "left".

The service's list of a group's connections is authoritative. The table `presence` (PartitionKey
room, RowKey user) only stores who was announced, so that each notice is published once, whichever
instance detects it first and whichever event was late, repeated or lost.

"left" follows a grace period, which realtime/rooms/departures.py keeps.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.data.tables import TableTransactionError, UpdateMode

from realtime.azure.operations import Delete
from realtime.azure.tables import Row, Tables, tables
from realtime.azure.web_pubsub import MAX_PAGE_CONNECTIONS, Hub, hub
from realtime.concurrency import gather_limited
from realtime.identity.profiles import Profiles, profiles
from realtime.messages import RoomUser, SystemEvent
from realtime.names import display_name, room_group

GRACE_SECONDS = 5.0
"""How long a user may be away without a "left": a page reload takes less."""

RECONCILE_TIMEOUT_SECONDS = 100.0
"""With the other tasks of its timer it is below the platform's `functionTimeout` of 300 s."""

RECONCILE_BATCH_ROOMS = 200

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Roster:
    """The users in a room, with their number of connections and their names, by user id.

    A user who was not announced yet has no name here.
    """

    users: Counter[str]
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def crowded(self) -> bool:
        """Whether the users are more than one page: then joins and leaves are not announced.

        Users count, not connections: one user with many tabs does not silence a room.
        """
        return len(self.users) > MAX_PAGE_CONNECTIONS

    def page(self, after: str = "") -> list[RoomUser]:
        """One page of users by user id: the first, or the one after an id."""
        users = sorted(user for user in self.users if user > after)
        return [
            RoomUser(user, self.names.get(user) or display_name(user), self.users[user])
            for user in users[:MAX_PAGE_CONNECTIONS]
        ]

    def with_name(self, user_id: str, name: str) -> "Roster":
        """The same with the name of a user who is about to be announced."""
        return Roster(self.users, {**self.names, user_id: name})


@dataclass
class Reconciliation:
    """How many announcements were wrong, and the rosters that were read."""

    corrections: int = 0
    rosters: dict[str, Roster] = field(default_factory=dict)


class Presence:
    """The rosters of all rooms."""

    def __init__(
        self,
        tables: Tables,
        hub: Hub,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        profiles: Profiles | None = None,
    ) -> None:
        self._tables = tables
        self._hub = hub
        self._sleep = sleep
        self._profiles = profiles or Profiles(tables)
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
            users, names = await asyncio.gather(self._list_users(room), self._read_names(room))
            return Roster(users, names)
        finally:
            if room not in self._next:
                self._running.pop(room, None)

    async def _list_users(self, room: str) -> Counter[str]:
        connections = self._hub.list_connections(room_group(room))
        return Counter([one.user_id async for one in connections if one.user_id])

    async def _read_names(self, room: str) -> dict[str, str]:
        """The names of the announced users."""
        rows = self._tables.open("presence").query_entities(
            "PartitionKey eq @room", parameters={"room": room}
        )
        return {row["RowKey"]: row.get("name", "") async for row in rows}

    async def announce_joined(self, room: str, user_id: str, roster: Roster) -> None:
        """Publish "joined" unless it was published already or the room is crowded."""
        name = await self._profiles.name_of(user_id)
        if await self._add_announced(room, user_id, name) and not roster.crowded:
            await self._publish_notice(room, user_id, name, "joined")

    async def announce_name(self, room: str, user_id: str, name: str) -> None:
        """Publish a user's new name if the user is announced in the room."""
        row = _row(room, user_id, name=name)
        try:
            await self._tables.open("presence").update_entity(row, mode=UpdateMode.MERGE)
        except ResourceNotFoundError:
            return
        await self._publish_notice(room, user_id, name, "renamed")

    async def announce_left(self, room: str, user_id: str) -> None:
        """Publish "left" if the user is not in the room."""
        roster = await self.roster(room)
        if user_id in roster.users:
            return
        if await self._remove_announced(room, user_id) and not roster.crowded:
            name = roster.names.get(user_id) or await self._profiles.name_of(user_id)
            await self._publish_notice(room, user_id, name, "left")

    async def reconcile(
        self,
        *,
        timeout_seconds: float = RECONCILE_TIMEOUT_SECONDS,
        chance: Callable[[], float] = random.random,
    ) -> Reconciliation:
        """Correct the announced users of the rooms that have some.

        The rooms come in a random order and in batches, so that a run that ends at the timeout has
        corrected some, and not the same ones each minute.
        """
        found = Reconciliation()
        try:
            async with asyncio.timeout(timeout_seconds):
                announced = sorted((await self._read_announced()).items(), key=lambda _: chance())
                for start in range(0, len(announced), RECONCILE_BATCH_ROOMS):
                    await self._reconcile(announced[start : start + RECONCILE_BATCH_ROOMS], found)
        except TimeoutError:
            log.warning("presence: %d rooms are reconciled, storage is slow", len(found.rosters))
        return found

    async def _reconcile(
        self, announced: Sequence[tuple[str, set[str]]], found: Reconciliation
    ) -> None:
        """Correct one batch of rooms. A room that fails is corrected by a later run."""
        left: list[tuple[str, str]] = []

        async def compare(room: str, users: set[str]) -> None:
            roster = found.rosters[room] = await self.roster(room)
            left.extend((room, user) for user in users - set(roster.users))
            for user in set(roster.users) - users:
                await self.announce_joined(room, user, roster)
                found.corrections += 1

        await gather_limited(_try(compare, *one) for one in announced)
        if left:
            await self._sleep(GRACE_SECONDS)
        await gather_limited(_try(self.announce_left, *one) for one in left)
        found.corrections += len(left)

    async def _read_announced(self) -> dict[str, set[str]]:
        """The announced users by room."""
        announced: dict[str, set[str]] = {}
        table = self._tables.open("presence")
        async for row in table.list_entities():
            announced.setdefault(row["PartitionKey"], set()).add(row["RowKey"])
        return announced

    async def _add_announced(self, room: str, user_id: str, name: str) -> bool:
        """Whether the user was not announced before."""
        table = self._tables.open("presence")
        try:
            await table.create_entity(_row(room, user_id, name=name))
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

    async def _publish_notice(self, room: str, user_id: str, name: str, event: str) -> None:
        notice = SystemEvent(room, event, user_id, name, _SENTENCES[event].format(name))
        await self._hub.send_to_group(room_group(room), notice)


async def _try(correct: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    try:
        await correct(*arguments)
    except AzureError as error:
        log.warning("presence: a room is not reconciled: %s", type(error).__name__)


_SENTENCES = {"joined": "{} joined", "left": "{} left", "renamed": "{} has a new name"}


def _row(room: str, user_id: str, **fields: str) -> Row:
    return {"PartitionKey": room, "RowKey": user_id, **fields}


@cache
def presence() -> Presence:
    """The presence of this process."""
    return Presence(tables(), hub(), profiles=profiles())
