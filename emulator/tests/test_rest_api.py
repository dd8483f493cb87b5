"""The REST API, with and without the official Python SDK."""

import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.messaging.webpubsubservice import WebPubSubServiceClient
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient as AsyncServiceClient
from rest_client import request
from running_emulator import GROUP_ROLES, HUB, RELIABLE, RunningEmulator, run_emulator
from webpubsub_emulator.access_keys import DEFAULT_ACCESS_KEY

SECOND_KEY = "second-key-second-key-second-key-second-key"


@pytest.fixture
async def emulator() -> AsyncIterator[RunningEmulator]:
    async with run_emulator(secondary_key=SECOND_KEY) as emulator:
        yield emulator


class SyncService:
    """The blocking SDK, called in a thread, because the emulator runs in this process."""

    def __init__(self, emulator: RunningEmulator, service: WebPubSubServiceClient) -> None:
        self._emulator = emulator
        self._service = service

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._emulator.call(getattr(self._service, name), *args, **kwargs)

        return call


@pytest.fixture(params=["sync", "aio"])
async def service(request: pytest.FixtureRequest, emulator: RunningEmulator) -> AsyncIterator[Any]:
    """The synchronous and the asynchronous client of the SDK."""
    if request.param == "sync":
        with emulator.service() as client:
            yield SyncService(emulator, client)
    else:
        async with AsyncServiceClient.from_connection_string(
            emulator.server.connection_string, hub=HUB, retry_total=0
        ) as client:
            yield client


async def test_send_to_all_skips_excluded_connections(
    emulator: RunningEmulator, service: Any
) -> None:
    ann, bob, raw = (
        await emulator.connect("ann"),
        await emulator.connect("bob"),
        await emulator.connect(protocol=None),
    )

    await service.send_to_all({"a": [1, None]}, excluded=[bob.id])

    assert await ann.receive() == {
        "type": "message",
        "from": "server",
        "dataType": "json",
        "data": {"a": [1, None]},
    }
    assert await raw.receive() == '{"a": [1, null]}'
    await bob.assert_no_message()


async def test_send_to_group_names_the_group(emulator: RunningEmulator, service: Any) -> None:
    ann = await emulator.connect("ann", groups=["lobby"])

    await service.send_to_group("lobby", "hi", content_type="text/plain")

    message = await ann.receive()
    assert (message["from"], message["group"], message["data"]) == ("group", "lobby", "hi")
    assert message["fromUserId"] is None


async def test_send_to_user_reaches_all_connections_of_the_user(
    emulator: RunningEmulator, service: Any
) -> None:
    first, second = await emulator.connect("ann"), await emulator.connect("ann", protocol=RELIABLE)
    bob = await emulator.connect("bob")

    await service.send_to_user("ann", b"\x00\xff", content_type="application/octet-stream")

    assert (await first.receive())["data"] == "AP8="
    assert await second.receive() == {
        "sequenceId": 1,
        "type": "message",
        "from": "server",
        "dataType": "binary",
        "data": "AP8=",
    }
    await bob.assert_no_message()


async def test_send_to_connection_reaches_only_that_connection(
    emulator: RunningEmulator, service: Any
) -> None:
    first, second = await emulator.connect("ann"), await emulator.connect("ann")

    await service.send_to_connection(first.id, "hi")
    await service.send_to_connection("missing", "hi")

    assert (await first.receive())["data"] == "hi"
    await second.assert_no_message()


async def test_filter_selects_the_receivers(emulator: RunningEmulator, service: Any) -> None:
    ann, bob = (
        await emulator.connect("ann", groups=["a"]),
        await emulator.connect("bob", groups=["b"]),
    )

    await service.send_to_all("x", filter="userId eq 'ann' and 'a' in groups")
    await service.send_to_all("y", filter="not ('a' in groups)")

    assert (await ann.receive())["data"] == "x"
    assert (await bob.receive())["data"] == "y"


async def test_invalid_filter_is_rejected_with_its_error(service: Any) -> None:
    with pytest.raises(HttpResponseError) as raised:
        await service.send_to_all("x", filter="userId lt 1")

    assert raised.value.status_code == 400
    assert "Type 'string', expect 'int'. (Parameter 'filter')" in str(raised.value)


