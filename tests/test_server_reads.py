"""Reads by function key and by operator session return the same structures as those of users."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from local.parts import Part, Stack
from tests.strict import KEY
from tests.test_operators import create_vouched_user
from tests.users import User

Look = Callable[[str], Awaitable[list[Any]]]


@pytest.fixture
async def olivia(stack: Stack, http: aiohttp.ClientSession) -> User:
    return await create_vouched_user(http, stack.url, "olivia", operator=True)


async def get_by_key(
    http: aiohttp.ClientSession, strict: Part, path: str, key: str = KEY
) -> tuple[int, Any]:
    async with http.get(f"{strict.url}{path}", headers={"x-functions-key": key}) as response:
        body = await response.json() if response.content_type == "application/json" else None
        return response.status, body


async def wait_for(look: Look, connection: str, expected: list[Any]) -> None:
    """Repeat `look` until the values are as expected: a closed connection is removed later."""
    for _ in range(200):
        if (found := await look(connection)) == expected:
            return
        await asyncio.sleep(0.1)
    assert found == expected


async def test_key_and_operator_read_a_private_room_that_is_unknown_to_others(
    stack: Stack, strict: Part, http: aiohttp.ClientSession, ann: User, bob: User, olivia: User,
    room: str,
) -> None:  # fmt: skip
    for path, body in ((room, {"private": True}), (f"{room}/members/{ann.id}", None)):
        async with http.put(f"{stack.url}/api/rooms/{path}", json=body) as response:
            assert response.status == 200
    async with ann.connect(room) as tab:
        for n in range(7):
            await tab.send_message(room, f"message {n}")
        for what in ("history?after=2&limit=3", "users"):
            expected = await ann.get(f"/api/rooms/{room}/{what}")

            assert await olivia.get(f"/api/rooms/{room}/{what}") == expected
            by_key = await get_by_key(http, strict, f"/api/server/rooms/{room}/{what}")
            assert by_key == (200, expected)
            assert (await bob.ask("GET", f"/api/rooms/{room}/{what}"))[0] == 404
            wrong = await get_by_key(http, strict, f"/api/server/rooms/{room}/{what}", "wrong")
            assert wrong == (401, None)
        settings = await ann.get(f"/api/rooms/{room}")
        assert await olivia.get(f"/api/rooms/{room}") == settings
        assert (settings["room"], settings["private"]) == (room, True)


async def test_key_and_operator_read_current_connections_and_subscriptions(
    strict: Part, http: aiohttp.ClientSession, ann: User, olivia: User
) -> None:
    async def look(connection: str) -> list[Any]:
        by_key, by_session = [], []
        for path, operator_path in (
            (f"/api/server/users/{ann.id}/online", f"/api/users/{ann.id}/online"),
            (f"/api/users/{ann.id}/subscriptions", f"/api/operator/users/{ann.id}/subscriptions"),
            (f"/api/connections/{connection}", f"/api/operator/connections/{connection}"),
        ):
            status, body = await get_by_key(http, strict, path)
            assert status == 200, body
            by_key.append(body)
            by_session.append(await olivia.get(operator_path))
        assert by_key == by_session
        online, subscribed, connected = by_key
        streams = [(one["stream"], one["group"]) for one in subscribed["subscriptions"]]
        return [online["online"], streams, connected["connected"]]

    async with ann.connect() as tab:
        for name in ("weather", "stock-prices"):
            assert (await ann.ask("POST", f"/api/streams/{name}/subscribe"))[0] == 200
        streams = [("stock-prices", "stocks"), ("weather", "weather")]
        assert await look(tab.id) == [True, streams, True]
        assert (await ann.ask("POST", "/api/streams/weather/unsubscribe"))[0] == 200
        assert await look(tab.id) == [True, streams[:1], True]
        closed = tab.id
        async with ann.connect() as other:
            await tab.close()
            assert await look(other.id) == [True, streams[:1], True]
            await wait_for(look, closed, [True, streams[:1], False])


async def test_connections_and_subscriptions_require_an_operator_or_the_key(
    strict: Part, http: aiohttp.ClientSession, ann: User, bob: User
) -> None:
    rejected = [
        await ann.ask("GET", f"/api/operator/users/{bob.id}/subscriptions"),
        await ann.ask("GET", "/api/operator/connections/none"),
    ]
    without_key = [
        (await get_by_key(http, strict, path, "wrong"))[0]
        for path in (
            f"/api/users/{bob.id}/subscriptions",
            "/api/connections/none",
            f"/api/server/users/{bob.id}/online",
            "/api/server/audit",
        )
    ]

    assert [(status, body["error"]["code"]) for status, body in rejected] == [
        (403, "forbidden")
    ] * 2
    assert without_key == [401] * 4
