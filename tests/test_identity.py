"""Identity: guests, accounts, sessions and display names. No caller can use another user's id."""

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from local.parts import Part, Stack, free_ports, start_functions
from realtime.errors import ApiError
from realtime.identity.address import client_address
from realtime.identity.display_names import (
    MAX_NAME_CHARACTERS,
    clean_display_name,
    validate_display_name,
)
from realtime.identity.easyauth import EasyAuth
from realtime.identity.guest import Guest
from realtime.identity.oidc import (
    FAILURE_PAUSE_SECONDS,
    KEYS_CACHE_SECONDS,
    UNKNOWN_KEY_PAUSE_SECONDS,
    Issuer,
    OpenIdConnect,
)
from realtime.identity.sessions import MAX_SESSION_DAYS, SLIDING_DAYS, SessionSigner
from realtime.names import (
    decode_display_name,
    display_name,
    encode_display_name,
    validate_user_id,
)
from realtime.settings import LOCAL_SECRET, InvalidSettingsError, Settings
from tests.clock import Clock
from tests.issuer import AUDIENCE, OwnIssuer
from tests.service import Service
from tests.strict import QUIET
from tests.users import RELIABLE, Connection, User

SECRET = "a secret of thirty-two characters or more, and this one has sixty-five"
SESSION = "townsquare-session"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def error_code(awaitable: Any) -> str:
    """The code of the error that is raised."""
    with pytest.raises(ApiError) as raised:
        await awaitable
    return raised.value.code


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


# --- names --------------------------------------------------------------------------------------

NAMES = [
    "José García",
    "张伟",
    "Анна",
    "أحمد",
    "🎉",
    "👩‍💻",
    "🏳️‍🌈",
    "می‌خواهم",
    "क्‍ष",
    "O'Brien-Smith",
    "O.K.",
]


@pytest.mark.parametrize("name", NAMES)
async def test_a_display_name_of_any_script_is_unchanged(
    stack: Stack, http: aiohttp.ClientSession, name: str
) -> None:
    async with http.post(f"{stack.url}/api/negotiate", json={"name": name}) as response:
        negotiated = await response.json()

    assert negotiated["name"] == name
    assert validate_user_id(negotiated["user_id"])
    assert validate_display_name(name) == name
    assert decode_display_name(encode_display_name(name)) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [("  Ann \n Lee ", "Ann Lee"), ("Jose\u0301", "José"), ("ann\u00a0lee", "ann lee")],
)
def test_a_name_is_normalized(name: str, shown: str) -> None:
    assert validate_display_name(name) == shown


INVALID_NAMES = [
    "", "   ", "\u3164", "\u2800", "\ufe0e", "\u034f", "\u061c", "\U000e0041\U000e0042", "\u200d",
    "ann\u200b", "ann\u202e", "\u2066ann", "ann\x00", "ann\x7f", "an\u00adn", "a" * 41, "\ue000",
    "system", "SYSTEM", "\u0455ystem", "s\u0443stem", "sy\u200dstem", "s.y.s.t.e.m", "\uff33ystem",
]  # fmt: skip


@pytest.mark.parametrize("name", INVALID_NAMES, ids=ascii)
async def test_an_invisible_or_system_like_name_is_rejected(
    stack: Stack, http: aiohttp.ClientSession, ann: User, name: str
) -> None:
    status, body = await ann.ask("PATCH", "/api/me", json={"name": name})
    async with http.post(f"{stack.url}/api/negotiate", json={"name": name}) as response:
        negotiated = await response.json()

    assert (status, body["error"]["code"]) == (400, "invalid_name")
    assert validate_display_name(negotiated["name"]) == negotiated["name"] != name


@given(st.text())
def test_clean_display_name_returns_a_valid_name(text: str) -> None:
    name = clean_display_name(text, "guest")

    assert validate_display_name(name) == name
    assert len(name) <= MAX_NAME_CHARACTERS


