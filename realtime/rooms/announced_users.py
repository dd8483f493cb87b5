"""The table `presence`: who was announced in a room. PartitionKey room, RowKey user.

A row has a copy of the user's profile, so that a roster is one query whatever its users show of
themselves.
"""

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import UpdateMode

from realtime.azure.operations import Delete, Insert, Replace
from realtime.azure.row_writes import RowWrites
from realtime.azure.tables import Row, Table, Tables
from realtime.identity.profiles import Profile
from realtime.names import display_name


class AnnouncedUsers:
    """The announced users of all rooms."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._writes = RowWrites(self._table)

    def _table(self) -> Table:
        return self._tables.open("presence")

    async def read_profiles(self, room: str) -> dict[str, Profile]:
        """The profiles of the announced users of a room, by user id."""
        rows = self._table().query_entities(
            "PartitionKey eq @room",
            parameters={"room": room},
            select=["RowKey", "name", "status", "colour"],
        )
        return {row["RowKey"]: _parse_profile(row) async for row in rows}

    async def count(self, room: str) -> int:
        """Their number: one query for 1,000 users."""
        rows = self._table().query_entities(
            "PartitionKey eq @room", parameters={"room": room}, select=["RowKey"]
        )
        return len([row async for row in rows])

    async def read_all(self) -> dict[str, set[str]]:
        """The announced users by room. Reads the whole table."""
        announced: dict[str, set[str]] = {}
        async for row in self._table().list_entities():
            announced.setdefault(row["PartitionKey"], set()).add(row["RowKey"])
        return announced

    async def add(self, room: str, user_id: str, profile: Profile) -> bool:
        """Whether the user was not announced before."""
        return await self._writes.submit(Insert(_row(room, user_id, profile)))

    async def put(self, room: str, user_id: str, profile: Profile) -> None:
        """Add the user, or replace the profile: where nobody asks whether the user is new."""
        await self._writes.submit(Replace(_row(room, user_id, profile)))

    async def replace(self, room: str, user_id: str, profile: Profile) -> bool:
        """Whether the user was announced and has the new profile now."""
        row = _row(room, user_id, profile)
        try:
            await self._table().update_entity(row, mode=UpdateMode.REPLACE)
        except ResourceNotFoundError:
            return False
        return True

    async def remove(self, room: str, user_id: str) -> bool:
        """Whether the user was announced."""
        return await self._writes.submit(Delete(room, user_id))


def _row(room: str, user_id: str, profile: Profile) -> Row:
    """What the user has not chosen has no property."""
    row: Row = {"PartitionKey": room, "RowKey": user_id, "name": profile.name}
    chosen = {"status": profile.status or None, "colour": profile.colour}
    return row | {name: value for name, value in chosen.items() if value is not None}


def _parse_profile(row: Row) -> Profile:
    name = row.get("name") or display_name(row["RowKey"])
    return Profile(name, row.get("status", ""), row.get("colour"))
