"""The tokens of the Web PubSub service client are cached and renewed before they expire."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from aiohttp import web
from azure.core import AsyncPipelineClient
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.rest import HttpRequest
from webpubsub_emulator import serve

from realtime.azure.service_client import (
    MAX_TOKENS,
    RENEWAL_SECONDS,
    TOKEN_SECONDS,
    ServiceTokenPolicy,
    connect_with_identity,
    connect_with_key,
)
from realtime.azure.transport import make_transport
from tests.clock import Clock
from tests.stand_in import ManagedIdentity, StandIn, make_certificate, stand_in

KEYS = ["first-key-of-the-service-32-bytes", "other-key-of-the-service-32-bytes"]


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


@asynccontextmanager
async def sender(server: StandIn, policy: ServiceTokenPolicy) -> AsyncIterator[Callable[..., Any]]:
    """A function that sends a request and returns the token that it carried."""
    client: AsyncPipelineClient = AsyncPipelineClient(
        server.url, policies=[policy], transport=make_transport(server.url)
    )

    async def send(path: str = "/api/hubs/live/:send?api-version=1") -> str:
        await client.send_request(HttpRequest("POST", f"{server.url}{path}"))
        return server.requests[-1].headers["Authorization"].removeprefix("Bearer ")

    try:
        yield send
    finally:
        await client.close()


def claims(token: str, audience: str, key: str = KEYS[0]) -> dict[str, Any]:
    """The claims of a token, after its signature and its audience are verified."""
    return jwt.decode(
        token, key, algorithms=["HS256"], audience=audience, options={"verify_exp": False}
    )


async def test_the_audience_of_a_token_is_the_url_without_its_query(clock: Clock) -> None:
    policy = ServiceTokenPolicy(AzureKeyCredential(KEYS[0]), now=clock)
    async with stand_in(web.Response) as server, sender(server, policy) as send:
        token = await send("/api/hubs/live/groups/a%20b/:send?api-version=1")
        url = f"{server.url}/api/hubs/live/groups/a%20b/:send"

    assert claims(token, url) == {"aud": url, "exp": int(clock.time) + TOKEN_SECONDS}


async def test_a_token_is_reused_until_its_last_minute(clock: Clock) -> None:
    policy = ServiceTokenPolicy(AzureKeyCredential(KEYS[0]), now=clock)
    async with stand_in(web.Response) as server, sender(server, policy) as send:
        first = await send()
        clock.time += TOKEN_SECONDS - RENEWAL_SECONDS
        last_use = await send()
        clock.time += 1
        renewed = await send()

        assert last_use == first
        url = f"{server.url}/api/hubs/live/:send"
        assert claims(renewed, url)["exp"] == int(clock.time) + TOKEN_SECONDS


async def test_no_token_is_sent_after_its_expiry_even_when_the_clock_jumps(clock: Clock) -> None:
    policy = ServiceTokenPolicy(AzureKeyCredential(KEYS[0]), now=clock)
    async with stand_in(web.Response) as server, sender(server, policy) as send:
        for jump in (0, TOKEN_SECONDS, 86_400, 1):
            clock.time += jump
            token = await send()

            assert claims(token, f"{server.url}/api/hubs/live/:send")["exp"] > clock.time


async def test_each_url_has_its_own_token(clock: Clock) -> None:
    policy = ServiceTokenPolicy(AzureKeyCredential(KEYS[0]), now=clock)
    paths = [f"/api/hubs/live/{target}:send" for target in ("", "groups/a/", "groups/A/")]
    async with stand_in(web.Response) as server, sender(server, policy) as send:
        tokens = [await send(path) for path in paths]

        for token, path in zip(tokens, paths, strict=True):
            assert claims(token, server.url + path)


async def test_a_replaced_key_signs_the_next_request(clock: Clock) -> None:
    credential = AzureKeyCredential(KEYS[0])
    policy = ServiceTokenPolicy(credential, now=clock)
    async with stand_in(web.Response) as server, sender(server, policy) as send:
        url = f"{server.url}/api/hubs/live/:send"
        first = await send()
        credential.update(KEYS[1])
        second = await send()

    assert claims(first, url, KEYS[0])
    assert claims(second, url, KEYS[1])


async def test_a_rejected_token_is_not_reused(clock: Clock) -> None:
    policy = ServiceTokenPolicy(AzureKeyCredential(KEYS[0]), now=clock)
    async with (
        stand_in(lambda: web.Response(status=401), web.Response) as server,
        sender(server, policy) as send,
    ):
        refused = await send()
        clock.time += 1
        accepted = await send()
        reused = await send()

    assert refused != accepted
    assert reused == accepted


def test_the_token_cache_is_bounded_and_keeps_recently_used_tokens(clock: Clock) -> None:
    policy = ServiceTokenPolicy(AzureKeyCredential(KEYS[0]), now=clock)

    def sign(number: int) -> str:
        request = HttpRequest("POST", f"http://localhost/api/hubs/live/groups/{number}/:send")
        policy.on_request(PipelineRequest(request, PipelineContext(None)))
        return str(request.headers["Authorization"])

    first, second = sign(1), sign(2)
    clock.time += 1
    for number in range(3, MAX_TOKENS + 2):
        assert sign(1) == first  # the first token stays in use
        sign(number)

    assert sign(1) == first
    assert sign(2) != second


@pytest.mark.parametrize("key", KEYS, ids=["first", "second"])
async def test_every_operation_of_the_sdk_works_with_either_key(key: str) -> None:
    async with serve(access_key=KEYS[0], secondary_key=KEYS[1]) as service:
        client = connect_with_key(
            f"Endpoint={service.endpoint};AccessKey={key};Version=1.0;", "live"
        )
        try:
            assert not await client.group_exists("a room")
            assert not await client.user_exists("ann")
            assert [member async for member in client.list_connections(group="room")] == []
            assert "access_token=" in (await client.get_client_access_token(user_id="ann"))["url"]
            await client.send_to_all({"text": "hello"}, content_type="application/json")
            await client.close_user_connections("ann", reason="a test")
        finally:
            await client.close()


async def test_a_wrong_key_is_an_authentication_error() -> None:
    async with serve(access_key=KEYS[0]) as service:
        text = f"Endpoint={service.endpoint};AccessKey={'wrong-key' * 4};Version=1.0;"
        client = connect_with_key(text, "live")
        try:
            with pytest.raises(ClientAuthenticationError):
                await client.send_to_all("hello", content_type="text/plain")
        finally:
            await client.close()


async def test_the_port_of_a_connection_string_is_used() -> None:
    """Microsoft's emulator has `Port=` as a separate part."""
    async with serve(access_key=KEYS[0]) as service:
        host, _, port = service.endpoint.rpartition(":")
        client = connect_with_key(
            f"Endpoint={host};Port={port};AccessKey={KEYS[0]};Version=1.0;", "live"
        )
        try:
            assert not await client.group_exists("room")
        finally:
            await client.close()


