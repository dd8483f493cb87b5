"""Somebody who is barred is out at once, and stays out until it is taken back."""

import asyncio
from typing import Any

import aiohttp
import pytest

from local.parts import Desk, Part
from realtime.users.bans import Bans
from tests.instances import instance
from tests.people import RELIABLE, Connection, Person
from tests.service import Service
from tests.strict import BANNED_USER, KEY


@pytest.fixture
async def mallory(desk: Desk, http: aiohttp.ClientSession) -> Person:
    return await Person.enter(http, desk.url, "mallory")


async def bar(http: aiohttp.ClientSession, desk: Desk, person: Person, method: str = "PUT") -> Any:
    async with http.request(method, f"{desk.url}/api/users/{person.id}/ban") as answer:
        assert answer.status == 200
        return await answer.json()


async def test_the_connections_of_somebody_barred_are_closed(
    desk: Desk, http: aiohttp.ClientSession, mallory: Person
) -> None:
    async with mallory.connect("lobby") as one, mallory.connect() as other:
        said = await bar(http, desk, mallory)

        assert said == {"user_id": mallory.id, "banned": True}
        await asyncio.wait_for(asyncio.gather(one.closed(), other.closed()), 10)


async def test_somebody_barred_is_refused_everything(
    desk: Desk, http: aiohttp.ClientSession, mallory: Person
) -> None:
    await bar(http, desk, mallory)

    answers = [
        await mallory.ask("POST", "/api/negotiate"),
        await mallory.ask("GET", "/api/rooms"),
        await mallory.ask("GET", "/api/rooms/lobby/history"),
        await mallory.ask("POST", "/api/streams/weather/subscribe"),
    ]

    assert [(status, body["error"]["code"]) for status, body in answers] == [(403, "banned")] * 4


async def test_an_old_token_does_not_let_somebody_barred_in(
    desk: Desk, http: aiohttp.ClientSession, mallory: Person
) -> None:
    admission = await mallory.negotiate()

    await bar(http, desk, mallory)

    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await Connection.open(http, admission["url"], RELIABLE)
    assert refused.value.status == 403


async def test_every_instance_knows_at_once_whom_to_keep_out(
    desk: Desk, strict: Part, http: aiohttp.ClientSession, mallory: Person
) -> None:
    elsewhere = Service(http, strict.url, KEY)
    before = await elsewhere.tells("connect", user=mallory.id)

    await bar(http, desk, mallory)
    after = await elsewhere.tells("connect", user=mallory.id)

    assert (before.status, after.status) == (200, 403)


async def test_who_was_barred_between_connect_and_connected_does_not_stay(
    desk: Desk, http: aiohttp.ClientSession, mallory: Person
) -> None:
    async with mallory.connect() as tab, instance(desk) as own:
        # As on another instance that has not yet found a connection to close.
        await Bans(own.tables, []).add(mallory.id)

        told = await Service(http, desk.url).tells("connected", user=mallory.id, connection=tab.id)

        assert told.status == 204
        await asyncio.wait_for(tab.closed(), 10)


async def test_somebody_who_may_come_back_can(
    desk: Desk, http: aiohttp.ClientSession, mallory: Person
) -> None:
    await bar(http, desk, mallory)

    assert (await bar(http, desk, mallory, "DELETE"))["banned"] is False

    async with mallory.connect("lobby") as tab:
        await tab.say("lobby", "back again")


async def test_nobody_writes_to_somebody_barred(
    desk: Desk, http: aiohttp.ClientSession, mallory: Person
) -> None:
    ann = await Person.enter(http, desk.url, "ann")
    await bar(http, desk, mallory)

    async with ann.connect() as tab:
        said = {"to": mallory.id, "content": "are you there?", "id": "1"}
        to_banned = await tab.refused("direct", said)
        to_nobody = await tab.refused("direct", said | {"to": "nobody-22222222"})

    assert to_banned["code"] == "unreachable"
    assert to_banned == to_nobody  # the answer does not tell who is banned


async def test_the_setting_bars_for_good(strict: Part, http: aiohttp.ClientSession) -> None:
    service = Service(http, strict.url, KEY)

    connecting = await service.tells("connect", user=BANNED_USER)
    said = {"room": "lobby", "content": "hello", "id": "1"}
    speaking = await service.says("message", said, user=BANNED_USER, rooms=["lobby"])

    assert (connecting.status, connecting.code) == (403, "banned")
    assert (speaking.status, speaking.code) == (200, "banned")
