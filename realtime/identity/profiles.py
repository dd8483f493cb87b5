"""Profiles: what users show of themselves, in the table `profiles`.

A profile is stored when its user connects for the first time, so that whoever only asks for a
session costs no storage. The name of a user without a profile is the readable part of the id.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.data.tables import UpdateMode
from cachetools import TTLCache
from msgspec import Struct
from msgspec.structs import replace

from realtime.azure.tables import Row, Tables, tables
from realtime.names import display_name

PROFILE_CACHE_SECONDS = 10.0
"""How long an instance uses a profile that it has read."""

MAX_CACHED_PROFILES = 10_000

_ROW_KEY = "profile"


class Profile(Struct, frozen=True):
    """`status` is a short text, `colour` a number of the page's palette.

    `chosen` is true if the user has set the name here. Otherwise it follows the session's or the
    account's.
    """

    name: str
    status: str = ""
    colour: int | None = None
    chosen: bool = False


class Profiles:
    """The profiles of all users."""

    def __init__(self, tables: Tables, clock: Callable[[], float] = time.monotonic) -> None:
        self._tables = tables
        self._cached: TTLCache[str, Profile | None] = TTLCache(
            MAX_CACHED_PROFILES, PROFILE_CACHE_SECONDS, timer=clock
        )

    async def name_of(self, user_id: str) -> str:
        """The display name of a user, by the cached profile."""
        return (await self.find_or_default(user_id)).name

    async def find_or_default(self, user_id: str) -> Profile:
        """The cached profile; without one the readable part of the id is the name."""
        return await self.find_cached(user_id) or Profile(display_name(user_id))

    async def find_cached(self, user_id: str) -> Profile | None:
        if user_id in self._cached:
            return self._cached.get(user_id)
        return await self.find(user_id)

    async def find(self, user_id: str) -> Profile | None:
        """The profile as the table has it now."""
        try:
            row = await self._tables.open("profiles").get_entity(user_id, _ROW_KEY)
        except ResourceNotFoundError:
            profile = None
        else:
            profile = Profile(
                row["name"], row.get("status", ""), row.get("colour"), row.get("chosen", False)
            )
        self._cached[user_id] = profile
        return profile

    async def add(self, user_id: str, name: str) -> Profile:
        """The profile of a user who connects with this name; it is stored if it is new."""
        cached = self._cached.get(user_id)
        if cached and cached.name == name:  # Nothing to store.
            return cached
        if profile := await self.find(user_id):
            if not profile.chosen and profile.name != name:
                profile = replace(profile, name=name)
                await self.put(user_id, profile)
            return profile
        try:
            await self._tables.open("profiles").create_entity(_row(user_id, name=name))
        except ResourceExistsError:  # Another connection of the user was faster.
            return await self.find(user_id) or Profile(name)
        return self._remember(user_id, Profile(name))

    async def put(self, user_id: str, profile: Profile) -> None:
        """Replace a profile."""
        fields: Row = {"name": profile.name, "status": profile.status, "chosen": profile.chosen}
        if profile.colour is not None:
            fields["colour"] = profile.colour
        row = _row(user_id, **fields)
        await self._tables.open("profiles").upsert_entity(row, mode=UpdateMode.REPLACE)
        self._remember(user_id, profile)

    async def remove(self, user_id: str) -> None:
        await self._tables.open("profiles").delete_entity(user_id, _ROW_KEY)
        self._cached.pop(user_id, None)

    def _remember(self, user_id: str, profile: Profile) -> Profile:
        self._cached[user_id] = profile
        return profile


def _row(user_id: str, **fields: Any) -> Row:
    return {"PartitionKey": user_id, "RowKey": _ROW_KEY, **fields}


@cache
def profiles() -> Profiles:
    """The profiles as this process reads them."""
    return Profiles(tables())
