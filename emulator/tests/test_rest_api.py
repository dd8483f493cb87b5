"""What an application asks of the service, through the official Python SDK and without it."""

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
from running_emulator import HUB, RELIABLE, TALKER, Desk, desk
from webpubsub_emulator.tokens import DEFAULT_KEY

SECOND_KEY = "second-key-second-key-second-key-second-key"


@pytest.fixture
async def d() -> AsyncIterator[Desk]:
    async with desk(secondary_key=SECOND_KEY) as d:
        yield d


class Asked:
    """The blocking SDK, called in a thread so that the emulator in this process can answer."""

    def __init__(self, d: Desk, service: WebPubSubServiceClient) -> None:
        self._d = d
        self._service = service

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._d.ask(getattr(self._service, name), *args, **kwargs)

        return call


@pytest.fixture(params=["sync", "aio"])
async def service(request: pytest.FixtureRequest, d: Desk) -> AsyncIterator[Any]:
    """The same questions, asked through both of the SDK's clients."""
    if request.param == "sync":
        with d.service() as client:
            yield Asked(d, client)
    else:
        async with AsyncServiceClient.from_connection_string(
            d.server.connection_string, hub=HUB, retry_total=0
        ) as client:
            yield client


async def test_a_message_to_all_is_heard_by_all_but_the_excluded(d: Desk, service: Any) -> None:
    ann, bob, raw = await d.enter("ann"), await d.enter("bob"), await d.enter(protocol=None)

    await service.send_to_all({"a": [1, None]}, excluded=[bob.id])

    assert await ann.hears() == {
        "type": "message",
        "from": "server",
        "dataType": "json",
        "data": {"a": [1, None]},
    }
    assert await raw.hears() == '{"a": [1, null]}'
    await bob.hears_nothing()


async def test_a_message_to_a_group_says_which_group(d: Desk, service: Any) -> None:
    ann = await d.enter("ann", groups=["lobby"])

    await service.send_to_group("lobby", "hi", content_type="text/plain")

    message = await ann.hears()
    assert (message["from"], message["group"], message["data"]) == ("group", "lobby", "hi")
    assert message["fromUserId"] is None


async def test_a_message_to_a_user_reaches_all_the_users_connections(d: Desk, service: Any) -> None:
    first, second = await d.enter("ann"), await d.enter("ann", protocol=RELIABLE)
    bob = await d.enter("bob")

    await service.send_to_user("ann", b"\x00\xff", content_type="application/octet-stream")

    assert (await first.hears())["data"] == "AP8="
    assert await second.hears() == {
        "sequenceId": 1,
        "type": "message",
        "from": "server",
        "dataType": "binary",
        "data": "AP8=",
    }
    await bob.hears_nothing()


async def test_a_message_to_a_connection_is_heard_there_and_nowhere_else(
    d: Desk, service: Any
) -> None:
    first, second = await d.enter("ann"), await d.enter("ann")

    await service.send_to_connection(first.id, "hi")
    await service.send_to_connection("nobody", "hi")

    assert (await first.hears())["data"] == "hi"
    await second.hears_nothing()


async def test_a_filter_chooses_who_hears(d: Desk, service: Any) -> None:
    ann, bob = await d.enter("ann", groups=["a"]), await d.enter("bob", groups=["b"])

    await service.send_to_all("x", filter="userId eq 'ann' and 'a' in groups")
    await service.send_to_all("y", filter="not ('a' in groups)")

    assert (await ann.hears())["data"] == "x"
    assert (await bob.hears())["data"] == "y"


async def test_an_unreadable_filter_is_refused_with_its_fault(service: Any) -> None:
    with pytest.raises(HttpResponseError) as refusal:
        await service.send_to_all("x", filter="userId lt 1")

    assert refusal.value.status_code == 400
    assert "Type 'string', expect 'int'. (Parameter 'filter')" in str(refusal.value)


async def test_who_is_there(d: Desk, service: Any) -> None:
    ann = await d.enter("ann", groups=["lobby"])

    assert await service.user_exists("ann")
    assert await service.group_exists("lobby")
    assert await service.connection_exists(ann.id)
    assert not await service.user_exists("bob")
    assert not await service.group_exists("other")
    assert not await service.connection_exists("nobody")


async def test_groups_are_joined_and_left_by_connection(d: Desk, service: Any) -> None:
    ann = await d.enter("ann")

    await service.add_connection_to_group("a", ann.id)
    await service.add_connection_to_group("b", ann.id)
    assert await service.group_exists("a")
    await service.remove_connection_from_group("a", ann.id)
    assert not await service.group_exists("a")
    await service.remove_connection_from_all_groups(ann.id)
    assert not await service.group_exists("b")
    await service.remove_connection_from_group("a", "nobody")
    with pytest.raises(ResourceNotFoundError) as refusal:
        await service.add_connection_to_group("a", "nobody")

    assert refusal.value.error.code == "Error.Connection.NotExisted"
    assert refusal.value.response.headers["x-ms-error-code"] == "Error.Connection.NotExisted"


