"""Banned users: the table `bans`, and the setting BANNED_USERS."""

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import cache

from azure.core.exceptions import ResourceNotFoundError

from realtime.azure.tables import Tables, tables
from realtime.errors import ApiError
from realtime.settings import settings

PARTITION = "bans"

BANS_CACHE_SECONDS = 5.0
"""How long an instance uses the list of bans that it has read."""


class Bans:
    """All bans. A ban is in force until it is removed."""

    def __init__(
        self,
        tables: Tables,
        banned_by_setting: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tables = tables
        self._banned_by_setting = frozenset(banned_by_setting)
        self._banned: frozenset[str] = frozenset()
        self._cached_until = -1.0
        self._reading: asyncio.Future[None] | None = None
        self._clock = clock

    async def check(self, user_id: str) -> None:
        """Raises ApiError `banned`, by the cached list."""
        if await self.is_banned(user_id):
            raise _banned()

    async def check_now(self, user_id: str) -> None:
        """The same by the table as it is now, for a connection that will last."""
        table = self._tables.open("bans")
        try:
            await table.get_entity(PARTITION, user_id)
        except ResourceNotFoundError:
            if user_id in self._banned_by_setting:
                raise _banned() from None
        else:
            raise _banned()

    async def is_banned(self, user_id: str) -> bool:
        """By the cached list."""
        if self._clock() >= self._cached_until:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.ensure_future(self._read())
            await asyncio.shield(self._reading)
        return user_id in self._banned_by_setting or user_id in self._banned

    async def _read(self) -> None:
        table = self._tables.open("bans")
        rows = table.query_entities("PartitionKey eq @bans", parameters={"bans": PARTITION})
        self._banned = frozenset([row["RowKey"] async for row in rows])
        self._cached_until = self._clock() + BANS_CACHE_SECONDS

    async def add(self, user_id: str) -> None:
        table = self._tables.open("bans")
        await table.upsert_entity({"PartitionKey": PARTITION, "RowKey": user_id})
        self._cached_until = -1.0

    async def remove(self, user_id: str) -> None:
        table = self._tables.open("bans")
        await table.delete_entity(PARTITION, user_id)
        self._cached_until = -1.0


def _banned() -> ApiError:
    return ApiError("banned", "This user is banned.")


@cache
def bans() -> Bans:
    """The bans as this process reads them."""
    return Bans(tables(), filter(None, map(str.strip, settings().banned_users.split(","))))