async def test_existence_of_users_groups_and_connections(
    emulator: RunningEmulator, service: Any
) -> None:
    ann = await emulator.connect("ann", groups=["lobby"])

    assert await service.user_exists("ann")
    assert await service.group_exists("lobby")
    assert await service.connection_exists(ann.id)
    assert not await service.user_exists("bob")
    assert not await service.group_exists("other")
    assert not await service.connection_exists("missing")


async def test_connection_is_added_to_and_removed_from_groups(
    emulator: RunningEmulator, service: Any
) -> None:
    ann = await emulator.connect("ann")

    await service.add_connection_to_group("a", ann.id)
    await service.add_connection_to_group("b", ann.id)
    assert await service.group_exists("a")
    await service.remove_connection_from_group("a", ann.id)
    assert not await service.group_exists("a")
    await service.remove_connection_from_all_groups(ann.id)
    assert not await service.group_exists("b")
    await service.remove_connection_from_group("a", "missing")
    with pytest.raises(ResourceNotFoundError) as raised:
        await service.add_connection_to_group("a", "missing")

    assert raised.value.error.code == "Error.Connection.NotExisted"
    assert raised.value.response.headers["x-ms-error-code"] == "Error.Connection.NotExisted"


async def test_user_is_added_to_and_removed_from_groups(
    emulator: RunningEmulator, service: Any
) -> None:
    await emulator.connect("ann")

    await service.add_user_to_group("a", "ann")
    await service.add_user_to_group("b", "ann")
    assert await service.group_exists("a")
    await service.remove_user_from_group("a", "ann")
    assert not await service.group_exists("a")
    await service.remove_user_from_all_groups("ann")
    assert not await service.group_exists("b")
    with pytest.raises(ResourceNotFoundError):
        await service.add_user_to_group("a", "missing")


async def test_close_connection_sends_the_reason(emulator: RunningEmulator, service: Any) -> None:
    ann = await emulator.connect("ann")

    await service.close_connection(ann.id, reason="good night " * 20)

    disconnected = await ann.receive()
    assert disconnected["event"] == "disconnected"
    assert disconnected["message"].startswith(
        "Application server closed the connection. Reason: good night"
    )
    assert await ann.receive_close() == (1000, "")


async def test_connections_are_closed_by_user_by_group_and_all(
    emulator: RunningEmulator, service: Any
) -> None:
    clients = [
        await emulator.connect(name, groups=[f"g-{name}"]) for name in ("ann", "bob", "eve", "kim")
    ]
    ann, bob, eve, kim = clients

    await service.close_user_connections("ann")
    await service.close_group_connections("g-bob")
    await service.close_all_connections(excluded=[kim.id])

    for client in (ann, bob, eve):
        assert (await client.receive_close())[0] == 1000
    await kim.assert_no_message()


async def test_permissions_are_granted_and_revoked(emulator: RunningEmulator, service: Any) -> None:
    ann = await emulator.connect("ann")

    assert not await service.has_permission("sendToGroup", ann.id, target_name="a")
    await service.grant_permission("sendToGroup", ann.id, target_name="a")
    assert await service.has_permission("sendToGroup", ann.id, target_name="a")
    assert not await service.has_permission("joinLeaveGroup", ann.id, target_name="a")
    await ann.send(type="sendToGroup", group="a", data=1, ackId=1)
    assert (await ann.receive())["success"]
    await service.revoke_permission("sendToGroup", ann.id, target_name="a")
    await ann.send(type="sendToGroup", group="a", data=1, ackId=2)
    assert (await ann.receive())["error"]["name"] == "Forbidden"
    with pytest.raises(ResourceNotFoundError):
        await service.grant_permission("sendToGroup", "missing", target_name="a")
    with pytest.raises(HttpResponseError):
        await service.grant_permission("sendToGroup", ann.id)


