"""A listener gets every entry once and in order, over lost connections, gaps and a new log."""

import asyncio
from contextlib import aclosing

import pytest
from townsquare_client import (
    AsyncTownsquare,
    Change,
    ListenerError,
    Message,
    NotFoundError,
    Position,
    RoomEvent,
    Townsquare,
)

from local.parts import Part, Stack
from tests.instances import Instance
from tests.strict import KEY

pytestmark = pytest.mark.timeout(180)

MISSED = 230
"""More than one page of the history."""


def content_of(event: RoomEvent) -> str | None:
    return event.entry.content


async def test_a_listener_misses_nothing_while_it_has_no_connection(
    strict: Part, one: Instance, room: str
) -> None:
    """Its connections are closed, and it connects again when it has missed 230 messages."""
    sent = asyncio.Event()

    async def sleep(_: float) -> None:
        await sent.wait()

    async with (
        AsyncTownsquare(strict.url, key=KEY) as server,
        AsyncTownsquare(strict.url, key=KEY, sleep=sleep) as bot,
        asyncio.timeout(120),
    ):
        await server.send_message(room, "before")
        page = await server.history_page(room)
        async with aclosing(bot.listen(room, "echo", after=Position(page.epoch, 0))) as heard:
            assert content_of(await anext(heard)) == "before"
            await one.hub.close_user_connections("echo", "a test")
            for n in range(MISSED):
                await server.send_message(room, f"message {n}")
            await server.react(room, 1, "👍")
            sent.set()
            found = [await anext(heard) for _ in range(MISSED + 1)]
            await server.send_message(room, "after")
            last = await anext(heard)

    assert [content_of(one) for one in found[:MISSED]] == [f"message {n}" for n in range(MISSED)]
    reaction = found[MISSED].entry
    assert isinstance(reaction, Change)
    assert (reaction.kind, reaction.target, reaction.emoji) == ("reaction", 1, "👍")
    assert content_of(last) == "after"
    assert last.position == Position(page.epoch, MISSED + 3, last.entry.timestamp)
    assert [one.entry.seq for one in found] == list(range(2, MISSED + 3))


def test_a_listener_without_an_event_loop_goes_on_where_it_was(strict: Part, room: str) -> None:
    with Townsquare(strict.url, key=KEY) as townsquare:
        for n in range(3):
            townsquare.send_message(room, f"message {n}")
        epoch = townsquare.history_page(room).epoch
        events = townsquare.listen(room, "echo-2", name="Echo", after=Position(epoch, 0))
        first = [next(events), next(events)]
        events.close()  # type: ignore[attr-defined]
        again = townsquare.listen(room, "echo-2", name="Echo", after=first[-1].position)
        third = next(again)
        message = third.entry
        assert isinstance(message, Message)
        townsquare.reply(room, message, "echo", sender="echo-2")
        answer = next(again)
        again.close()  # type: ignore[attr-defined]

    assert [content_of(one) for one in first] == ["message 0", "message 1"]
    assert content_of(third) == "message 2"
    assert (content_of(answer), answer.entry.sender) == ("echo", "echo-2")


async def test_a_listener_gets_the_new_messages_of_a_log_that_was_started_anew(
    stack: Stack, one: Instance, room: str
) -> None:
    async with AsyncTownsquare(stack.url, key="any") as townsquare, asyncio.timeout(60):
        for n in range(3):
            await townsquare.send_message(room, f"old {n}")
        page = await townsquare.history_page(room)
        last = page.messages[-1]
        table = one.tables.open("history")
        async for row in table.query_entities("PartitionKey eq @room", parameters={"room": room}):
            await table.delete_entity(row["PartitionKey"], row["RowKey"])
        await townsquare.send_message(room, "new 0")
        await townsquare.send_message(room, "new 1")
        position = Position(page.epoch, last.seq, last.timestamp)
        async with aclosing(townsquare.listen(room, "echo", after=position)) as heard:
            found = [await anext(heard), await anext(heard)]
            await townsquare.send_message(room, "new 2")
            found.append(await anext(heard))

    assert [content_of(event) for event in found] == ["new 0", "new 1", "new 2"]
    assert found[-1].position.epoch != page.epoch


async def test_a_room_that_cannot_be_joined_and_a_missing_user_are_errors(
    stack: Stack, room: str
) -> None:
    async with AsyncTownsquare(stack.url, key="any") as townsquare, asyncio.timeout(60):
        await townsquare.put_room(room, private=True)
        with pytest.raises(NotFoundError):
            await anext(townsquare.listen(room, "stranger"))
        with pytest.raises(ListenerError):
            await anext(townsquare.listen(room))
