"""The rooms that somebody has set up: the table `rooms`, a partition for each.

room             the settings, and the roles of owners and moderators
member:<user>    whether the user is a member, muted or removed

A room that was opened by being joined has no rows. The partition `directory:` has a row for each
open room that is listed.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal

import msgspec
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableTransactionError, UpdateMode
from msgspec.structs import replace

from realtime.azure.operations import Delete, Insert, Operation, Replace
from realtime.azure.tables import Row, Table, Tables, tables

PrivilegedRole = Literal["owner", "moderator"]

PrivilegedRoles = dict[str, PrivilegedRole]

_DIRECTORY = "directory:"
_MEMBER_PREFIX = "member:"
_MEMBERS_END = "member;"


class StoredRoom(msgspec.Struct, frozen=True):
    """The row `room`. `roles` has the owners and moderators by user id. Without etag: no row."""

    private: bool = False
    listed: bool = False
    title: str = ""
    topic: str = ""
    roles: Mapping[str, PrivilegedRole] = msgspec.field(default_factory=dict)
    etag: str = ""

    @property
    def exists(self) -> bool:
        return bool(self.etag)

    @property
    def owners(self) -> list[str]:
        return sorted(user for user, role in self.roles.items() if role == "owner")


class StoredMember(msgspec.Struct, frozen=True):
    """The row `member:<user>`. The times are RFC 3339, "" if the user is not muted or removed."""

    user_id: str
    member: bool = False
    muted_until: str = ""
    removed_until: str = ""
    etag: str = ""


class DirectoryRow(msgspec.Struct, frozen=True):
    room: str
    title: str
    topic: str


RoomChange = Callable[[StoredRoom, StoredMember], tuple[StoredRoom, StoredMember]]
"""The rows of a room and of one user after a change. Raises ApiError if it is not allowed."""


class RoomStore:
    """The rows of all rooms."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def _table(self) -> Table:
        return self._tables.open("rooms")

    async def read_room(self, room: str) -> StoredRoom:
        row = await self._find_row(room, "room")
        return StoredRoom() if row is None else _parse_room(row)

    async def read_member(self, room: str, user_id: str) -> StoredMember:
        row = await self._find_row(room, f"{_MEMBER_PREFIX}{user_id}")
        return StoredMember(user_id) if row is None else _parse_member(row)

    async def list_members(
        self, room: str, limit: int, after: str = ""
    ) -> tuple[list[StoredMember], str | None]:
        """One page by user id, and the id after which the next one starts, if there is one."""
        rows = self._table().query_entities(
            "PartitionKey eq @room and RowKey gt @low and RowKey lt @high",
            parameters={"room": room, "low": f"{_MEMBER_PREFIX}{after}", "high": _MEMBERS_END},
            results_per_page=limit + 1,
        )
        found: list[StoredMember] = []
        async for row in rows:
            if len(found) == limit:
                return found, found[-1].user_id
            found.append(_parse_member(row))
        return found, None

    async def change_room(
        self, room: str, change: Callable[[StoredRoom], StoredRoom]
    ) -> tuple[StoredRoom, StoredRoom]:
        """Create or change the settings; returns the rows before and after.

        The directory never lists a private room: its row is deleted before the room's is written.
        """
        while True:
            before = await self.read_room(room)
            after = change(before)
            if not _is_public(after):
                await self._table().delete_entity(_DIRECTORY, room)
            if await self._submit([_write_room(room, after)]):
                await self._update_directory(room, after)
                return before, after

    async def change_member(
        self, room: str, user_id: str, change: RoomChange
    ) -> tuple[StoredRoom, StoredMember]:
        """Change one user's row, and the roles in the room's row, in one transaction.

        Returns the rows after it. The change is applied again if another one was faster.
        """
        while True:
            stored = await self.read_room(room)
            member = await self.read_member(room, user_id)
            new_room, new_member = change(stored, member)
            operations: list[Operation] = []
            if new_room != stored:
                operations.append(_write_room(room, new_room))
            if new_member != member:
                operations += _write_member(room, new_member)
            if not operations or await self._submit(operations):
                return new_room, new_member

    async def find_rooms(self, user_id: str) -> list[str]:
        """The rooms in which a user has a role or a row. Reads the whole table."""
        rows = self._table().query_entities(
            "RowKey eq @member or (RowKey eq 'room' and roles ne '{}')",
            parameters={"member": f"{_MEMBER_PREFIX}{user_id}"},
            select=["PartitionKey", "RowKey", "roles"],
        )
        found = {
            row["PartitionKey"]: True
            async for row in rows
            if row["RowKey"] != "room" or user_id in _parse_roles(row)
        }
        return list(found)

    async def remove_user(self, room: str, user_id: str) -> None:
        """Remove the role and the row of a user."""

        def change(stored: StoredRoom, user: StoredMember) -> tuple[StoredRoom, StoredMember]:
            roles = {one: role for one, role in stored.roles.items() if one != user_id}
            return replace(stored, roles=roles), StoredMember(user_id, etag=user.etag)

        await self.change_member(room, user_id, change)

    async def list_directory(
        self, limit: int, after: str = ""
    ) -> tuple[list[DirectoryRow], str | None]:
        """One page of the open listed rooms by id, and the id after which the next one starts."""
        rows = self._table().query_entities(
            "PartitionKey eq @directory and RowKey gt @after",
            parameters={"directory": _DIRECTORY, "after": after},
            results_per_page=limit + 1,
        )
        found: list[DirectoryRow] = []
        async for row in rows:
            if len(found) == limit:
                return found, found[-1].room
            found.append(DirectoryRow(row["RowKey"], row["title"], row["topic"]))
        return found, None

    async def _update_directory(self, room: str, stored: StoredRoom) -> None:
        """Another instance may change the room meanwhile, so it is read again after each write.

        Whoever writes the directory last has then read the room as it is.
        """
        listed = _directory_row(room, stored)
        while True:
            if listed is None:
                await self._table().delete_entity(_DIRECTORY, room)
            else:
                await self._table().upsert_entity(listed, mode=UpdateMode.REPLACE)
            written, listed = listed, _directory_row(room, await self.read_room(room))
            if listed == written:
                return

    async def _find_row(self, room: str, key: str) -> Row | None:
        try:
            row: Row = await self._table().get_entity(room, key)
        except ResourceNotFoundError:
            return None
        return row

    async def _submit(self, operations: list[Operation]) -> bool:
        """False if a row has changed since it was read."""
        try:
            await self._table().submit(operations)
        except TableTransactionError as error:
            if error.status_code not in {404, 409, 412}:
                raise
            return False
        return True


