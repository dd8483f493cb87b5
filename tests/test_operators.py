"""Minted sessions and operators: actions of operators and key holders are in the audit log."""

import asyncio
from typing import Any

import aiohttp
import jwt
import pytest

from local.parts import Part, Stack, free_ports, start_functions
from tests.strict import KEY
from tests.users import User


async def mint(
    http: aiohttp.ClientSession, url: str, user_id: str, **body: Any
) -> tuple[int, dict[str, Any]]:
    """Mint a session with the function key. Returns status and body."""
    headers = {"x-functions-key": KEY}
    body = {"name": user_id.capitalize(), **body}
    path = f"{url}/api/users/{user_id}/session"
    async with http.post(path, json=body, headers=headers) as response:
        return (
            response.status,
            await response.json() if response.content_type != "text/plain" else {},
        )


async def create_vouched_user(
    http: aiohttp.ClientSession, url: str, user_id: str, **body: Any
) -> User:
    """A user with a session minted by a server."""
    status, minted = await mint(http, url, user_id, **body)
    assert status == 200, minted
    return User(http, url, {**minted, "token": minted["session"]})


@pytest.fixture
async def olivia(stack: Stack, http: aiohttp.ClientSession) -> User:
    return await create_vouched_user(http, stack.url, "olivia", operator=True)


async def test_a_server_mints_sessions_for_its_own_users(
    stack: Stack, http: aiohttp.ClientSession, room: str
) -> None:
    carol = await create_vouched_user(http, stack.url, "customer_4711", name="Carol Müller")

    async with carol.connect(room) as tab:
        await tab.send_message(room, "hello")
        message = await tab.receive(type="message")

    assert (message["from"], message["name"]) == ("customer_4711", "Carol Müller")
    assert not (await carol.get("/api/me"))["operator"]


