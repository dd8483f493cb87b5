"""Two callers at the same row: one pauses between its read and its write, the other goes first."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from events.duplicates import DuplicateFilter
from events.webhook import WebhookResponse
from local.parts import Stack, environment_of, free_ports, start_functions
from realtime.azure.tables import Table
from realtime.rooms.drafts import MessageDraft
from realtime.rooms.retention import purge
from realtime.users.memberships import Memberships
from tests.faults.network import http_proxy
from tests.instances import Instance
from tests.service import Service
from tests.strict import QUIET
from tests.test_webhook import event
from tests.users import User

OLD = timedelta(days=10)
TIMEOUT_SECONDS = 30.0


class PausedTable(Table):
    """Pauses before the first call of one method."""

    paused_method: str
    reached: asyncio.Event
    released: asyncio.Event

    async def _pause(self, method: str) -> None:
        if method == self.paused_method and not self.reached.is_set():
            self.reached.set()
            await self.released.wait()

    async def update_entity(self, entity: Any, **options: Any) -> Any:
        await self._pause("update_entity")
        return await super().update_entity(entity, **options)

    async def submit(self, operations: Any) -> Any:
        await self._pause("submit")
        return await super().submit(operations)

    async def query_entities(self, query_filter: str, **options: Any) -> AsyncIterator[Any]:
        await self._pause("query_entities")
        async for row in super().query_entities(query_filter, **options):
            yield row


@asynccontextmanager
async def paused(one: Instance, method: str) -> AsyncIterator[PausedTable]:
    """The tables of an instance, paused before a method; the body runs once it is reached."""
    reached, released = asyncio.Event(), asyncio.Event()
    open_table = one.tables.open

    def open_paused(name: str) -> Table:
        table = open_table(name)
        table.__class__ = PausedTable
        assert isinstance(table, PausedTable)
        table.paused_method, table.reached, table.released = method, reached, released
        return table

    one.tables.open = open_paused  # type: ignore[method-assign]
    try:
        yield open_paused("history")  # type: ignore[misc]
    finally:
        released.set()
        one.tables.open = open_table  # type: ignore[method-assign]


async def append(one: Instance, room: str, *numbers: int) -> None:
    for number in numbers:
        await one.appender.append(room, MessageDraft("ann", str(number), content=str(number)))


async def reached(table: PausedTable) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await table.reached.wait()


async def test_a_purge_undoes_no_commit_and_no_other_purge(
    one: Instance, other: Instance, room: str
) -> None:
    one.time = datetime.now(UTC) - OLD
    await append(one, room, *range(1, 61))
    one.time = None
    async with paused(one, "submit") as table:
        slow = asyncio.create_task(purge(one.logs, datetime.now(UTC), days=7))
        await reached(table)  # `one` has read the head and is about to raise `first`

        await append(other, room, 61)
        await purge(other.logs, datetime.now(UTC), days=7)
        table.released.set()
        await slow

    head = await other.logs.read_head(room)
    assert (head.first, head.seq, len(head.spans)) == (61, 61, 0)
    page = await other.history.read_page(room)
    assert [entry.content for entry in page.messages] == ["61"]


async def test_a_position_is_not_recovered_if_a_purge_runs_between_head_and_rows(
    one: Instance, other: Instance, room: str
) -> None:
    one.time = datetime.now(UTC) - OLD
    await append(one, room, 1, 2, 3)
    one.time = None
    await append(one, room, 4)
    epoch = (await one.logs.read_head(room)).epoch
    async with paused(one, "query_entities") as table:
        reading = asyncio.create_task(one.history.read_since(room, 1, epoch))
        await reached(table)

        await purge(other.logs, datetime.now(UTC), days=7)
        table.released.set()
        page, recovered = await reading

    assert not recovered
    assert [entry.content for entry in page.messages] == ["4"]


async def test_a_read_marker_does_not_go_back(one: Instance, other: Instance, room: str) -> None:
    slow, fast = Memberships(one.tables), Memberships(other.tables)
    await slow.add("ann", "room", room)
    async with paused(one, "update_entity") as table:
        late = asyncio.create_task(slow.advance_read_marker("ann", "room", room, 5, 5))
        await reached(table)

        assert await fast.advance_read_marker("ann", "room", room, 10, 9) == 10
        table.released.set()
        assert await late == 10

    membership = await fast.find("ann", "room", room)
    assert membership
    assert (membership.read, membership.read_messages) == (10, 9)


async def test_a_room_that_becomes_private_during_a_join_is_left(
    stack: Stack, http: aiohttp.ClientSession, bob: User, one: Instance, room: str
) -> None:
    """The join has passed its first check and is about to add the connection to the group."""
    reached, released = asyncio.Event(), asyncio.Event()

    async def pause(request: web.BaseRequest) -> None:
        if request.method == "PUT" and f"room.{room}/connections" in request.path:
            reached.set()
            await released.wait()

    async with http_proxy(stack.webpubsub_url) as proxy, bob.connect() as tab:
        proxy.before = pause
        (port,) = free_ports(1)
        environment = environment_of(proxy.url, stack.tables.url)
        host = await asyncio.to_thread(
            start_functions, port, {**stack.environment, **QUIET, **environment}
        )
        try:
            await asyncio.to_thread(host.wait)
            service = Service(http, host.url)
            joining = asyncio.create_task(
                service.send_event("join", {"room": room}, user=bob.id, connection=tab.id)
            )
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await reached.wait()
            async with http.put(f"{stack.url}/api/rooms/{room}", json={"private": True}) as done:
                assert done.status in {200, 201}, await done.text()
            released.set()

            assert (await joining).code == "unknown_room"
        finally:
            await asyncio.to_thread(host.stop)
        assert (await one.presence.roster(room)).users == {}


async def test_a_sender_who_goes_takes_the_message_from_no_other(one: Instance, room: str) -> None:
    """Two deliveries of one event wait for the same commit; the first one's request ends."""
    draft = MessageDraft("ann", "1", content="once")
    async with paused(one, "submit") as table:
        first = asyncio.create_task(one.appender.append(room, draft))
        second = asyncio.create_task(one.appender.append(room, draft))
        await reached(table)

        first.cancel()
        await asyncio.wait([first])
        table.released.set()

        assert (await second).seq == 1
    assert first.cancelled()


async def test_an_event_that_failed_is_handled_again_when_it_is_repeated() -> None:
    duplicates = DuplicateFilter()
    answer = WebhookResponse(b"done")

    async def fail() -> WebhookResponse:
        raise ConnectionError

    async def succeed() -> WebhookResponse:
        return answer

    with pytest.raises(ConnectionError):
        await duplicates.run(event(1), fail)

    assert await duplicates.run(event(1), succeed) is answer
    assert await duplicates.run(event(1), fail) is answer
