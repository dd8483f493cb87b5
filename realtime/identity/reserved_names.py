"""Names of users for whom a server vouches, in the table `names`: no guest may look like them.

A name's skeleton is a partition, with a row for each user who has such a name.
"""

import hashlib
from functools import cache

from realtime.azure.tables import Tables, tables
from realtime.errors import ApiError
from realtime.identity.display_names import make_skeleton


class ReservedNames:
    """The names of all vouched users."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, name: str, user_id: str) -> None:
        row = {"PartitionKey": _partition(name), "RowKey": user_id}
        await self._tables.open("names").upsert_entity(row)

    async def check(self, name: str, user_id: str) -> None:
        """Raises ApiError `name_taken` if the name looks like that of another, vouched user."""
        rows = self._tables.open("names").query_entities(
            "PartitionKey eq @skeleton", parameters={"skeleton": _partition(name)}
        )
        owners = {row["RowKey"] async for row in rows}
        if owners - {user_id} and user_id not in owners:
            raise ApiError("name_taken", "This name looks like another user's; choose another.")

    async def remove_all(self, user_id: str) -> None:
        """Remove all names of a user. Reads the whole table: it has no index by user."""
        table = self._tables.open("names")
        rows = table.query_entities("RowKey eq @user", parameters={"user": user_id})
        for partition in [row["PartitionKey"] async for row in rows]:
            await table.delete_entity(partition, user_id)


def _partition(name: str) -> str:
    return hashlib.sha256(make_skeleton(name).encode()).hexdigest()[:32]


@cache
def reserved_names() -> ReservedNames:
    """The names as this process reads them."""
    return ReservedNames(tables())
