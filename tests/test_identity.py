"""Guests, client access tokens and unsafe settings: no caller can use another user's id."""

import asyncio
import re
import time
from typing import Any

import aiohttp
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.parts import Stack, free_ports, start_functions
from realtime.identity.address import client_address
from realtime.identity.guest import Guest
from realtime.identity.sessions import SessionSigner
from realtime.names import (
    display_name,
    encode_display_name,
    validate_user_id,
)
from realtime.settings import LOCAL_SECRET, InvalidSettingsError, Settings
from tests.identities import SECRET, bearer, error_code
from tests.service import Service
from tests.strict import QUIET
from tests.users import User

SESSION = "townsquare-session"


# --- guests -------------------------------------------------------------------------------------


async def test_a_session_keeps_the_id_and_name_of_a_guest() -> None:
    guests = Guest(SessionSigner(SECRET))
    first = await guests.authenticate_or_create({}, "ann")
    assert first.session
    token = SessionSigner(SECRET).sign(first.session)

    again = await guests.authenticate_or_create(bearer(token), "somebody else")

    assert (again.user_id, again.name) == (first.user_id, "ann")
    assert (await guests.authenticate(bearer(token))).user_id == first.user_id


async def test_the_same_name_twice_makes_two_users(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    racing = [User.create(http, stack.url, "ann") for _ in range(8)]

    ids = [user.id for user in await asyncio.gather(*racing)]

    assert len(set(ids)) == 8
    assert {display_name(one) for one in ids} == {"ann"}


async def test_a_user_id_that_is_taken_is_not_reused(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    ann = await User.create(http, stack.url, "ann")

    mallory = await User.create(http, stack.url, ann.id)

    assert mallory.id != ann.id
    assert mallory.id.startswith(f"{ann.id}-")


def session(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    valid = {
        "sub": "ann-22222222",
        "aud": SESSION,
        "exp": time.time() + 60,
        "sid": "a-session",
        "name": "ann",
        "began": int(time.time()),
    }
    merged = {name: value for name, value in (valid | claims).items() if value is not None}
    return jwt.encode(merged, secret, algorithm=algorithm)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(session(secret=SECRET[::-1]), id="another secret"),
        pytest.param(session(secret="", algorithm="none"), id="no signature"),
        pytest.param(session(algorithm="HS512"), id="another algorithm"),
        pytest.param(session(exp=time.time() - 1), id="expired"),
        pytest.param(session(exp=None), id="without expiry"),
        pytest.param(session(sub=None), id="without a subject"),
        pytest.param(session(sid=None), id="without an id"),
        pytest.param(session(began="yesterday"), id="invalid start time"),
        pytest.param(session(aud="another app"), id="another audience"),
        pytest.param(session()[:-2], id="truncated"),
        pytest.param("", id="empty"),
        pytest.param("." * 10_000, id="dots"),
        pytest.param("\udcff\udcfe", id="not UTF-8"),
    ],
)
async def test_an_invalid_session_is_rejected(token: str) -> None:
    assert (
        await error_code(Guest(SessionSigner(SECRET)).authenticate(bearer(token)))
        == "unauthenticated"
    )


@pytest.mark.parametrize("scheme", ["", "Basic ", "bearer", "Token "])
async def test_a_session_is_accepted_only_as_a_bearer_token(scheme: str) -> None:
    headers = {"authorization": scheme + session()}

    assert await error_code(Guest(SessionSigner(SECRET)).authenticate(headers)) == "unauthenticated"


@given(st.text() | st.from_regex(r"[a-z]+_[a-f0-9]{16}"))
def test_a_guest_id_is_well_formed_and_differs_from_account_ids(name: str) -> None:
    caller = asyncio.run(Guest(SessionSigner(SECRET)).authenticate_or_create({}, name))

    assert validate_user_id(caller.user_id) == caller.user_id
    assert "_" not in caller.user_id


@pytest.mark.parametrize(
    ("requested", "name"),
    [
        ("Ann Lee", "Ann-Lee"),
        ("Ａｎｎ", "Ann"),  # noqa: RUF001 - full-width letters are the test
        ("a\u200bn\u202en", "ann"),
        ("ann\r\nX-Injected: 1", "ann-X-Injected-1"),
        ("x' or PartitionKey ne 'x", "x-or-PartitionKey-ne-x"),
        ("ann_0123456789abcdef", "ann-0123456789abcdef"),
        ("системный", "guest"),
        ("", "guest"),
        ("system", "guest"),
        ("S.y.s.t.e.m", "guest"),
        ("ＳＹＳＴＥＭ", "guest"),  # noqa: RUF001
        ("a" * 100_000, "a" * 40),
    ],
)
async def test_a_requested_name_is_converted_to_the_characters_of_ids(
    requested: str, name: str
) -> None:
    caller = await Guest(SessionSigner(SECRET)).authenticate_or_create({}, requested)

    assert re.fullmatch(re.escape(name) + "-[a-z2-9]{8}", caller.user_id)


def test_the_client_address_is_read_from_the_platform_header() -> None:
    assert client_address({"x-forwarded-for": "1.2.3.4, 5.6.7.8:4711"}) == "5.6.7.8"
    assert client_address({"x-forwarded-for": "[2001:db8::1]:4711"}) == "2001:db8::"
    assert client_address({"x-forwarded-for": "2001:db8::2"}) == "2001:db8::"
    assert client_address({"x-forwarded-for": "anything"}) == client_address({}) == ""


# --- client access tokens -----------------------------------------------------------------------


async def test_a_client_token_has_only_the_granted_groups_and_roles(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    ann = await User.create(http, stack.url, "ann")

    negotiated = await ann.negotiate(room="lobby", groups=["stocks"])

    claims = jwt.decode(negotiated["token"], options={"verify_signature": False})
    expires = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(claims["exp"]))
    assert claims["exp"] - claims["iat"] <= 3600
    assert negotiated["expires_on"] == f"{expires}.000Z"
    assert claims["sub"] == ann.id
    groups = {group for group in claims["webpubsub.group"] if not group.startswith("session.")}
    assert groups == {"room.lobby", "stocks", encode_display_name("ann")}
    assert len(claims["webpubsub.group"]) == len(groups) + 1
    assert all(re.fullmatch(r"webpubsub\.joinLeaveGroup\.[a-z-]+", r) for r in claims["role"])


async def test_a_requested_token_lifetime_is_ignored(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    url = f"{stack.url}/api/negotiate?user_id=ann&ttl=1000000000&minutes_to_expire=1000000000"
    async with http.get(url) as response:
        token = (await response.json())["token"]

    claims = jwt.decode(token, options={"verify_signature": False})

    assert claims["exp"] - claims["iat"] <= 3600


async def test_group_commands_of_clients_are_forbidden(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    ann, bob = [await User.create(http, stack.url, name) for name in ("ann", "bob")]
    async with ann.connect("lobby") as tab, bob.connect("lobby") as receiver:
        group = {"group": "room.lobby", "ackId": 900}
        sending = {"type": "sendToGroup", "dataType": "text", "data": "past the webhook", **group}

        await tab.command(sending)
        sent = await tab.receive(type="ack", ackId=900)
        await tab.command({"type": "joinGroup", "group": "room.elsewhere", "ackId": 901})
        joined = await tab.receive(type="ack", ackId=901)

        assert [sent["error"]["name"], joined["error"]["name"]] == ["Forbidden", "Forbidden"]
        await tab.send_message("lobby", "through the webhook")
        await receiver.receive(type="message", content="through the webhook")
        assert "past the webhook" not in str(receiver.received)


async def test_a_connect_event_with_another_subject_is_rejected(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    response = await Service(http, stack.url).send_system_event(
        "connect", {"claims": {"sub": ["bob-22222222"]}}, user="ann-22222222"
    )

    assert (response.status, response.code) == (401, "unauthenticated")


# --- settings -----------------------------------------------------------------------------------

COMPLETE = {
    "WEBPUBSUB_CONNECTION_STRING": "Endpoint=https://here;AccessKey=key;Version=1.0;",
    "TABLES_CONNECTION_STRING": "anything",
    "SESSION_SECRET": SECRET,
    "WEBSITE_SITE_NAME": "townsquare",
    "IDENTITY": "guest",
}

INCOMPLETE = {
    "no secret": ({"SESSION_SECRET": ""}, "SESSION_SECRET is missing"),
    "a short secret": ({"SESSION_SECRET": "short"}, "SESSION_SECRET is missing or short"),
    "the secret of the example": (
        {"SESSION_SECRET": LOCAL_SECRET},
        "SESSION_SECRET is the public one of the example",
    ),
    "the previous secret of the example": (
        {"SESSION_SECRET_PREVIOUS": LOCAL_SECRET},
        "SESSION_SECRET_PREVIOUS is the public one of the example",
    ),
    "the secret of the example beside an issuer": (
        {"IDENTITY": "oidc", "SESSION_SECRET": LOCAL_SECRET},
        "SESSION_SECRET is the public one of the example",
    ),
    "no identity": ({"IDENTITY": ""}, "IDENTITY is missing"),
    "an unknown identity": ({"IDENTITY": "anybody"}, "IDENTITY is 'anybody'"),
    "no issuer": ({"IDENTITY": "oidc", "OIDC_AUDIENCE": "a"}, "OIDC_ISSUER is missing"),
    "no audience": ({"IDENTITY": "oidc", "OIDC_ISSUER": "https://a"}, "OIDC_AUDIENCE is missing"),
    "an issuer without TLS": (
        {"IDENTITY": "oidc", "OIDC_ISSUER": "http://a", "OIDC_AUDIENCE": "a"},
        "OIDC_ISSUER is not https",
    ),
    "no webhook issuer": (
        {"WEBPUBSUB_CONNECTION_STRING": "", "WEBPUBSUB_ENDPOINT": "https://here"},
        "WEBHOOK_ISSUER, WEBHOOK_AUDIENCE or WEBHOOK_SUBJECT is missing",
    ),
    "a negative limit": ({"JOINS_PER_MINUTE": "-1"}, "JOINS_PER_MINUTE is negative"),
}


@pytest.mark.parametrize(("changes", "sentence"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_a_deployed_app_rejects_unsafe_settings(changes: dict[str, str], sentence: str) -> None:
    assert Settings.read(COMPLETE)
    with pytest.raises(InvalidSettingsError) as raised:
        Settings.read(COMPLETE | changes)

    assert str(raised.value).startswith(sentence)
    assert "Set it in the function app's application settings" in str(raised.value)
    assert SECRET not in str(raised.value)


async def test_an_app_without_a_secret_responds_503_and_logs_the_reason(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    (port,) = free_ports(1)
    app = start_functions(port, stack.environment | QUIET | {"SESSION_SECRET": ""})
    try:
        await asyncio.to_thread(app.wait)
        statuses = []
        for path in ("/api/negotiate", "/api/rooms", "/api/streams", "/api/health"):
            async with http.get(app.url + path) as response:
                statuses.append(response.status)
                assert "SESSION_SECRET" not in await response.text()
        await asyncio.to_thread(
            app.wait_for_output, lambda line: "SESSION_SECRET is missing" in line
        )
    finally:
        app.stop()

    assert statuses == [503] * 4