async def test_too_many_permissions_are_a_conflict(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann", roles=[f"webpubsub.sendToGroup.g{n}" for n in range(1000)])

    with pytest.raises(ResourceExistsError):
        await emulator.call(
            emulator.service().grant_permission, "sendToGroup", ann.id, target_name="one too many"
        )


async def test_group_connections_are_listed_in_pages(emulator: RunningEmulator) -> None:
    clients = [await emulator.connect(f"user{n}", groups=["crowd"]) for n in range(7)]

    def listed(**limits: int) -> list[tuple[str, str]]:
        found = emulator.service().list_connections(group="crowd", **limits)
        return [(member.connection_id, member.user_id) for member in found]

    expected = sorted((client.id, client.connected["userId"]) for client in clients)
    assert await emulator.call(listed) == expected
    assert await emulator.call(listed, maxpagesize=2) == expected
    assert await emulator.call(listed, maxpagesize=2, top=5) == expected[:5]
    assert (
        await emulator.call(lambda: list(emulator.service().list_connections(group="missing")))
        == []
    )


async def test_generate_token_issues_a_client_token(emulator: RunningEmulator) -> None:
    status, _, body = await request(
        emulator, "POST", ":generateToken?userId=ann&role=r1&role=r2&group=g&minutesToExpire=5"
    )

    token = jwt.decode(body["token"], DEFAULT_ACCESS_KEY, ["HS256"], options={"verify_aud": False})
    assert status == 200
    assert (token["sub"], token["role"], token["webpubsub.group"]) == ("ann", ["r1", "r2"], ["g"])
    assert token["exp"] - time.time() == pytest.approx(300, abs=5)
    ann = await emulator.open(
        f"{emulator.server.endpoint}/client/?hub={HUB}&access_token={body['token']}"
    )
    assert ann.connected["userId"] == "ann"


async def test_filtered_connections_are_added_to_several_groups(emulator: RunningEmulator) -> None:
    ann, bob = await emulator.connect("ann"), await emulator.connect("bob")
    everyone = {"groups": ["a", "b"], "filter": "userId ne null"}
    only_ann = {"groups": ["a"], "filter": "userId eq 'ann'"}

    assert (await request(emulator, "POST", ":addToGroups", json=everyone))[0] == 200
    assert (await request(emulator, "POST", ":removeFromGroups", json=only_ann))[0] == 200
    await emulator.call(emulator.service().send_to_group, "a", 1)
    await emulator.call(emulator.service().send_to_group, "b", 2)

    assert (await ann.receive())["data"] == 2
    assert [(await bob.receive())["data"] for _ in range(2)] == [1, 2]


async def test_metadata_headers_are_delivered(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann")

    await emulator.call(
        emulator.service().send_to_all, {"a": 1}, headers={"X-WebPubSub-Metadata-Trace": "x, 7"}
    )

    assert (await ann.receive())["metadata"] == {"trace": "7"}


async def test_body_of_another_charset_is_delivered_as_utf_8(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann")

    status, _, _ = await request(
        emulator,
        "POST",
        ":send",
        body="é".encode("latin-1"),
        content_type="text/plain; charset=latin1",
    )

    assert status == 202
    assert (await ann.receive())["data"] == "é"


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status"),
    [
        ("POST", ":send", b"{", "application/json", 400),
        ("POST", ":send", b"x", "image/png", 415),
        ("POST", ":send", b"x", "text/plain; charset=klingon", 415),
        ("POST", ":send", b"\xff", "text/plain", 400),
        ("POST", ":send?messageTtlSeconds=301", b"x", "text/plain", 400),
        ("POST", ":send?messageTtlSeconds=-1", b"x", "text/plain", 400),
        ("POST", ":send?filter=ab", b"x", "text/plain", 400),
        ("POST", ":send?api-version=1999-01-01", b"x", "text/plain", 400),
        ("POST", ":send?api-version=2024-12-01&api-version=2024-12-01", b"x", "text/plain", 400),
        ("POST", "groups/%20/:send", b"x", "text/plain", 400),
        ("GET", "groups/g/connections?maxpagesize=201", None, None, 400),
        ("GET", "groups/g/connections?maxpagesize=0", None, None, 400),
        ("GET", "groups/g/connections?top=x", None, None, 400),
        ("GET", "groups/g/connections?continuationToken=!!", None, None, 400),
        ("GET", "groups/g/connections?continuationToken=WzFd", None, None, 400),
        ("PUT", "permissions/fly/connections/c?targetName=g", None, None, 400),
        ("POST", ":addToGroups", b'{"groups": "g"}', "application/json", 400),
        ("POST", ":addToGroups", b"[]", "application/json", 400),
        ("POST", ":generateToken?minutesToExpire=0", None, None, 400),
        ("PATCH", ":send", None, None, 405),
        ("GET", "nothing/here", None, None, 404),
    ],
)
async def test_invalid_request_is_rejected_with_a_code(
    emulator: RunningEmulator,
    method: str,
    path: str,
    body: bytes | None,
    content_type: str | None,
    status: int,
) -> None:
    actual_status, headers, error = await request(
        emulator, method, path, body=body, content_type=content_type
    )

    assert actual_status == status
    assert error["code"] == headers["x-ms-error-code"]
    assert error["message"]


async def test_body_above_the_limit_or_of_unknown_length_is_rejected(
    emulator: RunningEmulator,
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"

    ann = await emulator.connect("ann", protocol=None)
    exact, _, _ = await request(emulator, "POST", ":send", body=bytes(1024 * 1024))
    too_large, _, _ = await request(emulator, "POST", ":send", body=bytes(1024 * 1024 + 1))
    unknown, _, error = await request(emulator, "POST", ":send", body=pieces())

    assert (exact, too_large) == (202, 413)
    assert await ann.receive() == bytes(1024 * 1024)
    assert (unknown, error["message"]) == (400, "Invalid Content-Length header.")


@pytest.mark.parametrize(
    "audience",
    [
        "{url}",
        "{url}/",
        "{url}?api-version=2024-12-01",
        "{url}/below",
        "{upper}",
        "{ws}",
    ],
)
async def test_rest_token_authorizes_its_audience(emulator: RunningEmulator, audience: str) -> None:
    url = f"{emulator.server.endpoint}/api/hubs/{HUB}/users/a%20b/:send"
    named = audience.format(url=url, upper=url.upper(), ws=url.replace("http", "ws"))

    assert await send_with_claims(emulator, url, {"aud": named, "exp": time.time() + 60}) == 202


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "{url}suffix"},
        {"aud": "ftp{url}"},
        {"aud": "{url}%3Fx"},
        {"aud": "http://elsewhere.example/api/hubs/chat/users/a%20b/:send"},
        {"aud": "{url}", "exp": 1000},
        {"aud": "{url}", "exp": None},
        {},
    ],
)
async def test_rest_token_of_another_audience_is_rejected(
    emulator: RunningEmulator, claims: dict[str, Any]
) -> None:
    url = f"{emulator.server.endpoint}/api/hubs/{HUB}/users/a%20b/:send"
    claims = {"exp": time.time() + 60} | claims
    claims = {
        name: value.format(url=url) if isinstance(value, str) else value
        for name, value in claims.items()
        if value is not None
    }

    assert await send_with_claims(emulator, url, claims) == 401


