"""Users whom a user blocks: the table `blocks`, a partition for each user who blocks."""

import asyncio
from functools import cache

from azure.core.exceptions import ResourceNotFoundError

from realtime.azure.tables import Tables, tables
from realtime.errors import ApiError

MAX_BLOCKS = 500
"""Users that one user may block: a client reads all of them at its start."""


class Blocks:
    """The blocks of all users."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, user_id: str, blocked: str) -> None:
        """Raises ApiError `invalid_target` or `too_many_blocks`."""
        if user_id == blocked:
            raise ApiError("invalid_target", "You cannot block yourself.")
        present = await self.list_blocked(user_id)
        if blocked not in present and len(present) >= MAX_BLOCKS:
            raise ApiError("too_many_blocks", f"You may block at most {MAX_BLOCKS} users.")
        table = self._tables.open("blocks")
        await table.upsert_entity({"PartitionKey": user_id, "RowKey": blocked})

    async def remove(self, user_id: str, blocked: str) -> None:
        await self._tables.open("blocks").delete_entity(user_id, blocked)

    async def has(self, user_id: str, other: str) -> bool:
        """Whether a user blocks another one."""
        try:
            await self._tables.open("blocks").get_entity(user_id, other)
        except ResourceNotFoundError:
            return False
        return True

    async def are_apart(self, user_id: str, other: str) -> bool:
        """Whether one of two users blocks the other."""
        return any(await asyncio.gather(self.has(user_id, other), self.has(other, user_id)))

    async def list_blocked(self, user_id: str) -> list[str]:
        """The users whom a user blocks, by id."""
        rows = self._tables.open("blocks").query_entities(
            "PartitionKey eq @user", parameters={"user": user_id}, select=["RowKey"]
        )
        return [row["RowKey"] async for row in rows]

    async def remove_all(self, user_id: str) -> None:
        """Remove the blocks that a user has set."""
        for blocked in await self.list_blocked(user_id):
            await self.remove(user_id, blocked)


@cache
def blocks() -> Blocks:
    """The blocks as this process reads them."""
    return Blocks(tables())
