"""Who is in a room, and when "joined" and "left" are announced.

The service's list of a group's connections is authoritative. The table `presence` only stores who
was announced (`announced_users`), so that each notice is published once, whichever instance detects
it first and whichever event was late, repeated or lost.

"left" follows a grace period, which realtime/rooms/departures.py keeps. realtime/rooms/notices.py
publishes the notices.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cache
from typing import Any

from azure.core.exceptions import AzureError
from cachetools import TTLCache
from msgspec import Struct, field

from realtime.azure.tables import Tables, tables
from realtime.azure.web_pubsub import Hub, hub
from realtime.concurrency import SharedCalls, gather_limited
from realtime.identity.profiles import Profile, Profiles, profiles
from realtime.messages import PresenceChange, ProfileEvent
from realtime.names import room_group
from realtime.rooms.announced_users import AnnouncedUsers
from realtime.rooms.notices import NoticePublisher
from realtime.rooms.roster import FirstPage, Roster

GRACE_SECONDS = 5.0
"""How long a user may be away without a "left": a page reload takes less."""

RECONCILE_TIMEOUT_SECONDS = 100.0
"""With the other tasks of its timer it is below the platform's `functionTimeout` of 300 s."""

RECONCILE_BATCH_ROOMS = 200

CROWD_CACHE_SECONDS = 5.0
"""How old the users and their number in the answer to a join of a crowded room may be."""

MAX_CACHED_CROWDS = 100
"""Crowded rooms whose first page an instance caches: about 50 KB each."""

log = logging.getLogger(__name__)


