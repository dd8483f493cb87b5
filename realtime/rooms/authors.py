"""The logs that each author has written: the table `authors`, a partition for each author.

It finds the logs of one user without reading the others. In a log, the rows `i:<user>:` name the
user's entries. A row is written before the author's first entry in a log; an instance caches that
for some hours, so a message usually costs no request.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime, timedelta

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from cachetools import TTLCache

from realtime.azure.tables import Tables
from realtime.concurrency import gather_limited

AUTHOR_CACHE_SECONDS = 6 * 3600.0
"""How long an instance caches that a row is stored; then it writes the row again."""

MIN_ROW_AGE = timedelta(hours=12)
"""A row that was written later is not removed: an instance may have it in its cache."""

MAX_CACHED_AUTHORS = 20_000


class Authors:
    """The authors of all logs, as one process writes them."""

    def __init__(
        self,
        tables: Tables,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tables = tables
        self._now = now
        self._stored: TTLCache[tuple[str, str], bool] = TTLCache(
            MAX_CACHED_AUTHORS, AUTHOR_CACHE_SECONDS, timer=clock
        )

    async def add(self, log: str, users: Iterable[str]) -> None:
        """Store that users write in a log. This comes before their entries."""
        fresh = {user for user in users if (user, log) not in self._stored}
        if fresh:
            await gather_limited(self._write(user, log) for user in fresh)

    async def _write(self, user: str, log: str) -> None:
        table = self._tables.open("authors")
        await table.upsert_entity({"PartitionKey": user, "RowKey": log})
        self._stored[user, log] = True

    async def list_logs(self, user: str, first: str = "") -> AsyncIterator[str]:
        """The names of the logs in which a user has written, from `first` on, in their order."""
        rows = self._tables.open("authors").query_entities(
            "PartitionKey eq @user and RowKey ge @first",
            parameters={"user": user, "first": first},
            select=["RowKey"],
        )
        async for row in rows:
            yield row["RowKey"]

    async def remove(self, user: str, log: str) -> None:
        """Remove the row of a user who cannot write any more."""
        self._stored.pop((user, log), None)
        await self._tables.open("authors").delete_entity(user, log)

    async def remove_unused(
        self, log: str, users: Iterable[str], list_entries: Callable[[str], AsyncIterator[object]]
    ) -> None:
        """Remove the rows of users who have no entries left in a log.

        A user who writes at the same time replaces the row first, so that its removal fails.
        """
        await gather_limited(self._remove_unused(log, user, list_entries) for user in users)

    async def _remove_unused(
        self, log: str, user: str, list_entries: Callable[[str], AsyncIterator[object]]
    ) -> None:
        table = self._tables.open("authors")
        try:
            row = await table.get_entity(user, log)
            if self._now() - row.metadata["timestamp"] < MIN_ROW_AGE:
                return
            async for _ in list_entries(user):
                return
            await table.delete_entity(
                user,
                log,
                etag=row.metadata["etag"],
                match_condition=MatchConditions.IfNotModified,
            )
        except HttpResponseError as error:
            if error.status_code not in {404, 412}:
                raise
