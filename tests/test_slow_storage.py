"""Storage that takes seconds for a call, or refuses for good: commits, timers, heartbeats."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from local.parts import Stack
from realtime.errors import ApiError
from realtime.rooms.appender import Appender
from realtime.rooms.drafts import MessageDraft
from realtime.rooms.heartbeat import publish_heads
from realtime.rooms.history import read_entries
from realtime.rooms.publisher import LogPublisher
from realtime.rooms.retention import purge
from tests.faults.network import NONE, Disturbance, HttpProxy, http_proxy
from tests.instances import Instance, instance
from tests.users import PLAIN, Connection, User

SLOW = Disturbance(delay=1.0, delay_seconds=0.2)
OLD = timedelta(days=10)


@pytest.fixture
async def proxy(stack: Stack) -> AsyncIterator[HttpProxy]:
    async with http_proxy(stack.tables.url) as proxy:
        yield proxy


@pytest.fixture
async def slow(stack: Stack, proxy: HttpProxy) -> AsyncIterator[Instance]:
    """An instance whose way to the storage is the proxy."""
    way = stack.tables_connection_string.replace(stack.tables.url, proxy.url)
    async with instance(stack, tables=way) as made:
        yield made


def draft(number: int) -> MessageDraft:
    return MessageDraft("ann", str(number), content=str(number))


async def read_contents(one: Instance, room: str) -> list[str]:
    head = await one.logs.read_head(room)
    entries = await read_entries(one.logs, room, head, head.first, head.seq)
    return [entry.content or "" for entry in entries]


# --- commits ----------------------------------------------------------------------------------


async def test_a_commit_that_outlives_its_senders_is_finished_and_found_by_the_repetition(
    proxy: HttpProxy, slow: Instance, room: str
) -> None:
    """The storage answers after the senders, who wait for 0.5 s, have gone."""
    hasty = Appender(slow.logs, LogPublisher(slow.hub), timeout_seconds=0.5)
    proxy.disturbance = Disturbance(delay=1.0, delay_seconds=0.0)
    delayed, released = asyncio.Event(), asyncio.Event()

    async def delay(_: object) -> None:
        delayed.set()
        await released.wait()

    proxy.before = delay
    refusals = await asyncio.gather(
        *(hasty.append(room, draft(number)) for number in range(3)), return_exceptions=True
    )

    assert [one.code for one in refusals if isinstance(one, ApiError)] == ["unavailable"] * 3
    assert delayed.is_set()
    released.set()
    stored = None
    async with asyncio.timeout(60):
        while stored is None:  # what a client does; each attempt waits for the same commit
            with contextlib.suppress(ApiError):
                stored = await hasty.append(room, draft(1))
    assert sorted(await read_contents(slow, room)) == ["0", "1", "2"]


@pytest.mark.parametrize("status", [400, 403])
async def test_an_error_that_would_come_again_is_not_retried(
    proxy: HttpProxy, slow: Instance, room: str, status: int
) -> None:
    await slow.appender.append(room, draft(1))
    proxy.disturbance = Disturbance(fail=1.0, statuses=(status,))

    with pytest.raises(ApiError) as refused:
        await slow.appender.append(room, draft(2))

    assert refused.value.code == "unavailable"
    assert proxy.faults <= 3
    proxy.disturbance = NONE
    await slow.appender.append(room, draft(2))
    assert await read_contents(slow, room) == ["1", "2"]


# --- retention --------------------------------------------------------------------------------


@pytest.fixture
async def old_logs(one: Instance) -> list[str]:
    """Logs whose entries are all past retention; the first one is large."""
    prefix = f"a{uuid.uuid4().hex}"
    names = [f"{prefix}-{number}" for number in range(6)]
    one.time = datetime.now(UTC) - OLD
    for name in names:
        count = 120 if name == names[0] else 3
        await asyncio.gather(*(one.appender.append(name, draft(n)) for n in range(count)))
    one.time = None
    return names


async def count_entries(one: Instance, name: str) -> int:
    return len([row async for row in one.logs.query_rows(name, "m:", "m;")])


async def test_a_purge_ends_at_its_timeout_and_the_next_one_goes_on_there(
    proxy: HttpProxy, slow: Instance, one: Instance, old_logs: list[str]
) -> None:
    # Nothing else is purged here: the other logs of these tests are of today.
    await one.logs.index.write_purge_position(old_logs[0])
    proxy.disturbance = SLOW
    positions = []
    for _ in range(60):
        async with asyncio.timeout(30):
            await purge(slow.logs, datetime.now(UTC), days=7, timeout_seconds=1.0)
        positions.append(await one.logs.index.read_purge_position())
        if sum([await count_entries(one, name) for name in old_logs]) == 0:
            break

    assert [await count_entries(one, name) for name in old_logs] == [0] * 6
    assert len(set(positions)) > 1
    assert (await one.appender.append(old_logs[0], draft(1000))).seq == 121


async def test_a_log_that_cannot_be_purged_delays_no_other(
    one: Instance, old_logs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    broken = {"PartitionKey": old_logs[0], "RowKey": "m:0000000000000000001"}
    await one.tables.open("history").upsert_entity(broken, mode="replace")

    await purge(one.logs, datetime.now(UTC), days=7)

    assert [await count_entries(one, name) for name in old_logs[1:]] == [0] * 5
    assert "the purge of a log failed: KeyError" in caplog.text


# --- presence and heartbeats ------------------------------------------------------------------


async def test_a_slow_reconciliation_ends_at_its_timeout_and_all_rooms_get_their_turn(
    one: Instance, proxy: HttpProxy, slow: Instance
) -> None:
    rooms = {f"room-{uuid.uuid4().hex}" for _ in range(5)}
    table = one.tables.open("presence")
    for room in rooms:
        await table.upsert_entity({"PartitionKey": room, "RowKey": "ghost-22222222"})
    proxy.disturbance = SLOW
    chance = Random(1).random

    left = set(rooms)
    for _ in range(30):
        async with asyncio.timeout(30):
            await slow.presence.reconcile(timeout_seconds=1.0, chance=chance)
        rows = [row["PartitionKey"] async for row in table.list_entities()]
        left = rooms & set(rows)
        if not left:
            break

    assert not left


async def test_a_room_whose_heartbeat_fails_takes_none_from_the_others(
    one: Instance, ann: User, proxy: HttpProxy, slow: Instance
) -> None:
    rooms = [f"room-{uuid.uuid4().hex}" for _ in range(12)]
    async with ann.connect(*rooms, subprotocol=PLAIN) as here:
        rosters = {room: await one.presence.roster(room) for room in rooms}
        proxy.disturbance = Disturbance(fail=0.3, statuses=(403,))

        published = await publish_heads(slow.logs, slow.hub, rosters)

        assert 0 < published < 12
        await _receive_heads(here, published)


async def _receive_heads(here: Connection, count: int) -> None:
    for _ in range(count):
        await here.receive(type="head", within=20)
