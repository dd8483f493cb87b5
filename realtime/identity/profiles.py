"""Profiles: what users show of themselves, in the table `profiles`.

A profile is stored when its user connects for the first time, so that whoever only asks for a
session costs no storage. The name of a user without a profile is the readable part of the id.
"""

import time
from collections.abc import Callable
from functools import cache

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
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
        row = await self._find_row(user_id)
        profile = self._cached[user_id] = None if row is None else _parse(row)
        return profile

    async def _find_row(self, user_id: str) -> Row | None:
        try:
            row: Row = await self._tables.open("profiles").get_entity(user_id, _ROW_KEY)
        except ResourceNotFoundError:
            return None
        return row

    async def add(self, user_id: str, name: str) -> Profile:
        """The profile of a user who connects with this name; it is stored if it is new."""
        cached = self._cached.get(user_id)
        if cached and cached.name == name:  # Nothing to store.
            return cached
        _, profile = await self.change(
            user_id, Profile(name), lambda one: one if one.chosen else replace(one, name=name)
        )
        return profile

    async def change(
        self, user_id: str, default: Profile, change: Callable[[Profile], Profile]
    ) -> tuple[Profile, Profile]:
        """Change a profile, or `default` if there is none; returns it before and after.

        The change is applied again if another one was faster.
        """
        table = self._tables.open("profiles")
        while True:
            row = await self._find_row(user_id)
            before = default if row is None else _parse(row)
            after = change(before)
            try:
                if row is None:
                    await table.create_entity(_encode(user_id, after))
                elif after != before:
                    await table.update_entity(
                        _encode(user_id, after),
                        mode=UpdateMode.REPLACE,
                        etag=row.metadata["etag"],  # type: ignore[attr-defined] # the SDK's dict
                        match_condition=MatchConditions.IfNotModified,
                    )
            except HttpResponseError as error:
                if error.status_code not in {404, 409, 412}:
                    raise
            else:
                self._cached[user_id] = after
                return before, after

    async def remove(self, user_id: str) -> None:
        await self._tables.open("profiles").delete_entity(user_id, _ROW_KEY)
        self._cached.pop(user_id, None)


def _parse(row: Row) -> Profile:
    return Profile(row["name"], row.get("status", ""), row.get("colour"), row.get("chosen", False))


def _encode(user_id: str, profile: Profile) -> Row:
    row: Row = {
        "PartitionKey": user_id,
        "RowKey": _ROW_KEY,
        "name": profile.name,
        "status": profile.status,
        "chosen": profile.chosen,
    }
    return row if profile.colour is None else {**row, "colour": profile.colour}


@cache
def profiles() -> Profiles:
    """The profiles as this process reads them."""
    return Profiles(tables())