@pytest.mark.parametrize(
    "text", ["Endpoint=http://localhost", "AccessKey=k", "Endpoint=;AccessKey="]
)
def test_a_connection_string_without_a_part_is_refused_without_showing_the_key(text: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)connection string") as raised:
        connect_with_key(text, "live")

    assert "=k" not in str(raised.value)


async def test_a_managed_identity_token_is_requested_once(tmp_path: Any) -> None:
    certificate, trusted = make_certificate(tmp_path)
    identity = ManagedIdentity()

    def accept() -> web.Response:
        return web.Response(status=202)

    async with stand_in(accept, certificate=certificate) as server:
        transport = make_transport(server.url, connection_verify=str(trusted))
        client = connect_with_identity(server.url, "live", identity, transport=transport)
        for room in ("one", "two", "one"):
            await client.send_to_group(room, {"a": 1}, content_type="application/json")
        await client.close()

    assert identity.scopes == ["https://webpubsub.azure.com/.default"]
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer the-token"}


async def test_special_characters_in_a_name_do_not_change_the_audience_of_a_token(
    clock: Clock,
) -> None:
    """A name with a question mark or a slash stays one segment of the URL path."""
    policy = ServiceTokenPolicy(AzureKeyCredential(KEYS[0]), now=clock)
    async with stand_in(web.Response) as server, sender(server, policy) as send:
        path = f"/api/hubs/live/groups/{quote('a?b/c#d', safe='')}/:send"
        token = await send(f"{path}?api-version=1")

        assert claims(token, server.url + path)