class Reconciliation(Struct):
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
        self._hub = hub
        self._sleep = sleep
        self._profiles = profiles or Profiles(tables)
        self._announced = AnnouncedUsers(tables)
        self._notices = NoticePublisher(hub)
        self._listings = SharedCalls[str, Roster]()
        self._crowds: TTLCache[str, FirstPage] = TTLCache(MAX_CACHED_CROWDS, CROWD_CACHE_SECONDS)

    async def roster(self, room: str) -> Roster:
        """The users in a room now.

        Callers share a listing that starts after they have asked. So many joins at once cost few
        listings, and each caller is in the roster.
        """
        return await self._listings.run(room, lambda: self._list(room))

    async def _list(self, room: str) -> Roster:
        users, announced = await asyncio.gather(
            self._list_users(room), self._announced.read_profiles(room)
        )
        roster = Roster(users, announced)
        if roster.crowded:
            self._crowds[room] = roster.first_page
        else:
            self._crowds.pop(room, None)
        return roster

    async def _list_users(self, room: str) -> Counter[str]:
        connections = self._hub.list_connections(room_group(room))
        return Counter([one.user_id async for one in connections if one.user_id])

    async def enter(
        self,
        room: str,
        user_id: str,
        *,
        access: Awaitable[object] | None = None,
        only_listed: bool = False,
    ) -> FirstPage:
        """Announce a user whose connection is in the room's group; returns who is there.

        The user is announced when `access` is done, and not if that raises. With `only_listed` a
        user whom the service does not list is not announced: the event may be late.
        """
        crowd = self._crowds.get(room)
        if crowd:
            await _done(access)
            await self._announced.put(room, user_id, await self._profiles.find_or_default(user_id))
            return crowd
        roster = await self.roster(room)
        await _done(access)
        if user_id in roster.users or not only_listed:
            await self.announce_joined(room, user_id, roster)
        return roster.first_page

    async def count_announced(self, room: str) -> int:
        """The number of users in a room as far as they are announced: one query for 1,000 users."""
        return await self._announced.count(room)

    async def announce_joined(self, room: str, user_id: str, roster: Roster) -> None:
        """Publish "joined" unless it was published already or the room is crowded."""
        if user_id in roster.announced:
            return
        profile = await self._profiles.find_or_default(user_id)
        if await self._announced.add(room, user_id, profile) and not roster.crowded:
            await self._notices.publish(room, _change("joined", user_id, profile))

    async def announce_profile(
        self, room: str, user_id: str, profile: Profile, *, is_renamed: bool
    ) -> None:
        """Publish a user's changed profile if the user is announced in the room."""
        if not await self._announced.replace(room, user_id, profile):
            return
        if is_renamed:
            await self._notices.publish(room, _change("renamed", user_id, profile))
        else:
            event = ProfileEvent(room, user_id, profile.name, profile.status, profile.colour)
            await self._hub.send_to_group(room_group(room), event)

    async def announce_left(self, room: str, *user_ids: str) -> None:
        """Publish "left" of those of the users who are not in the room.

        Where a room is known to be crowded nothing is announced, so it is not listed for this: the
        timer removes the rows.
        """
        if room not in self._crowds:
            await self._announce_absent(room, user_ids)

    async def _announce_absent(self, room: str, user_ids: Iterable[str]) -> None:
        roster = await self.roster(room)
        absent = sorted(set(user_ids) - set(roster.users))
        # An error of one user's must not cancel the others: a row may be removed by then. All at
        # once, because rows that are removed together share transactions.
        removals = await asyncio.gather(
            *(_catch(self._announced.remove, room, one) for one in absent)
        )
        removed = [user for user, outcome in zip(absent, removals, strict=True) if outcome is True]
        outcomes = [*removals, *(await self._announce_left(room, removed, roster))]
        for error in outcomes:
            if isinstance(error, AzureError):
                raise error

    async def _announce_left(
        self, room: str, user_ids: Sequence[str], roster: Roster
    ) -> list[bool | AzureError]:
        """Publish "left" of users whose rows were removed; returns the errors.

        A user who came back after the listing has found the row, so "joined" was not published. The
        user is listed now and gets the row back, and "left" is not published either. After an error
        all get their rows back, so that the timer announces them.
        """
        if not user_ids:
            return []
        errors: list[bool | AzureError] = []
        try:
            present = set((await self.roster(room)).users)
        except AzureError as error:
            present = set(user_ids)
            errors.append(error)

        async def announce(user_id: str) -> bool:
            announced = roster.announced.get(user_id)
            profile = announced or await self._profiles.find_or_default(user_id)
            if user_id in present:
                return await self._announced.add(room, user_id, profile)
            if not roster.crowded:
                await self._notices.publish(room, PresenceChange("left", user_id, profile.name))
            return True

        errors += await asyncio.gather(*(_catch(announce, user_id) for user_id in user_ids))
        gone = [user_id for user_id in user_ids if user_id not in present]
        return [*errors, await _catch(self._announce_returned, room, gone)]

    async def _announce_returned(self, room: str, user_ids: Sequence[str]) -> bool:
        """Publish "joined" of users who came back while their "left" was published.

        Their "joined" may have been published before it, and clients would not show them.
        """
        if not user_ids:
            return False
        roster = await self.roster(room)
        for user_id in set(user_ids) & set(roster.users):
            profile = roster.announced.get(user_id)
            if profile is None:
                await self.announce_joined(room, user_id, roster)
            elif not roster.crowded:
                await self._notices.publish(room, _change("joined", user_id, profile))
        return True

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
                announced = sorted(
                    (await self._announced.read_all()).items(), key=lambda _: chance()
                )
                for start in range(0, len(announced), RECONCILE_BATCH_ROOMS):
                    await self._reconcile(announced[start : start + RECONCILE_BATCH_ROOMS], found)
        except TimeoutError:
            log.warning("presence: %d rooms are reconciled, storage is slow", len(found.rosters))
        return found

    async def _reconcile(
        self, announced: Sequence[tuple[str, set[str]]], found: Reconciliation
    ) -> None:
        """Correct one batch of rooms. A room that fails is corrected by a later run."""
        left: dict[str, set[str]] = {}

        async def compare(room: str, users: set[str]) -> None:
            roster = found.rosters[room] = await self.roster(room)
            if absent := users - set(roster.users):
                left[room] = absent
            for user in set(roster.users) - users:
                await self.announce_joined(room, user, roster)
                found.corrections += 1

        await gather_limited(_try(compare, *one) for one in announced)

        async def announce(room: str, users: set[str]) -> None:
            await self._announce_absent(room, users)
            found.rosters[room] = await self.roster(room)

        if left:
            await self._sleep(GRACE_SECONDS)
        await gather_limited(_try(announce, *one) for one in left.items())
        found.corrections += sum(map(len, left.values()))


async def _catch(call: Callable[..., Awaitable[bool]], *arguments: Any) -> bool | AzureError:
    try:
        return await call(*arguments)
    except AzureError as error:
        return error


async def _try(correct: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    try:
        await correct(*arguments)
    except AzureError as error:
        log.warning("presence: a room is not reconciled: %s", type(error).__name__)


async def _done(access: Awaitable[object] | None) -> None:
    if access is not None:
        await access


def _change(event: str, user_id: str, profile: Profile) -> PresenceChange:
    return PresenceChange(event, user_id, profile.name, profile.status, profile.colour)


@cache
def presence() -> Presence:
    """The presence of this process."""
    return Presence(tables(), hub(), profiles=profiles())