async def test_every_event_of_a_user_has_the_display_name(ann: User, bob: User) -> None:
    room = f"room-{time.time_ns()}"
    async with ann.connect(room) as ann_tab:
        assert (await bob.ask("PATCH", "/api/me", json={"name": "张伟"}))[0] == 200
        async with bob.connect() as bob_tab:
            joined = await bob_tab.join(room)
            await bob_tab.send("typing", {"room": room})
            typing = await ann_tab.receive(type="typing")
            joined_event = await ann_tab.receive(type="system", user_id=bob.id, event="joined")
            await bob_tab.send("direct", {"to": ann.id, "content": "hello", "id": "1"})
            await bob_tab.send_message(room, "in the room")
            message = await ann_tab.receive(type="message", content="in the room")
            direct_message = await ann_tab.receive(type="direct_message")

            assert (await bob.ask("PATCH", "/api/me", json={"name": "Анна"}))[0] == 200
            renamed = await ann_tab.receive(type="system", user_id=bob.id, event="renamed")
            users = (await ann.get(f"/api/rooms/{room}/users"))["users"]
            (direct,) = (await ann.get("/api/rooms"))["direct"]

        left_event = await ann_tab.receive(type="system", user_id=bob.id, event="left", within=15)

    names = {one["user_id"]: one["name"] for one in joined["users"]}
    assert names == {ann.id: "ann", bob.id: "张伟"}
    assert (message["name"], direct_message["name"]) == ("张伟", "张伟")
    assert (typing["name"], joined_event["name"], joined_event["content"]) == (
        "张伟",
        "张伟",
        "张伟 joined",
    )
    assert (renamed["name"], left_event["name"]) == ("Анна", "Анна")
    assert {one["user_id"]: one["name"] for one in users} == {ann.id: "ann", bob.id: "Анна"}
    assert direct["name"] == "Анна"


async def test_a_user_reads_and_changes_the_own_profile(ann: User) -> None:
    before = await ann.get("/api/me")
    status, changed = await ann.ask(
        "PATCH", "/api/me", json={"name": "Ann Lee", "status": "away until noon", "colour": 3}
    )
    cleared = (await ann.ask("PATCH", "/api/me", json={"status": ""}))[1]
    ann.session = changed["session"]
    negotiated = await ann.negotiate(name="somebody else")

    assert (before["name"], before["status"], before["colour"]) == ("ann", "", None)
    assert status == 200
    assert (changed["name"], changed["status"], changed["colour"]) == (
        "Ann Lee",
        "away until noon",
        3,
    )
    assert (cleared["name"], cleared["status"]) == ("Ann Lee", "")
    assert (negotiated["user_id"], negotiated["name"]) == (ann.id, "Ann Lee")
    claims = jwt.decode(negotiated["session"], options={"verify_signature": False})
    assert claims["name"] == "Ann Lee"


async def test_a_name_is_moderated(strict: Part, http: aiohttp.ClientSession) -> None:
    async with http.post(f"{strict.url}/api/negotiate", json={"name": "darn it"}) as response:
        assert (await response.json())["error"]["code"] == "moderated"
    ann = await User.create(http, strict.url, "ann")

    status, body = await ann.ask("PATCH", "/api/me", json={"name": "Heck"})

    assert (status, body["error"]["code"]) == (403, "moderated")
    assert (await ann.get("/api/me"))["name"] == "ann"


# --- sessions -----------------------------------------------------------------------------------


async def test_signing_out_ends_the_session_and_closes_its_connections(
    ann: User, http: aiohttp.ClientSession
) -> None:
    negotiated = await ann.negotiate()
    async with ann.connect("lobby") as tab:
        status, body = await ann.ask("DELETE", "/api/me/session")

        assert (status, body) == (200, {"user_id": ann.id, "signed_out": True})
        await asyncio.wait_for(tab.closed(), 10)
    assert (await ann.ask("GET", "/api/me"))[0] == 401
    assert (await ann.ask("POST", "/api/negotiate", json={}))[0] == 401
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        await Connection.open(http, negotiated["url"], RELIABLE)
    assert raised.value.status == 401


async def test_a_sign_out_applies_on_every_instance(
    strict: Part, http: aiohttp.ClientSession, ann: User
) -> None:
    headers = {"Authorization": f"Bearer {ann.session}"}
    await ann.ask("DELETE", "/api/me/session")

    async with http.post(f"{strict.url}/api/negotiate", headers=headers) as response:
        assert response.status == 401


async def test_a_renewed_session_has_the_same_id(ann: User) -> None:
    first = jwt.decode(ann.session, options={"verify_signature": False})
    renewed = jwt.decode((await ann.negotiate())["session"], options={"verify_signature": False})

    assert {name: renewed[name] for name in ("sub", "sid", "began")} == {
        name: first[name] for name in ("sub", "sid", "began")
    }


def test_sessions_stay_valid_when_the_secret_is_rotated() -> None:
    old, new = SECRET, SECRET[::-1]
    token = SessionSigner(old).sign(SessionSigner(old).begin("ann-22222222", "ann"))

    rotating = SessionSigner(new, old)
    renewed = rotating.sign(rotating.verify(token))

    assert SessionSigner(new).verify(renewed).user_id == "ann-22222222"
    with pytest.raises(ApiError):
        SessionSigner(new).verify(token)
    with pytest.raises(ApiError):
        SessionSigner(new, "").verify(token)