async def test_both_access_keys_are_accepted_and_others_are_not(emulator: RunningEmulator) -> None:
    def with_key(key: str) -> WebPubSubServiceClient:
        string = f"Endpoint={emulator.server.endpoint};AccessKey={key};Version=1.0;"
        return WebPubSubServiceClient.from_connection_string(string, hub=HUB, retry_total=0)

    await emulator.call(with_key(SECOND_KEY).send_to_all, "hi")
    with pytest.raises(ClientAuthenticationError):
        await emulator.call(with_key("x" * 40).send_to_all, "hi")


async def test_slash_in_a_user_id_stays_escaped(emulator: RunningEmulator) -> None:
    slash = await emulator.connect("a/b c+d@e.com")
    literal = await emulator.connect("a%2Fb c+d@e.com")

    await emulator.call(emulator.service().send_to_user, "a/b c+d@e.com", "hi")

    assert (await literal.receive())["data"] == "hi"
    await slash.assert_no_message()


async def test_every_response_lists_the_supported_versions(emulator: RunningEmulator) -> None:
    _, headers, _ = await request(emulator, "GET", "groups/g/connections")

    assert headers["api-supported-versions"].endswith("2024-12-01")


async def test_hub_names_ignore_case_and_hubs_are_separate(emulator: RunningEmulator) -> None:
    ann, bob = await emulator.connect("ann", hub="Chat"), await emulator.connect("bob", hub="other")

    await emulator.call(emulator.service("CHAT").send_to_all, "hi")

    assert (await ann.receive())["data"] == "hi"
    await bob.assert_no_message()


async def test_json_body_is_delivered_byte_for_byte(emulator: RunningEmulator) -> None:
    ann = await emulator.connect("ann", protocol=None, roles=list(GROUP_ROLES))

    await request(emulator, "POST", ":send", body=b'{"n": 1.0}', content_type="application/json")

    assert await ann.receive() == '{"n": 1.0}'


async def send_with_claims(emulator: RunningEmulator, url: str, claims: dict[str, Any]) -> int:
    headers = {"Authorization": "Bearer " + jwt.encode(claims, DEFAULT_ACCESS_KEY)}
    async with emulator.http.post(url, data=b"x", headers=headers) as response:
        return response.status