async def test_groups_are_joined_and_left_by_user(d: Desk, service: Any) -> None:
    await d.enter("ann")

    await service.add_user_to_group("a", "ann")
    await service.add_user_to_group("b", "ann")
    assert await service.group_exists("a")
    await service.remove_user_from_group("a", "ann")
    assert not await service.group_exists("a")
    await service.remove_user_from_all_groups("ann")
    assert not await service.group_exists("b")
    with pytest.raises(ResourceNotFoundError):
        await service.add_user_to_group("a", "nobody")


async def test_a_connection_is_closed_with_a_reason(d: Desk, service: Any) -> None:
    ann = await d.enter("ann")

    await service.close_connection(ann.id, reason="good night " * 20)

    goodbye = await ann.hears()
    assert goodbye["event"] == "disconnected"
    assert goodbye["message"].startswith(
        "Application server closed the connection. Reason: good night"
    )
    assert await ann.is_closed() == (1000, "")


async def test_connections_are_closed_by_user_by_group_and_all(d: Desk, service: Any) -> None:
    people = [await d.enter(name, groups=[f"g-{name}"]) for name in ("ann", "bob", "eve", "kim")]
    ann, bob, eve, kim = people

    await service.close_user_connections("ann")
    await service.close_group_connections("g-bob")
    await service.close_all_connections(excluded=[kim.id])

    for person in (ann, bob, eve):
        assert (await person.is_closed())[0] == 1000
    await kim.hears_nothing()


async def test_permissions_are_granted_and_revoked(d: Desk, service: Any) -> None:
    ann = await d.enter("ann")

    assert not await service.has_permission("sendToGroup", ann.id, target_name="a")
    await service.grant_permission("sendToGroup", ann.id, target_name="a")
    assert await service.has_permission("sendToGroup", ann.id, target_name="a")
    assert not await service.has_permission("joinLeaveGroup", ann.id, target_name="a")
    await ann.says(type="sendToGroup", group="a", data=1, ackId=1)
    assert (await ann.hears())["success"]
    await service.revoke_permission("sendToGroup", ann.id, target_name="a")
    await ann.says(type="sendToGroup", group="a", data=1, ackId=2)
    assert (await ann.hears())["error"]["name"] == "Forbidden"
    with pytest.raises(ResourceNotFoundError):
        await service.grant_permission("sendToGroup", "nobody", target_name="a")
    with pytest.raises(HttpResponseError):
        await service.grant_permission("sendToGroup", ann.id)


async def test_too_many_permissions_are_a_conflict(d: Desk) -> None:
    ann = await d.enter("ann", roles=[f"webpubsub.sendToGroup.g{n}" for n in range(1000)])

    with pytest.raises(ResourceExistsError):
        await d.ask(d.service().grant_permission, "sendToGroup", ann.id, target_name="one too many")


async def test_a_group_is_listed_page_by_page(d: Desk) -> None:
    people = [await d.enter(f"user{n}", groups=["crowd"]) for n in range(7)]

    def listed(**limits: int) -> list[tuple[str, str]]:
        found = d.service().list_connections(group="crowd", **limits)
        return [(member.connection_id, member.user_id) for member in found]

    expected = sorted((person.id, person.connected["userId"]) for person in people)
    assert await d.ask(listed) == expected
    assert await d.ask(listed, maxpagesize=2) == expected
    assert await d.ask(listed, maxpagesize=2, top=5) == expected[:5]
    assert await d.ask(lambda: list(d.service().list_connections(group="nobody"))) == []


async def test_an_entra_style_token_is_issued_by_the_service(d: Desk) -> None:
    status, _, body = await request(
        d, "POST", ":generateToken?userId=ann&role=r1&role=r2&group=g&minutesToExpire=5"
    )

    token = jwt.decode(body["token"], DEFAULT_KEY, ["HS256"], options={"verify_aud": False})
    assert status == 200
    assert (token["sub"], token["role"], token["webpubsub.group"]) == ("ann", ["r1", "r2"], ["g"])
    assert token["exp"] - time.time() == pytest.approx(300, abs=5)
    ann = await d.open(f"{d.server.endpoint}/client/?hub={HUB}&access_token={body['token']}")
    assert ann.connected["userId"] == "ann"


async def test_many_groups_at_once_for_those_who_pass_a_filter(d: Desk) -> None:
    ann, bob = await d.enter("ann"), await d.enter("bob")
    everyone = {"groups": ["a", "b"], "filter": "userId ne null"}
    only_ann = {"groups": ["a"], "filter": "userId eq 'ann'"}

    assert (await request(d, "POST", ":addToGroups", json=everyone))[0] == 200
    assert (await request(d, "POST", ":removeFromGroups", json=only_ann))[0] == 200
    await d.ask(d.service().send_to_group, "a", 1)
    await d.ask(d.service().send_to_group, "b", 2)

    assert (await ann.hears())["data"] == 2
    assert [(await bob.hears())["data"] for _ in range(2)] == [1, 2]


async def test_metadata_travels_in_headers(d: Desk) -> None:
    ann = await d.enter("ann")

    await d.ask(d.service().send_to_all, {"a": 1}, headers={"X-WebPubSub-Metadata-Trace": "x, 7"})

    assert (await ann.hears())["metadata"] == {"trace": "7"}


