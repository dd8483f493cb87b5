"""Concurrent joins and senders share reads, and shared results are never outdated."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace
from webpubsub_emulator import serve

from local.parts import Stack
from realtime.azure.group_connections import MAX_PAGE_CONNECTIONS
from realtime.azure.operations import Operation
from realtime.azure.tables import Table
from realtime.errors import ApiError
from realtime.identity.profiles import Profile
from realtime.names import room_group
from realtime.rooms.access import RoomAccess
from realtime.rooms.departures import Departures
from realtime.rooms.drafts import AccessDraft, MessageDraft
from realtime.rooms.room_store import RoomStore
from tests.instances import Instance, instance
from tests.users import PLAIN, Connection

CROWD = MAX_PAGE_CONNECTIONS + 10


@asynccontextmanager
async def crowd(
    stack: Stack, http: aiohttp.ClientSession, room: str, size: int
) -> AsyncIterator[tuple[Instance, list[Connection]]]:
    """An instance with its own service, and that many users in a room."""
    async with serve() as service, instance(stack, hub=service.connection_string) as one:
        tokens = [
            await one.hub.get_client_access_token(f"fan{n:03}", [room_group(room)], [])
            for n in range(size)
        ]
        found = await asyncio.gather(*(Connection.open(http, one.url, PLAIN) for one in tokens))
        try:
            yield one, found
        finally:
            await asyncio.gather(*(each.close() for each in found))


class Reads:
    """Counts the reads of the settings of rooms, and lets a test hold the first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.released = asyncio.Event()
        self.released.set()
        self.arrived = asyncio.Event()
        original = Table.get_entity

        async def get_entity(table: Table, partition_key: str, row_key: str, **options: Any) -> Any:
            self.count += row_key == "room"
            is_first = row_key == "room" and not self.arrived.is_set()
            try:
                return await original(table, partition_key, row_key, **options)
            finally:
                if is_first:
                    self.arrived.set()
                    await self.released.wait()

        monkeypatch.setattr(Table, "get_entity", get_entity)


async def set_private(one: Instance, room: str, *, private: bool) -> None:
    """As another instance does it: nothing cached here is dropped."""
    await RoomStore(one.tables).change_room(room, lambda stored: replace(stored, private=private))