def test_a_session_ends_after_thirty_days_without_renewal_and_after_180_with() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)

    def signer() -> SessionSigner:
        return SessionSigner(SECRET, now=lambda: moment)

    start, days = moment, 0
    token = signer().sign(signer().begin("ann-22222222", "ann"))
    unused = token
    while days < MAX_SESSION_DAYS - SLIDING_DAYS:
        days += SLIDING_DAYS - 1
        moment = start + timedelta(days=days)
        token = signer().sign(signer().verify(token))
    moment = start + timedelta(days=MAX_SESSION_DAYS, seconds=-1)
    assert signer().verify(token)
    moment = start + timedelta(days=MAX_SESSION_DAYS)
    with pytest.raises(ApiError):
        signer().verify(token)
    moment = start + timedelta(days=SLIDING_DAYS)
    with pytest.raises(ApiError):
        signer().verify(unused)


async def test_a_token_without_a_subject_is_unauthenticated(company: OwnIssuer) -> None:
    identity = OpenIdConnect(company.url, AUDIENCE)

    for subject in ("", " "):
        token = company.token(sub=subject)
        assert await error_code(identity.authenticate(bearer(token))) == "unauthenticated"


async def test_an_account_has_the_same_id_with_another_name(company: OwnIssuer) -> None:
    identity = OpenIdConnect(company.url, AUDIENCE)

    first = await identity.authenticate(bearer(company.token(name="Ann")))
    second = await identity.authenticate(bearer(company.token(name="Somebody Else")))

    assert (first.user_id, first.name) == (second.user_id, "Ann")
    assert second.name == "Somebody Else"


# --- App Service Authentication -----------------------------------------------------------------


def encode_principal(principal: Any) -> str:
    return base64.b64encode(json.dumps(principal).encode()).decode()


PRINCIPAL = encode_principal({"auth_typ": "aad", "claims": [{"typ": "name", "val": "Ann"}]})
SIGNED_IN = {
    "x-ms-client-principal-id": "4711",
    "x-ms-client-principal-name": "ann@example.com",
    "x-ms-client-principal": PRINCIPAL,
}


@pytest.fixture
def app_service_authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")


@pytest.mark.usefixtures("app_service_authentication")
async def test_each_account_has_one_user_id() -> None:
    ann = await EasyAuth().authenticate(SIGNED_IN)
    again = await EasyAuth().authenticate_or_create(SIGNED_IN, "bob")
    bob = await EasyAuth().authenticate(SIGNED_IN | {"x-ms-client-principal-id": "4712"})

    assert ann.user_id == again.user_id != bob.user_id
    assert re.fullmatch(r"user_[0-9a-f]{32}", ann.user_id)


async def test_principal_headers_are_ignored_outside_app_service() -> None:
    assert await error_code(EasyAuth().authenticate(SIGNED_IN)) == "unauthenticated"


@pytest.mark.usefixtures("app_service_authentication")
@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "not base64",
        "\u00e9",
        base64.b64encode(b"\xff\xfe").decode(),
        base64.b64encode(b"[" * 10_000).decode(),
        encode_principal([]),
        encode_principal(None),
        encode_principal({"auth_typ": "aad", "claims": []}),
        encode_principal({"auth_typ": "", "claims": [{"typ": "name", "val": "Ann"}]}),
        encode_principal({"auth_typ": "aad", "claims": [{"typ": "name", "val": "a" * 100_000}]}),
    ],
    ids=lambda text: text[:12],
)
async def test_an_unreadable_principal_is_unauthenticated(garbage: str) -> None:
    headers = SIGNED_IN | {"x-ms-client-principal": garbage}

    assert await error_code(EasyAuth().authenticate(headers)) == "unauthenticated"


@pytest.mark.usefixtures("app_service_authentication")
async def test_a_cross_site_request_with_the_cookie_is_forbidden() -> None:
    headers = SIGNED_IN | {"sec-fetch-site": "cross-site"}

    assert await error_code(EasyAuth().authenticate(headers)) == "forbidden"


# --- OpenID Connect -----------------------------------------------------------------------------


@pytest.fixture
async def company() -> AsyncIterator[OwnIssuer]:
    async with OwnIssuer() as issuer:
        yield issuer


async def test_a_token_of_the_issuer_identifies_an_account(company: OwnIssuer) -> None:
    identity = OpenIdConnect(company.url, AUDIENCE)
    token = company.token(preferred_username="ann@example.com")

    caller = await identity.authenticate_or_create(bearer(token), "bob")
    other = await identity.authenticate(bearer(company.token(sub="another ann")))

    assert re.fullmatch(r"user_[0-9a-f]{32}", caller.user_id)
    assert caller.name == "ann"
    assert caller.user_id != other.user_id