async def test_a_message_of_another_charset_arrives_as_utf_8(d: Desk) -> None:
    ann = await d.enter("ann")

    status, _, _ = await request(
        d, "POST", ":send", body="é".encode("latin-1"), content_type="text/plain; charset=latin1"
    )

    assert status == 202
    assert (await ann.hears())["data"] == "é"


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
async def test_what_cannot_be_is_refused_with_a_code(
    d: Desk, method: str, path: str, body: bytes | None, content_type: str | None, status: int
) -> None:
    answered, headers, error = await request(d, method, path, body=body, content_type=content_type)

    assert answered == status
    assert error["code"] == headers["x-ms-error-code"]
    assert error["message"]


async def test_a_body_over_the_limit_or_of_unknown_length_is_refused(d: Desk) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"

    ann = await d.enter("ann", protocol=None)
    exact, _, _ = await request(d, "POST", ":send", body=bytes(1024 * 1024))
    too_large, _, _ = await request(d, "POST", ":send", body=bytes(1024 * 1024 + 1))
    unknown, _, error = await request(d, "POST", ":send", body=pieces())

    assert (exact, too_large) == (202, 413)
    assert await ann.hears() == bytes(1024 * 1024)
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
async def test_a_token_opens_the_address_that_it_names(d: Desk, audience: str) -> None:
    url = f"{d.server.endpoint}/api/hubs/{HUB}/users/a%20b/:send"
    named = audience.format(url=url, upper=url.upper(), ws=url.replace("http", "ws"))

    assert await sent_with(d, url, {"aud": named, "exp": time.time() + 60}) == 202


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
async def test_a_token_for_something_else_opens_nothing(d: Desk, claims: dict[str, Any]) -> None:
    url = f"{d.server.endpoint}/api/hubs/{HUB}/users/a%20b/:send"
    claims = {"exp": time.time() + 60} | claims
    claims = {
        name: value.format(url=url) if isinstance(value, str) else value
        for name, value in claims.items()
        if value is not None
    }

    assert await sent_with(d, url, claims) == 401


async def test_both_keys_open_and_a_foreign_one_does_not(d: Desk) -> None:
    def with_key(key: str) -> WebPubSubServiceClient:
        string = f"Endpoint={d.server.endpoint};AccessKey={key};Version=1.0;"
        return WebPubSubServiceClient.from_connection_string(string, hub=HUB, retry_total=0)

    await d.ask(with_key(SECOND_KEY).send_to_all, "hi")
    with pytest.raises(ClientAuthenticationError):
        await d.ask(with_key("x" * 40).send_to_all, "hi")


async def test_a_slash_in_a_user_id_stays_escaped_as_in_azure(d: Desk) -> None:
    slash = await d.enter("a/b c+d@e.com")
    literal = await d.enter("a%2Fb c+d@e.com")

    await d.ask(d.service().send_to_user, "a/b c+d@e.com", "hi")

    assert (await literal.hears())["data"] == "hi"
    await slash.hears_nothing()


async def test_every_answer_names_the_supported_versions(d: Desk) -> None:
    _, headers, _ = await request(d, "GET", "groups/g/connections")

    assert headers["api-supported-versions"].endswith("2024-12-01")


async def test_hub_names_ignore_case_and_hubs_do_not_mix(d: Desk) -> None:
    ann, bob = await d.enter("ann", hub="Chat"), await d.enter("bob", hub="other")

    await d.ask(d.service("CHAT").send_to_all, "hi")

    assert (await ann.hears())["data"] == "hi"
    await bob.hears_nothing()


async def test_a_json_text_stays_the_token_that_it_was(d: Desk) -> None:
    ann = await d.enter("ann", protocol=None, roles=list(TALKER))

    await request(d, "POST", ":send", body=b'{"n": 1.0}', content_type="application/json")

    assert await ann.hears() == '{"n": 1.0}'


async def request(
    d: Desk,
    method: str,
    path: str,
    *,
    body: Any = None,
    json: Any = None,
    content_type: str | None = None,
) -> tuple[int, Any, Any]:
    """Ask without the SDK; returns status, headers and the JSON of the answer."""
    url = f"{d.server.endpoint}/api/hubs/{HUB}/{path}"
    claims = {"aud": url.partition("?")[0], "exp": time.time() + 60}
    headers = {"Authorization": "Bearer " + jwt.encode(claims, DEFAULT_KEY)}
    if content_type:
        headers["Content-Type"] = content_type
    async with d.http.request(method, url, data=body, json=json, headers=headers) as answer:
        text = await answer.text()
        is_json = answer.content_type == "application/json"
        return answer.status, answer.headers, await answer.json() if is_json else text


async def sent_with(d: Desk, url: str, claims: dict[str, Any]) -> int:
    headers = {"Authorization": "Bearer " + jwt.encode(claims, DEFAULT_KEY)}
    async with d.http.post(url, data=b"x", headers=headers) as answer:
        return answer.status