async def test_senders_share_the_read_when_the_cache_of_a_room_ends(
    one: Instance, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    access = RoomAccess(RoomStore(one.tables), one.logs, listed=False, clock=lambda: now)
    await set_private(one, room, private=False)
    await access.check_open(room, "ann")
    reads = Reads(monkeypatch)

    now = 6.0
    await asyncio.gather(*(access.check_open(room, f"user{n}") for n in range(50)))

    assert 1 <= reads.count <= 2


async def test_a_read_that_began_before_a_room_was_closed_is_not_cached(
    one: Instance, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = RoomAccess(RoomStore(one.tables), one.logs, listed=False)
    await set_private(one, room, private=False)
    reads = Reads(monkeypatch)
    reads.released.clear()
    earlier = asyncio.create_task(access.check_open(room, "bob"))
    await reads.arrived.wait()

    await set_private(one, room, private=True)
    access.drop_cached(room)
    reads.released.set()
    await earlier

    with pytest.raises(ApiError) as refused:
        await access.check_open(room, "bob")
    assert refused.value.code == "unknown_room"


async def test_a_check_does_not_share_a_read_that_began_before_it(
    one: Instance, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = RoomAccess(RoomStore(one.tables), one.logs, listed=False)
    await set_private(one, room, private=False)
    reads = Reads(monkeypatch)
    reads.released.clear()
    earlier = asyncio.create_task(access.check(room, "ann"))
    await reads.arrived.wait()
    await set_private(one, room, private=True)

    later = [asyncio.create_task(access.check(room, f"user{n}")) for n in range(20)]
    reads.released.set()
    await earlier
    found = await asyncio.gather(*later, return_exceptions=True)

    assert {error.code for error in found if isinstance(error, ApiError)} == {"unknown_room"}
    assert all(isinstance(error, ApiError) for error in found)


async def test_many_clients_that_recover_from_one_position_share_the_reads_of_the_log(
    one: Instance, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        await one.appender.append(room, MessageDraft("ann", str(number), content=f"{number}"))
    epoch = (await one.logs.read_head(room)).epoch
    reads = Reads(monkeypatch)

    found = await asyncio.gather(
        *(one.history.read_since(room, 3, epoch, reader=f"user{n}") for n in range(40))
    )

    assert all(recovered and len(page.messages) == 7 for page, recovered in found)
    assert reads.count <= 2


async def test_notices_of_many_users_are_published_in_few_frames_and_in_order(
    stack: Stack, http: aiohttp.ClientSession, room: str
) -> None:
    size = 60
    async with crowd(stack, http, room, size) as (one, users):
        sent = 0
        send = one.hub.send_to_group

        async def counting(group: str, message: Any) -> None:
            nonlocal sent
            sent += 1
            await send(group, message)

        one.hub.send_to_group = counting  # type: ignore[method-assign]
        await asyncio.gather(*(one.presence.enter(room, f"fan{n:03}") for n in range(size)))
        joined = sent
        await asyncio.gather(*(one.presence.announce_left(room, f"ghost{n}") for n in range(size)))
        roster = await one.presence.roster(room)
        await one.presence.announce_joined(room, "ghost", roster)
        await one.presence.announce_left(room, "ghost")

        assert joined < size / 4
        assert sent == joined + 2
        await send(room_group(room), {"type": "end"})
        await users[0].receive(type="end")
        told = [
            (f["user_id"], f["event"]) for f in users[0].received if "user_id" in f and "room" in f
        ]
        assert sorted(told[:size]) == [(f"fan{n:03}", "joined") for n in range(size)]
        assert told[size:] == [("ghost", "joined"), ("ghost", "left")]


async def test_joins_of_a_crowded_room_share_a_cached_listing(
    stack: Stack, http: aiohttp.ClientSession, room: str
) -> None:
    async with crowd(stack, http, room, CROWD) as (one, _):
        listings = 0
        listed = one.hub.list_connections

        def counting(group: str) -> AsyncIterator[object]:
            nonlocal listings
            listings += 1
            return listed(group)

        one.hub.list_connections = counting  # type: ignore[assignment,method-assign]
        first = await one.presence.enter(room, "fan000")
        pages = [await one.presence.enter(room, f"fan{n:03}") for n in range(1, 20)]
        await one.presence.announce_left(room, "ghost")

        assert listings == 1
        assert {page.count for page in [first, *pages]} == {CROWD}
        users = pages[-1].with_user("fan019", Profile("Nineteen", colour=3))
        assert len(users) == MAX_PAGE_CONNECTIONS
        (fan,) = (one for one in users if one.user_id == "fan019")
        assert (fan.name, fan.colour) == ("Nineteen", 3)
        announced = (await one.presence.roster(room)).announced
        assert announced.keys() >= {f"fan{n:03}" for n in range(20)}


async def test_users_that_disconnect_together_cause_three_listings_at_most(
    stack: Stack, http: aiohttp.ClientSession, room: str
) -> None:
    async with crowd(stack, http, room, 3) as (one, users):
        roster = await one.presence.roster(room)
        ghosts = [f"ghost{n:02}" for n in range(40)]
        await asyncio.gather(*(one.presence.announce_joined(room, g, roster) for g in ghosts))
        listings = 0
        listed = one.hub.list_connections

        def counting(group: str) -> AsyncIterator[object]:
            nonlocal listings
            listings += 1
            return listed(group)

        one.hub.list_connections = counting  # type: ignore[assignment,method-assign]
        departures = Departures(one.presence, grace_seconds=0.01)
        for ghost in ghosts:
            departures.add([room], ghost)

        for ghost in ghosts:
            await users[0].receive(type="system", user_id=ghost, event="left", within=30)
        # Who is absent, who came back before the rows were removed, and, perhaps not listed yet,
        # who came back before "left" was published.
        assert 2 <= listings <= 3


@contextmanager
def recorded_reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The row keys of the rows that are read by their key, in any table."""
    read, rows = Table.get_entity, list[str]()

    async def get_entity(table: Table, *keys: str, **options: Any) -> Any:
        rows.append(keys[1])
        return await read(table, *keys, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Table, "get_entity", get_entity)
        yield rows


USERS = [f"user{n}" for n in range(50)]


@pytest.fixture
async def checked(one: Instance, room: str) -> RoomAccess:
    """Access to a room that was checked for each of the users."""
    access = RoomAccess(RoomStore(one.tables), one.logs, listed=False)
    await asyncio.gather(*(access.check(room, user) for user in USERS))
    return access


async def remove_member(one: Instance, room: str, user_id: str) -> None:
    """Remove a user from a room, as a moderator does."""
    await RoomStore(one.tables).change_member(
        room, user_id, lambda stored, user: (stored, replace(user, removed_until="9"))
    )
    await one.appender.append(room, AccessDraft("system", "renewed"))


async def test_a_user_who_was_checked_before_costs_no_read_of_the_own_row(
    checked: RoomAccess, other: Instance, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change by another instance is in force at the next check all the same."""
    with recorded_reads(monkeypatch) as rows:
        await asyncio.gather(*(checked.check(room, user) for user in USERS))
    assert sorted(rows) == ["head", "room"]

    await remove_member(other, room, "user7")

    with pytest.raises(ApiError) as refused:
        await checked.check(room, "user7")
    assert refused.value.code == "removed"
    await checked.check(room, "user8")


async def test_a_check_by_version_reads_the_head_only_and_obeys_changes_of_other_instances(
    checked: RoomAccess,
    one: Instance,
    other: Instance,
    room: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The history that is read at the same time shares the read of the head."""
    with recorded_reads(monkeypatch) as rows:
        await asyncio.gather(
            *(checked.check_by_version(room, user) for user in USERS),
            one.history.read_since(room, None, None),
        )
    assert rows == ["head"]

    await remove_member(other, room, "user7")

    with pytest.raises(ApiError) as refused:
        await checked.check_by_version(room, "user7")
    assert refused.value.code == "removed"
    await checked.check_by_version(room, "user8")
    await set_private(other, room, private=True)
    await other.appender.append(room, AccessDraft("system", "closed"))
    found = await asyncio.gather(
        *(checked.check_by_version(room, user) for user in USERS), return_exceptions=True
    )
    assert [type(error) for error in found] == [ApiError] * 50


async def test_users_that_come_and_go_together_are_written_in_few_transactions(
    one: Instance, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ghosts = [f"ghost{n:03}" for n in range(250)]
    roster = await one.presence.roster(room)
    submit, sizes = Table.submit, list[int]()

    async def counting(table: Table, operations: Sequence[Operation]) -> list[str]:
        sizes.append(len(operations))
        return await submit(table, operations)

    monkeypatch.setattr(Table, "submit", counting)
    await asyncio.gather(*(one.presence.announce_joined(room, g, roster) for g in ghosts))
    announced = await one.presence.count_announced(room)
    await one.presence.announce_left(room, *ghosts)

    assert announced == 250
    assert await one.presence.count_announced(room) == 0
    assert sum(sizes) == 500
    assert len(sizes) <= 10