def _is_public(stored: StoredRoom) -> bool:
    return stored.listed and not stored.private


def _directory_row(room: str, stored: StoredRoom) -> Row | None:
    """None for a room that is not listed."""
    if not _is_public(stored):
        return None
    key = {"PartitionKey": _DIRECTORY, "RowKey": room}
    return {**key, "title": stored.title, "topic": stored.topic}


def _parse_room(row: Row) -> StoredRoom:
    return StoredRoom(
        bool(row["private"]),
        bool(row.get("listed", False)),
        row.get("title", ""),
        row.get("topic", ""),
        _parse_roles(row),
        _etag_of(row),
    )


def _parse_roles(row: Row) -> PrivilegedRoles:
    return msgspec.json.decode(row.get("roles", "{}"), type=PrivilegedRoles)


def _parse_member(row: Row) -> StoredMember:
    return StoredMember(
        row["RowKey"].removeprefix(_MEMBER_PREFIX),
        bool(row.get("member", True)),
        row.get("muted_until", ""),
        row.get("removed_until", ""),
        _etag_of(row),
    )


def _write_room(room: str, stored: StoredRoom) -> Operation:
    row: Row = {
        "PartitionKey": room,
        "RowKey": "room",
        "private": stored.private,
        "listed": stored.listed,
        "title": stored.title,
        "topic": stored.topic,
        "roles": msgspec.json.encode(stored.roles).decode(),
    }
    return Replace(row, stored.etag) if stored.etag else Insert(row)


def _write_member(room: str, member: StoredMember) -> list[Operation]:
    """A user of whom there is nothing to store has no row."""
    key = f"{_MEMBER_PREFIX}{member.user_id}"
    if replace(member, etag="") == StoredMember(member.user_id):
        return [Delete(room, key, member.etag)] if member.etag else []
    row: Row = {
        "PartitionKey": room,
        "RowKey": key,
        "member": member.member,
        "muted_until": member.muted_until,
        "removed_until": member.removed_until,
    }
    return [Replace(row, member.etag) if member.etag else Insert(row)]


def _etag_of(row: Row) -> str:
    return str(row.metadata["etag"])  # type: ignore[attr-defined] # the SDK's dict has it


@cache
def room_store() -> RoomStore:
    """The rooms as this process reads and writes them."""
    return RoomStore(tables())
