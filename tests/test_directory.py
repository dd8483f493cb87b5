"""The directory when several instances change a listed room at the same time."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from local.parts import Stack
from realtime.azure.operations import Operation
from realtime.azure.tables import Row, Table, Tables
from realtime.rooms.room_store import RoomStore, StoredRoom
from tests.instances import Instance, instance

TIMEOUT_SECONDS = 30


class HeldRoomStore(RoomStore):
    """A room store that waits before one kind of write until the test lets it go on."""

    def __init__(self, tables: Tables, held_method: str) -> None:
        super().__init__(tables)
        self.held = asyncio.Event()
        self.released = asyncio.Event()
        self._method = held_method

    def _table(self) -> Table:
        return _HeldTable(super()._table(), self._method, self._hold)  # type: ignore[return-value]

    async def _hold(self) -> None:
        self.held.set()
        await self.released.wait()


class _HeldTable:
    def __init__(self, table: Table, method: str, hold: Callable[[], Any]) -> None:
        self._table, self._method, self._hold = table, method, hold

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    async def submit(self, operations: Sequence[Operation]) -> list[str]:
        if self._method == "submit":
            await self._hold()
        return await self._table.submit(operations)

    async def upsert_entity(self, entity: Row, **options: Any) -> Any:
        if self._method == "upsert_entity":
            await self._hold()
        return await self._table.upsert_entity(entity, **options)


def listed_as(title: str, *, private: bool = False) -> Callable[[StoredRoom], StoredRoom]:
    return lambda stored: replace(stored, listed=True, private=private, title=title)


async def find_titles(store: RoomStore, room: str) -> list[str]:
    """What the directory has of a room."""
    rows, _ = await store.list_directory(1, room[:-1])
    return [row.title for row in rows if row.room == room]


@pytest.fixture
async def other(stack: Stack) -> Any:
    async with instance(stack) as two:
        yield RoomStore(two.tables)


async def test_the_later_of_two_titles_is_in_the_directory(
    one: Instance, other: RoomStore, room: str
) -> None:
    slow = HeldRoomStore(one.tables, "upsert_entity")
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        tasks.create_task(slow.change_room(room, listed_as("first")))
        await slow.held.wait()
        await other.change_room(room, listed_as("second"))
        slow.released.set()

    assert (await other.read_room(room)).title == "second"
    assert await find_titles(other, room) == ["second"]


async def test_a_room_that_becomes_private_while_it_is_listed_is_not_in_the_directory(
    one: Instance, other: RoomStore, room: str
) -> None:
    listing = HeldRoomStore(one.tables, "upsert_entity")
    closing = HeldRoomStore(one.tables, "submit")
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        listed = tasks.create_task(listing.change_room(room, listed_as("open")))
        await listing.held.wait()
        tasks.create_task(closing.change_room(room, listed_as("secret", private=True)))
        await closing.held.wait()
        listing.released.set()
        await listed
        assert await find_titles(other, room) == ["open"]
        closing.released.set()

    assert (await other.read_room(room)).private
    assert await find_titles(other, room) == []