async def test_a_minted_session_has_the_requested_lifetime_also_after_a_renewal(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    short = await create_vouched_user(http, stack.url, "short", hours=1)

    renewed = [
        (await short.get("/api/me"))["session"],
        (await short.negotiate())["session"],
        (await short.ask("PATCH", "/api/me", json={"colour": 1}))[1]["session"],
    ]

    for token in (short.session, *renewed):
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["exp"] - claims["began"] == 3600


@pytest.mark.parametrize(
    ("user_id", "body", "code"),
    [
        ("a:b", {}, "invalid_user"),
        ("system", {"name": "Carol"}, "invalid_user"),
        ("Deleted", {"name": "Carol"}, "invalid_user"),
        ("key", {"name": "Carol", "operator": True}, "invalid_user"),
        ("carol", {"name": "\u3164"}, "invalid_name"),
        ("carol", {"name": "\u0455ystem"}, "invalid_name"),
        ("carol", {"hours": 100_000}, "invalid_request"),
        ("carol", {"operator": "yes"}, "invalid_request"),
    ],
)
async def test_an_invalid_session_request_is_rejected(
    stack: Stack, http: aiohttp.ClientSession, user_id: str, body: dict[str, Any], code: str
) -> None:
    status, response = await mint(http, stack.url, user_id, **body)

    assert (status, response["error"]["code"]) == (400, code)


async def test_operator_actions_are_in_the_audit_log(
    stack: Stack, http: aiohttp.ClientSession, olivia: User, ann: User, room: str
) -> None:
    status, response = await olivia.ask("PUT", f"/api/operator/users/{ann.id}/ban")
    assert (status, response) == (200, {"user_id": ann.id, "banned": True})
    assert (await ann.ask("GET", "/api/me"))[0] == 403
    await olivia.ask("DELETE", f"/api/operator/users/{ann.id}/ban")
    text = {"content": "a text that must not be recorded", "from": "olivia"}
    for method, path, body in (
        ("PUT", f"/api/rooms/{room}", {"private": True}),
        ("PUT", f"/api/rooms/{room}/members/{ann.id}", None),
        ("DELETE", f"/api/rooms/{room}/members/{ann.id}", None),
        ("POST", f"/api/rooms/{room}/message", text),
        ("DELETE", f"/api/rooms/{room}/messages/1", None),
        ("POST", f"/api/publish?group=room.{room}", text),
    ):
        async with http.request(method, stack.url + path, json=body) as response:
            assert response.status == 200, await response.text()

    actions = (await olivia.get("/api/audit?limit=9"))["acts"]

    assert [(one["actor"], one["action"], one["target"]) for one in reversed(actions)] == [
        ("key", "mint operator", "olivia"),
        ("olivia", "ban", ann.id),
        ("olivia", "remove ban", ann.id),
        ("key", "close room", room),
        ("key", "add member", f"{room}/{ann.id}"),
        ("key", "remove member", f"{room}/{ann.id}"),
        ("key", "send as olivia", room),
        ("key", "delete message", f"{room}/1"),
        ("key", "publish", f"room.{room}"),
    ]
    assert "must not be recorded" not in str(actions)


async def test_the_audit_log_is_paged(olivia: User) -> None:
    for _ in range(4):
        await olivia.ask("DELETE", "/api/operator/users/nobody-22222222/ban")
    whole = (await olivia.get("/api/audit?limit=4"))["acts"]

    pages, after = [], ""
    for _ in range(2):
        pages += (await olivia.get(f"/api/audit?limit=2&after={after}"))["acts"]
        after = pages[-1]["key"]

    assert pages == whole


async def test_only_operators_administer_without_a_key(ann: User, bob: User) -> None:
    responses = [
        await ann.ask("GET", "/api/audit"),
        await ann.ask("PUT", f"/api/operator/users/{bob.id}/ban"),
    ]

    assert [(status, body["error"]["code"]) for status, body in responses] == [
        (403, "forbidden")
    ] * 2
    assert (await bob.ask("GET", "/api/me"))[0] == 200


async def test_no_session_is_minted_without_the_key(
    strict: Part, http: aiohttp.ClientSession, ann: User
) -> None:
    url = f"{strict.url}/api/users/olivia/session"
    headers = {"Authorization": f"Bearer {ann.session}"}
    async with http.post(url, json={"name": "Olivia"}, headers=headers) as response:
        assert response.status == 401


@pytest.mark.parametrize("name", ["Mallory Adams", "MALLORY ADAMS", "M\u0430llory Ad\u0430ms"])
async def test_a_guest_name_like_the_name_of_a_vouched_user_is_rejected(
    stack: Stack, http: aiohttp.ClientSession, ann: User, name: str
) -> None:
    await mint(http, stack.url, "employee_1", name="Mallory Adams")

    status, body = await ann.ask("PATCH", "/api/me", json={"name": name})
    async with http.post(f"{stack.url}/api/negotiate", json={"name": name}) as response:
        negotiated = response.status, (await response.json())["error"]["code"]

    assert (status, body["error"]["code"]) == (409, "name_taken")
    assert negotiated == (409, "name_taken")


async def test_the_present_name_of_a_vouched_user_is_reserved(
    stack: Stack, http: aiohttp.ClientSession, ann: User
) -> None:
    async def negotiate(name: str) -> int:
        async with http.post(f"{stack.url}/api/negotiate", json={"name": name}) as response:
            return response.status

    yolanda = await create_vouched_user(http, stack.url, "employee_2", name="Yolanda Quill")
    assert await negotiate("Director Zed") == 200
    assert (await yolanda.ask("PATCH", "/api/me", json={"name": "Director Zed"}))[0] == 200
    assert await negotiate("Director Zed") == 409
    assert (await ann.ask("PATCH", "/api/me", json={"name": "D1rector Zed"}))[0] == 409
    assert (await yolanda.ask("PATCH", "/api/me", json={"status": "away"}))[0] == 200
    assert await negotiate("Director Zed") == 409
    assert (await yolanda.ask("PATCH", "/api/me", json={"name": "Director Yo"}))[0] == 200

    assert await negotiate("Director Yo") == 409
    assert await negotiate("Yolanda Quill") == 409, "a name that the server has given stays"
    assert await negotiate("Director Zed") == 200, "a name that the user chose before is free"


@pytest.mark.parametrize(
    ("settings", "status"),
    [({"SESSION_SECRET": "s" * 32}, 200), ({"SESSION_SECRET": ""}, 400)],
    ids=["with a secret", "without a secret"],
)
async def test_a_bot_enters_with_a_minted_session_beside_an_issuer(
    stack: Stack, http: aiohttp.ClientSession, settings: dict[str, str], status: int
) -> None:
    (port,) = free_ports(1)
    identity = {"IDENTITY": "oidc", "OIDC_ISSUER": "http://localhost:9", "OIDC_AUDIENCE": "app"}
    app = start_functions(port, stack.environment | identity | settings)
    try:
        await asyncio.to_thread(app.wait)
        minted, _ = await mint(http, app.url, "bot-22222222", operator=True)
        assert minted == status
        if status == 200:
            bot = await create_vouched_user(http, app.url, "bot-22222222", operator=True)
            negotiated = await bot.negotiate()
            assert negotiated["session"]
            assert (await bot.get("/api/me"))["operator"]
            ban = f"{app.url}/api/users/eve-22222222/ban"
            operator = {"Authorization": f"Bearer {bot.session}", "x-functions-key": KEY}
            async with http.put(ban, headers=operator) as response:
                assert response.status == 200
            acts = (await bot.get("/api/audit"))["acts"]
            assert ("bot-22222222", "ban", "eve-22222222") in {
                (act["actor"], act["action"], act["target"]) for act in acts
            }
        async with http.post(f"{app.url}/api/negotiate", json={"user_id": "ann"}) as response:
            assert response.status == 401
    finally:
        await asyncio.to_thread(app.stop)
