"""Sessions that were ended before their time, in the table `revocations`.

A user is a partition, with a row for each ended session. A timer removes the row when no token of
the session is valid any more.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache

from azure.core.exceptions import ResourceNotFoundError

from realtime.azure.purge import PURGE_BATCH_ROWS, purge_rows
from realtime.azure.tables import Tables, tables
from realtime.concurrency import gather_limited
from realtime.errors import ApiError
from realtime.identity.refusal_version import AbsentRows, RefusalVersion, refusal_version
from realtime.identity.sessions import SLIDING_DAYS, Session

PURGE_DAYS = SLIDING_DAYS + 1
"""An ended session is not renewed, so the last of its tokens ends SLIDING_DAYS later."""


class Revocations:
    """The ended sessions of all users."""

    def __init__(
        self,
        tables: Tables,
        clock: Callable[[], float] = time.monotonic,
        *,
        version: RefusalVersion | None = None,
    ) -> None:
        self._tables = tables
        self._version = version or RefusalVersion(tables)
        self._absent = AbsentRows(self._version, self._has_row, clock=clock)

    async def check(self, session: Session) -> None:
        """Raises ApiError `unauthenticated` for an ended session."""
        if await self._absent.exists((session.user_id, session.id)):
            raise _ended()

    async def check_now(self, user_id: str, session_id: str) -> None:
        """The same by the table as it is now, for a connection that will last."""
        if await self._absent.exists_now((user_id, session_id)):
            raise _ended()

    async def _has_row(self, keys: tuple[str, str]) -> bool:
        try:
            await self._tables.open("revocations").get_entity(*keys)
        except ResourceNotFoundError:
            return False
        return True

    async def add(self, session: Session) -> None:
        row = {"PartitionKey": session.user_id, "RowKey": session.id, "began": str(session.began)}
        async with self._version.change():
            await self._tables.open("revocations").upsert_entity(row)
        self._absent.forget((session.user_id, session.id))

    async def remove_all(self, user_id: str) -> None:
        """Remove the rows of a user whose sessions are all refused."""
        table = self._tables.open("revocations")
        rows = table.query_entities("PartitionKey eq @user", parameters={"user": user_id})
        for session_id in [row["RowKey"] async for row in rows]:
            await table.delete_entity(user_id, session_id)

    async def purge(self, now: datetime) -> int:
        """Remove the rows of sessions that ended more than PURGE_DAYS ago; returns how many.

        The time and the next run are those of `purge_rows`.
        """
        table = self._tables.open("revocations")
        limit = f"{now - timedelta(days=PURGE_DAYS):%Y-%m-%dT%H:%M:%SZ}"
        return await purge_rows(
            "revocations",
            lambda: table.query_entities(
                f"Timestamp lt datetime'{limit}'",
                select=["PartitionKey", "RowKey"],
                results_per_page=PURGE_BATCH_ROWS,
            ),
            lambda rows: gather_limited(
                table.delete_entity(row["PartitionKey"], row["RowKey"]) for row in rows
            ),
        )


def _ended() -> ApiError:
    return ApiError("unauthenticated", "The session has ended; negotiate again.")


@cache
def revocations() -> Revocations:
    """The ended sessions as this process reads them."""
    return Revocations(tables(), version=refusal_version())