BAD_TOKENS: dict[str, Any] = {
    "another issuer": {"iss": "https://elsewhere"},
    "another audience": {"aud": "api://another"},
    "expired": {"exp": int(time.time()) - 3600},
    "not yet": {"nbf": int(time.time()) + 3600},
    "without expiry": {"exp": None},
    "without a subject": {"sub": None},
    "an unknown key": {"headers": {"kid": "second"}},
    "a key that is a path": {"headers": {"kid": "../../etc/passwd"}},
    "a key that is an address": {"headers": {"kid": "http://127.0.0.1/keys"}},
    "a key of its own": {"headers": {"kid": "own", "jku": "http://127.0.0.1/keys"}},
}


@pytest.mark.parametrize("changes", BAD_TOKENS.values(), ids=BAD_TOKENS)
async def test_a_token_with_one_invalid_claim_is_rejected(
    company: OwnIssuer, changes: dict[str, Any]
) -> None:
    identity = OpenIdConnect(company.url, AUDIENCE)

    assert (
        await error_code(identity.authenticate(bearer(company.token(**changes))))
        == "unauthenticated"
    )


async def test_a_token_signed_with_the_public_key_is_rejected(company: OwnIssuer) -> None:
    identity = OpenIdConnect(company.url, AUDIENCE)
    public = (
        company.keys["first"]
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    claims = jwt.decode(company.token(), options={"verify_signature": False})
    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": "first"})
    # PyJWT rejects such a key, so the token is assembled by hand.
    parts = [{"alg": "HS256", "kid": "first"}, claims]
    text = b".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts
    )
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    forged = text + b"." + base64.urlsafe_b64encode(mac.sign(text, public)).rstrip(b"=")

    for token in (unsigned, forged.decode()):
        assert await error_code(identity.authenticate(bearer(token))) == "unauthenticated"


async def test_signing_keys_are_fetched_once_for_concurrent_requests(company: OwnIssuer) -> None:
    issuer = Issuer(company.url, AUDIENCE)
    token = company.token()

    await asyncio.gather(*(issuer.verify(token) for _ in range(20)))

    assert company.requests == 1


async def test_a_new_signing_key_is_fetched_and_a_withdrawn_one_is_rejected(
    company: OwnIssuer,
) -> None:
    clock = Clock()
    issuer = Issuer(company.url, AUDIENCE, clock)
    old = company.token()
    await issuer.verify(old)

    company.new_key("second")
    clock.time += UNKNOWN_KEY_PAUSE_SECONDS
    await issuer.verify(company.token())

    assert await error_code(issuer.verify(old)) == "unauthenticated"


async def test_a_withdrawn_key_is_rejected_after_the_cache_time(company: OwnIssuer) -> None:
    clock = Clock()
    issuer = Issuer(company.url, AUDIENCE, clock)
    old = company.token()
    await issuer.verify(old)

    company.new_key("second")
    clock.time += KEYS_CACHE_SECONDS

    assert await error_code(issuer.verify(old)) == "unauthenticated"


async def test_unknown_keys_do_not_cause_repeated_requests_to_the_issuer(
    company: OwnIssuer,
) -> None:
    clock = Clock()
    issuer = Issuer(company.url, AUDIENCE, clock)
    unknown = company.token(headers={"kid": "unknown"})

    for _ in range(50):
        await error_code(issuer.verify(unknown))
        clock.time += 1

    assert company.requests == 1


async def test_cached_keys_are_used_and_requests_pause_while_the_issuer_fails(
    company: OwnIssuer,
) -> None:
    clock = Clock()
    known, new = Issuer(company.url, AUDIENCE, clock), Issuer(company.url, AUDIENCE, clock)
    await known.verify(company.token())
    clock.time += KEYS_CACHE_SECONDS
    company.failing = True

    assert await known.verify(company.token())
    assert await error_code(new.verify(company.token())) == "unavailable"
    company.failing = False
    assert await error_code(new.verify(company.token())) == "unavailable"
    clock.time += FAILURE_PAUSE_SECONDS
    assert await new.verify(company.token())


async def test_keys_of_another_issuer_are_not_used(company: OwnIssuer) -> None:
    company.name = "https://elsewhere"

    verification = Issuer(company.url, AUDIENCE).verify(company.token())

    assert await error_code(verification) == "unavailable"


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
}

INCOMPLETE = {
    "no secret": ({"SESSION_SECRET": ""}, "SESSION_SECRET is missing"),
    "a short secret": ({"SESSION_SECRET": "short"}, "SESSION_SECRET is missing or short"),
    "the secret of the example": (
        {"SESSION_SECRET": LOCAL_SECRET},
        "SESSION_SECRET is the public one of the example",
    ),
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
