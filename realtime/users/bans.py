"""Banned users: the table `bans`, and the setting BANNED_USERS."""

import time
from collections.abc import Callable, Iterable
from functools import cache

from azure.core.exceptions import ResourceNotFoundError

from realtime.azure.tables import Tables, tables
from realtime.concurrency import SharedCalls
from realtime.errors import ApiError
from realtime.identity.refusal_version import RefusalVersion, refusal_version
from realtime.settings import settings

PARTITION = "bans"

BANS_CACHE_SECONDS = 5.0
"""How long an instance uses the list of bans that it has read."""

MAX_SHARED_BANS = 200
"""Bans that concurrent checks read together, in about the time of a single row."""


class Bans:
    """All bans. A ban is in force until it is removed."""

    def __init__(
        self,
        tables: Tables,
        banned_by_setting: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
        *,
        version: RefusalVersion | None = None,
    ) -> None:
        self._tables = tables
        self._version = version or RefusalVersion(tables)
        self._banned_version = ""
        self._banned_by_setting = frozenset(banned_by_setting)
        self._banned: frozenset[str] = frozenset()
        self._cached_until = -1.0
        self._changes = 0
        self._reads = SharedCalls[str, frozenset[str]]()
        self._clock = clock

    async def check(self, user_id: str) -> None:
        """Raises ApiError `banned`, by the cached list."""
        if await self.is_banned(user_id):
            raise _banned()

    async def check_now(self, user_id: str) -> None:
        """The same by the table as it is now, for a connection that will last.

        The cached list holds while its version does. Else concurrent checks share the read of a
        short list; with a long one each reads its own row.
        """
        is_cached = self._clock() < self._cached_until
        if is_cached and self._banned_version == await self._version.read():
            banned = user_id in self._banned
        elif len(self._banned) <= MAX_SHARED_BANS:
            banned = user_id in await self._reads.run(PARTITION, self._read)
        else:
            banned = await self._has_row(user_id)
        if banned or user_id in self._banned_by_setting:
            raise _banned()

    async def is_banned(self, user_id: str) -> bool:
        """By the cached list."""
        is_cached = self._clock() < self._cached_until
        banned = self._banned if is_cached else await self._reads.run(PARTITION, self._read)
        return user_id in self._banned_by_setting or user_id in banned

    async def _has_row(self, user_id: str) -> bool:
        try:
            await self._tables.open("bans").get_entity(PARTITION, user_id)
        except ResourceNotFoundError:
            return False
        return True

    async def _read(self) -> frozenset[str]:
        changes, version = self._changes, self._version.latest
        rows = self._tables.open("bans").query_entities(
            "PartitionKey eq @bans", parameters={"bans": PARTITION}, select=["RowKey"]
        )
        banned = frozenset([row["RowKey"] async for row in rows])
        if changes == self._changes:  # Otherwise the list may be older than a change of it.
            self._banned, self._banned_version = banned, version
            self._cached_until = self._clock() + BANS_CACHE_SECONDS
        return banned

    async def add(self, user_id: str) -> None:
        table = self._tables.open("bans")
        async with self._version.change():
            await table.upsert_entity({"PartitionKey": PARTITION, "RowKey": user_id})
        self._forget()

    async def remove(self, user_id: str) -> None:
        table = self._tables.open("bans")
        async with self._version.change():
            await table.delete_entity(PARTITION, user_id)
        self._forget()

    def _forget(self) -> None:
        self._changes += 1
        self._cached_until = -1.0


def _banned() -> ApiError:
    return ApiError("banned", "This user is banned.")


@cache
def bans() -> Bans:
    """The bans as this process reads them."""
    banned_by_setting = filter(None, map(str.strip, settings().banned_users.split(",")))
    return Bans(tables(), banned_by_setting, version=refusal_version())
