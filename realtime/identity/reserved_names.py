"""Names of users for whom a server vouches, in the table `names`: no guest may look like them.

A name's skeleton is a partition, with a row for each user who has such a name. `chosen` is true for
a name that the user has chosen: it is reserved while the user has it. A name that a server has
given is reserved until the user is deleted.
"""

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from cachetools import TTLCache

from realtime.azure.tables import Row, Tables, tables
from realtime.errors import ApiError
from realtime.identity.display_names import make_skeleton

FREE_CACHE_SECONDS = 10.0
"""How long a name counts as free. Who enters in this time could have entered before it, too."""

MAX_CACHED_NAMES = 10_000


class ReservedNames:
    """The names of all vouched users."""

    def __init__(self, tables: Tables, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._tables = tables
        self._free: TTLCache[str, bool] = TTLCache(
            MAX_CACHED_NAMES, FREE_CACHE_SECONDS, timer=clock
        )

    async def add(self, name: str, user_id: str) -> None:
        """Reserve a name that a server gives to a user."""
        row = _row(name, user_id, chosen=False)
        await self._tables.open("names").upsert_entity(row)
        self._free.pop(row["PartitionKey"], None)

    async def add_chosen(self, name: str, user_id: str) -> None:
        """Reserve a name that a vouched user chooses, unless it is reserved for this user."""
        row = _row(name, user_id, chosen=True)
        with suppress(ResourceExistsError):
            await self._tables.open("names").create_entity(row)
        self._free.pop(row["PartitionKey"], None)

    async def remove_chosen(self, name: str, user_id: str) -> None:
        """Release a name that the user has chosen before."""
        table = self._tables.open("names")
        with suppress(ResourceNotFoundError):
            row = await table.get_entity(_partition(name), user_id)
            if row.get("chosen", False):
                await table.delete_entity(_partition(name), user_id)

    async def check(self, name: str, user_id: str) -> None:
        """Raises ApiError `name_taken` if the name looks like that of another, vouched user."""
        partition = _partition(name)
        if partition in self._free:
            return
        rows = self._tables.open("names").query_entities(
            "PartitionKey eq @skeleton", parameters={"skeleton": partition}
        )
        owners = {row["RowKey"] async for row in rows}
        if not owners:
            self._free[partition] = True
        if owners - {user_id} and user_id not in owners:
            raise ApiError("name_taken", "This name looks like another user's; choose another.")

    async def remove_all(self, user_id: str) -> None:
        """Remove all names of a user. Reads the whole table: it has no index by user."""
        table = self._tables.open("names")
        rows = table.query_entities("RowKey eq @user", parameters={"user": user_id})
        for partition in [row["PartitionKey"] async for row in rows]:
            await table.delete_entity(partition, user_id)


def _row(name: str, user_id: str, *, chosen: bool) -> Row:
    return {"PartitionKey": _partition(name), "RowKey": user_id, "chosen": chosen}


def _partition(name: str) -> str:
    return hashlib.sha256(make_skeleton(name).encode()).hexdigest()[:32]


@cache
def reserved_names() -> ReservedNames:
    """The names as this process reads them."""
    return ReservedNames(tables())
