"""The version of all bans, deletions and ended sessions, in the table `versions`.

Whoever changes one of these lists renews the version. So what an instance has read under a version
still holds while the table has this version. Then a check reads the version instead of a row of its
user, and concurrent checks of all users share that read.
"""

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from functools import cache
from typing import Generic, TypeVar

from azure.core.exceptions import ResourceNotFoundError
from cachetools import TTLCache

from realtime.azure.tables import Tables, tables
from realtime.concurrency import SharedCalls

PARTITION = "refusals"

ABSENT_CACHE_SECONDS = 60.0
"""How long an instance uses that a row was absent, while the version stays. It bounds what a change
without a new version can do: of a writer that ended between both, or of a restored table."""

RECENT_CACHE_SECONDS = 5.0
"""How long an instance uses that a row was absent, without a look at the version."""

MAX_CACHED_ABSENT_ROWS = 10_000

NO_VERSION = "none"
"""The version before the first change."""

K = TypeVar("K", bound=Hashable)


class RefusalVersion:
    """The version as this instance reads and renews it."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._reads = SharedCalls[str, str]()
        self._latest = ""

    @property
    def latest(self) -> str:
        """The version that was read last, "" before the first read."""
        return self._latest

    async def read(self) -> str:
        """The version as the table has it now. Concurrent callers share the read."""
        return await self._reads.run(PARTITION, self._read)

    async def _read(self) -> str:
        try:
            row = await self._tables.open("versions").get_entity(PARTITION, PARTITION)
        except ResourceNotFoundError:
            self._latest = NO_VERSION
        else:
            self._latest = row["version"]
        return self._latest

    @asynccontextmanager
    async def change(self) -> AsyncIterator[None]:
        """A change of a list. When this ends, every check of every instance sees the change.

        The version is renewed before it, too: then the change is seen even if this process ends
        after it, except by a check that runs at this moment. It is renewed after an error, too: the
        change may be stored although its response is lost.
        """
        await self._renew()
        try:
            yield
        finally:
            await self._renew()

    async def _renew(self) -> None:
        row = {"PartitionKey": PARTITION, "RowKey": PARTITION, "version": secrets.token_urlsafe(12)}
        await self._tables.open("versions").upsert_entity(row)


class AbsentRows(Generic[K]):
    """The rows of a list that were absent, with the version under which they were read.

    `find` reads a row from the table and returns whether it exists.
    """

    def __init__(
        self,
        version: RefusalVersion,
        find: Callable[[K], Awaitable[bool]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._version = version
        self._find = find
        self._absent: TTLCache[K, str] = TTLCache(
            MAX_CACHED_ABSENT_ROWS, ABSENT_CACHE_SECONDS, timer=clock
        )
        self._recent: TTLCache[K, bool] = TTLCache(
            MAX_CACHED_ABSENT_ROWS, RECENT_CACHE_SECONDS, timer=clock
        )

    async def exists(self, key: K) -> bool:
        """Whether the row exists, by what was read in the last seconds."""
        return key not in self._recent and await self.exists_now(key)

    async def exists_now(self, key: K) -> bool:
        """Whether the row exists now. It is read unless the version tells."""
        found = await self._exists(key)
        if found:
            self.forget(key)
        else:
            self._recent[key] = True
        return found

    def forget(self, key: K) -> None:
        """This instance adds the row."""
        self._recent.pop(key, None)

    async def _exists(self, key: K) -> bool:
        """A row is cached under a version that was read before the row was."""
        known = self._absent.get(key)
        if known is None and self._version.latest:
            version = self._version.latest
        else:
            version = await self._version.read()
        if known == version:
            return False
        found = await self._find(key)
        if found:
            self._absent.pop(key, None)
        else:
            self._absent[key] = version
        return found


@cache
def refusal_version() -> RefusalVersion:
    """The version for this process."""
    return RefusalVersion(tables())
