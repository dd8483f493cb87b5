"""Deleted users: the table `deletions`, one partition. An id in it is never used again.

deleted:<user>    the user is deleted, since `timestamp`
pending:<user>    data of the user is still being removed
"""

import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import cache

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableTransactionError
from msgspec import Struct

from realtime.azure.operations import Insert
from realtime.azure.tables import Row, Table, Tables, tables
from realtime.errors import ApiError
from realtime.identity.refusal_version import AbsentRows, RefusalVersion, refusal_version
from realtime.messages import format_timestamp
from realtime.names import DELETED_USER

PARTITION = "deletions"

_PENDING = "pending:"


class Deletion(Struct, frozen=True):
    """`began` is the time of the deletion; `pending` is true while data is still being removed."""

    user_id: str
    began: datetime
    pending: bool


class Deletions:
    """The deletions of all users."""

    def __init__(
        self,
        tables: Tables,
        clock: Callable[[], float] = time.monotonic,
        *,
        version: RefusalVersion | None = None,
    ) -> None:
        self._tables = tables
        self._version = version or RefusalVersion(tables)
        self._absent = AbsentRows(self._version, self._is_deleted, clock=clock)

    def _table(self) -> Table:
        return self._tables.open("deletions")

    async def check(self, user_id: str) -> None:
        """Raises ApiError `user_deleted`, by the cache."""
        if user_id == DELETED_USER or await self._absent.exists(user_id):
            raise _deleted()

    async def check_now(self, user_id: str) -> None:
        """The same by the table as it is now."""
        if user_id == DELETED_USER or await self._absent.exists_now(user_id):
            raise _deleted()

    async def _is_deleted(self, user_id: str) -> bool:
        return await self._find_row(f"deleted:{user_id}") is not None

    async def begin(self, user_id: str, now: datetime) -> Deletion:
        """Mark a user as deleted; returns the deletion that is in progress or done, if any."""
        found = await self.find(user_id)
        if found and not found.pending:
            return found
        timestamp = format_timestamp(now)
        rows = [_row(f"{kind}:{user_id}", timestamp) for kind in ("deleted", "pending")]
        try:
            async with self._version.change():
                await self._table().submit([Insert(row) for row in rows])
        except TableTransactionError as error:
            if error.status_code != 409:
                raise
        self._absent.forget(user_id)
        found = await self.find(user_id)
        return found or Deletion(user_id, now, pending=True)

    async def find(self, user_id: str) -> Deletion | None:
        row = await self._find_row(f"deleted:{user_id}")
        if row is None:
            return None
        pending = await self._find_row(f"{_PENDING}{user_id}")
        began = datetime.fromisoformat(row["timestamp"])
        return Deletion(user_id, began, pending=pending is not None)

    async def list_pending(self) -> AsyncIterator[str]:
        """The users whose data is still being removed."""
        rows = self._table().query_entities(
            "PartitionKey eq @deletions and RowKey ge 'pending:' and RowKey lt 'pending;'",
            parameters={"deletions": PARTITION},
        )
        async for row in rows:
            yield row["RowKey"].removeprefix(_PENDING)

    async def finish(self, user_id: str) -> None:
        """The data is removed; the user stays deleted."""
        await self._table().delete_entity(PARTITION, f"{_PENDING}{user_id}")

    async def _find_row(self, key: str) -> Row | None:
        try:
            row: Row = await self._table().get_entity(PARTITION, key)
        except ResourceNotFoundError:
            return None
        return row


def _row(key: str, timestamp: str) -> Row:
    return {"PartitionKey": PARTITION, "RowKey": key, "timestamp": timestamp}


def _deleted() -> ApiError:
    return ApiError("user_deleted", "This user is deleted.")


@cache
def deletions() -> Deletions:
    """The deletions as this process reads and writes them."""
    return Deletions(tables(), version=refusal_version())
