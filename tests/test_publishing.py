"""Publishing sends JSON bytes to a group, a user or all connections."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient
from hypothesis import given, settings
from hypothesis import strategies as st
from webpubsub_emulator import serve

from realtime.azure.publishing import Publisher
from realtime.azure.service_client import connect_with_key
from tests.stand_in import StandIn, stand_in

KEY = "the-key-of-the-service-of-32-bytes"
HUB = "live"
DEADLINE_SECONDS = 20.0


def connection_string(url: str) -> str:
    return f"Endpoint={url};AccessKey={KEY};Version=1.0;"


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[tuple[Publisher, WebPubSubServiceClient]]:
    client = connect_with_key(connection_string(url), HUB)
    try:
        yield Publisher(client, HUB), client
    finally:
        await client.close()


@asynccontextmanager
async def browser(client: WebPubSubServiceClient, user_id: str, *groups: str) -> AsyncIterator[Any]:
    """A function that returns the next message for a user who is in these groups."""
    token = await client.get_client_access_token(user_id=user_id, groups=list(groups))
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(token["url"], protocols=["json.webpubsub.azure.v1"]) as socket,
    ):

        async def receive() -> Any:
            return json.loads(await socket.receive_str(timeout=DEADLINE_SECONDS))

        assert (await receive())["event"] == "connected"
        yield receive


MESSAGES = [
    {"type": "message", "seq": 1, "content": "hello"},
    {"content": "emoji 🎉, quotes \"', a line\nand \u2028 and \u0000"},
    ["a", "list", 1.5, None, True],
    {"long": "é" * 100_000},
    {},
]


async def test_a_group_receives_the_json_that_was_sent_and_others_do_not() -> None:
    async with (
        serve(access_key=KEY) as service,
        connect(service.endpoint) as (publisher, client),
        browser(client, "ann", "room.a") as ann,
        browser(client, "bob", "room.b") as bob,
    ):
        for message in MESSAGES:
            await publisher.send_to_group("room.a", msgspec.json.encode(message))
        await publisher.send_to_group("room.b", b'"the only one"')

        received = [await ann() for _ in MESSAGES]
        assert [frame["data"] for frame in received] == MESSAGES
        assert {(frame["dataType"], frame["group"]) for frame in received} == {("json", "room.a")}
        assert (await bob())["data"] == "the only one"


async def test_a_user_receives_on_every_connection() -> None:
    async with (
        serve(access_key=KEY) as service,
        connect(service.endpoint) as (publisher, client),
        browser(client, "ann") as first,
        browser(client, "ann") as second,
        browser(client, "bob") as bob,
    ):
        await publisher.send_to_user("ann", b'{"for": "ann"}')
        await publisher.send_to_all(b'{"for": "all"}')

        assert [(await first())["data"] for _ in range(2)] == [{"for": "ann"}, {"for": "all"}]
        assert [(await second())["data"] for _ in range(2)] == [{"for": "ann"}, {"for": "all"}]
        assert (await bob())["data"] == {"for": "all"}


@pytest.mark.parametrize("name", ["a b", "ü", "50%", "a=b&c", "{endpoint}", "🎉", "a'b", "a+b"])
async def test_names_with_special_characters_are_encoded(name: str) -> None:
    async with (
        serve(access_key=KEY) as service,
        connect(service.endpoint) as (publisher, client),
        browser(client, name, name) as receive,
    ):
        await publisher.send_to_group(name, b'"to the group"')
        await publisher.send_to_user(name, b'"to the user"')

        assert [(await receive())["data"] for _ in range(2)] == ["to the group", "to the user"]


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@settings(max_examples=30, deadline=None)
@given(name=NAMES, message=st.dictionaries(NAMES, st.none() | st.integers() | NAMES, max_size=4))
def test_a_request_equals_the_request_of_the_sdk(name: str, message: dict[str, Any]) -> None:
    async def send() -> StandIn:
        body = msgspec.json.encode(message)
        async with (
            stand_in(lambda: web.Response(status=202)) as server,
            connect(server.url) as (publisher, _),
            WebPubSubServiceClient.from_connection_string(
                connection_string(server.url), hub=HUB
            ) as sdk,
        ):
            await publisher.send_to_group(name, body)
            await sdk.send_to_group(name, message, content_type="application/json")
            await publisher.send_to_user(name, body)
            await sdk.send_to_user(name, message, content_type="application/json")
            await publisher.send_to_all(body)
            await sdk.send_to_all(message, content_type="application/json")
            return server

    server = asyncio.run(send())

    for place in range(0, 6, 2):
        ours, theirs = server.requests[place : place + 2]
        assert (ours.method, ours.raw_path) == (theirs.method, theirs.raw_path)
        assert ours.headers["Content-Type"] == theirs.headers["Content-Type"]
        assert json.loads(server.bodies[place]) == json.loads(server.bodies[place + 1]) == message


async def test_a_request_is_retried_once_after_a_lost_response() -> None:
    async with (
        stand_in(lambda: None, lambda: web.Response(status=202)) as server,
        connect(server.url) as (publisher, _),
    ):
        await publisher.send_to_group("room.a", b'{"seq": 1}')

    assert server.bodies == [b'{"seq": 1}'] * 2


async def test_a_service_without_responses_is_an_error() -> None:
    async with stand_in(lambda: None) as server, connect(server.url) as (publisher, _):
        with pytest.raises(AzureError):
            await publisher.send_to_group("room.a", b"{}")

    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, HttpResponseError),
        (401, ClientAuthenticationError),
        (403, HttpResponseError),
        (404, ResourceNotFoundError),
        (413, HttpResponseError),
        (200, HttpResponseError),
        (302, HttpResponseError),
    ],
)
async def test_an_error_response_raises_an_error_with_its_status(
    status: int, error: type[HttpResponseError]
) -> None:
    async with (
        stand_in(lambda: web.Response(status=status)) as server,
        connect(server.url) as (publisher, _),
    ):
        with pytest.raises(error) as raised:
            await publisher.send_to_all(b"{}")

    assert raised.value.status_code == status
    assert len(server.requests) == 1


async def test_a_request_is_retried_after_the_retry_after_time() -> None:
    def busy() -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "1"})

    async with (
        stand_in(busy, lambda: web.Response(status=202)) as server,
        connect(server.url) as (publisher, _),
    ):
        await publisher.send_to_all(b"{}")

    assert len(server.requests) == 2


async def test_a_token_is_signed_once_for_many_messages_to_a_group() -> None:
    async with (
        stand_in(lambda: web.Response(status=202)) as server,
        connect(server.url) as (publisher, _),
    ):
        for _ in range(5):
            await publisher.send_to_group("room.a", b"{}")
        await publisher.send_to_group("room.b", b"{}")

    tokens = [request.headers["Authorization"] for request in server.requests]
    assert len(set(tokens)) == 2
    assert len(set(tokens[:5])) == 1
