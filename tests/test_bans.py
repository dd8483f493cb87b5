"""A ban takes effect at once on every instance, until it is removed."""

import asyncio
from typing import Any

import aiohttp
import pytest

from local.parts import Part, Stack
from realtime.users.bans import Bans
from tests.instances import instance
from tests.service import Service
from tests.strict import BANNED_USER, KEY
from tests.users import RELIABLE, Connection, User


@pytest.fixture
async def mallory(stack: Stack, http: aiohttp.ClientSession) -> User:
    return await User.create(http, stack.url, "mallory")


async def change_ban(
    http: aiohttp.ClientSession, stack: Stack, user: User, method: str = "PUT"
) -> Any:
    async with http.request(method, f"{stack.url}/api/users/{user.id}/ban") as response:
        assert response.status == 200
        return await response.json()


async def test_a_ban_closes_the_connections_of_the_user(
    stack: Stack, http: aiohttp.ClientSession, mallory: User
) -> None:
    async with mallory.connect("lobby") as one, mallory.connect() as other:
        body = await change_ban(http, stack, mallory)

        assert body == {"user_id": mallory.id, "banned": True}
        await asyncio.wait_for(asyncio.gather(one.closed(), other.closed()), 30)


async def test_a_banned_user_is_rejected_by_every_function(
    stack: Stack, http: aiohttp.ClientSession, mallory: User
) -> None:
    await change_ban(http, stack, mallory)

    responses = [
        await mallory.ask("POST", "/api/negotiate"),
        await mallory.ask("GET", "/api/rooms"),
        await mallory.ask("GET", "/api/rooms/lobby/history"),
        await mallory.ask("POST", "/api/streams/weather/subscribe"),
    ]

    assert [(status, body["error"]["code"]) for status, body in responses] == [(403, "banned")] * 4


async def test_a_banned_user_cannot_connect_with_an_old_token(
    stack: Stack, http: aiohttp.ClientSession, mallory: User
) -> None:
    negotiated = await mallory.negotiate()

    await change_ban(http, stack, mallory)

    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await Connection.open(http, negotiated["url"], RELIABLE)
    assert refused.value.status == 403


async def test_a_ban_applies_at_once_on_every_instance(
    stack: Stack, strict: Part, http: aiohttp.ClientSession, mallory: User
) -> None:
    elsewhere = Service(http, strict.url, KEY)
    before = await elsewhere.send_system_event("connect", user=mallory.id)

    await change_ban(http, stack, mallory)
    after = await elsewhere.send_system_event("connect", user=mallory.id)

    assert (before.status, after.status) == (200, 403)


async def test_a_user_banned_between_connect_and_connected_is_disconnected(
    stack: Stack, http: aiohttp.ClientSession, mallory: User
) -> None:
    async with mallory.connect() as tab, instance(stack) as own:
        # As on another instance that does not list the connection yet.
        await Bans(own.tables, []).add(mallory.id)

        response = await Service(http, stack.url).send_system_event(
            "connected", user=mallory.id, connection=tab.id
        )

        assert response.status == 204
        await asyncio.wait_for(tab.closed(), 30)


async def test_a_user_can_connect_after_the_ban_is_removed(
    stack: Stack, http: aiohttp.ClientSession, mallory: User
) -> None:
    await change_ban(http, stack, mallory)

    assert (await change_ban(http, stack, mallory, "DELETE"))["banned"] is False

    async with mallory.connect("lobby") as tab:
        await tab.send_message("lobby", "back again")


async def test_a_direct_message_to_a_banned_user_is_rejected(
    stack: Stack, http: aiohttp.ClientSession, mallory: User
) -> None:
    ann = await User.create(http, stack.url, "ann")
    await change_ban(http, stack, mallory)

    async with ann.connect() as tab:
        message = {"to": mallory.id, "content": "are you there?", "id": "1"}
        to_banned = await tab.send_rejected("direct", message)
        to_nobody = await tab.send_rejected("direct", message | {"to": "nobody-22222222"})

    assert to_banned["code"] == "unreachable"
    assert to_banned == to_nobody  # the error does not reveal who is banned


async def test_the_banned_users_setting_rejects_connections_and_messages(
    strict: Part, http: aiohttp.ClientSession
) -> None:
    service = Service(http, strict.url, KEY)

    connecting = await service.send_system_event("connect", user=BANNED_USER)
    message = {"room": "lobby", "content": "hello", "id": "1"}
    sending = await service.send_event("message", message, user=BANNED_USER, rooms=["lobby"])

    assert (connecting.status, connecting.code) == (403, "banned")
    assert (sending.status, sending.code) == (200, "banned")
