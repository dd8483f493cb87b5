"""Who somebody is: nobody can be somebody else, whichever way identity is proved."""

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from local.parts import Desk, free_ports, start_functions
from realtime.errors import ApiError
from realtime.identity.address import client_address
from realtime.identity.easyauth import EasyAuth
from realtime.identity.guest import Guest
from realtime.identity.oidc import (
    FAILURE_PAUSE_SECONDS,
    KEYS_CACHE_SECONDS,
    UNKNOWN_KEY_PAUSE_SECONDS,
    Issuer,
    OpenIdConnect,
)
from realtime.names import display_name, validate_user_id
from realtime.settings import LOCAL_SECRET, InvalidSettingsError, Settings
from tests.issuer import AUDIENCE, OwnIssuer
from tests.people import Person
from tests.service import Service
from tests.strict import QUIET

SECRET = "a secret of thirty-two characters or more, and this one has sixty-five"
SESSION = "townsquare-session"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def refusal(asking: Any) -> str:
    """The code with which something is refused."""
    with pytest.raises(ApiError) as refused:
        await asking
    return refused.value.code


# --- guests -------------------------------------------------------------------------------------


async def test_a_guest_stays_the_same_person_with_the_session() -> None:
    guests = Guest(SECRET)
    first = await guests.authenticate_or_create({}, "ann")
    assert first.session

    again = await guests.authenticate_or_create(bearer(first.session), "somebody else")

    assert again.user_id == first.user_id
    assert (await guests.authenticate(bearer(first.session))).user_id == first.user_id


async def test_a_name_given_twice_makes_two_people(desk: Desk, http: aiohttp.ClientSession) -> None:
    racing = [Person.enter(http, desk.url, "ann") for _ in range(8)]

    ids = [person.id for person in await asyncio.gather(*racing)]

    assert len(set(ids)) == 8
    assert {display_name(one) for one in ids} == {"ann"}


async def test_nobody_enters_under_an_id_that_is_taken(
    desk: Desk, http: aiohttp.ClientSession
) -> None:
    ann = await Person.enter(http, desk.url, "ann")

    mallory = await Person.enter(http, desk.url, ann.id)

    assert mallory.id != ann.id
    assert mallory.id.startswith(f"{ann.id}-")


def session(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    good = {"sub": "ann-22222222", "aud": SESSION, "exp": time.time() + 60}
    said = {name: value for name, value in (good | claims).items() if value is not None}
    return jwt.encode(said, secret, algorithm=algorithm)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(session(secret=SECRET[::-1]), id="another secret"),
        pytest.param(session(secret="", algorithm="none"), id="no signature"),
        pytest.param(session(algorithm="HS512"), id="another algorithm"),
        pytest.param(session(exp=time.time() - 1), id="expired"),
        pytest.param(session(exp=None), id="for ever"),
        pytest.param(session(sub=None), id="nobody"),
        pytest.param(session(aud="another app"), id="for another use"),
        pytest.param(session()[:-2], id="cut"),
        pytest.param("", id="empty"),
        pytest.param("." * 10_000, id="dots"),
        pytest.param("\udcff\udcfe", id="no text"),
    ],
)
async def test_a_session_that_is_not_ours_is_refused(token: str) -> None:
    assert await refusal(Guest(SECRET).authenticate(bearer(token))) == "unauthenticated"


@pytest.mark.parametrize("scheme", ["", "Basic ", "bearer", "Token "])
async def test_a_session_comes_as_a_bearer_token(scheme: str) -> None:
    headers = {"authorization": scheme + session()}

    assert await refusal(Guest(SECRET).authenticate(headers)) == "unauthenticated"


@given(st.text() | st.from_regex(r"[a-z]+_[a-f0-9]{16}"))
def test_a_guests_id_is_always_well_formed_and_never_an_accounts(name: str) -> None:
    caller = asyncio.run(Guest(SECRET).authenticate_or_create({}, name))

    assert validate_user_id(caller.user_id) == caller.user_id
    assert "_" not in caller.user_id


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        ("Ann Lee", "Ann-Lee"),
        ("Ａｎｎ", "Ann"),  # noqa: RUF001 - a look-alike is the point
        ("a\u200bn\u202en", "ann"),
        ("ann\r\nX-Injected: 1", "ann-X-Injected-1"),
        ("x' or PartitionKey ne 'x", "x-or-PartitionKey-ne-x"),
        ("ann_0123456789abcdef", "ann-0123456789abcdef"),
        ("системный", "guest"),
        ("", "guest"),
        ("system", "guest"),
        ("S.y.s.t.e.m", "S-y-s-t-e-m"),
        ("ＳＹＳＴＥＭ", "guest"),  # noqa: RUF001
        ("a" * 100_000, "a" * 40),
    ],
)
async def test_a_wished_name_is_written_in_the_alphabet_of_ids(wish: str, name: str) -> None:
    caller = await Guest(SECRET).authenticate_or_create({}, wish)

    assert re.fullmatch(re.escape(name) + "-[a-z2-9]{8}", caller.user_id)


def test_newcomers_are_told_apart_by_the_address_that_the_platform_wrote() -> None:
    assert client_address({"x-forwarded-for": "1.2.3.4, 5.6.7.8:4711"}) == "5.6.7.8"
    assert client_address({"x-forwarded-for": "[2001:db8::1]:4711"}) == "2001:db8::"
    assert client_address({"x-forwarded-for": "2001:db8::2"}) == "2001:db8::"
    assert client_address({"x-forwarded-for": "anything"}) == client_address({}) == ""


# --- App Service Authentication -----------------------------------------------------------------


def principal(said: Any) -> str:
    return base64.b64encode(json.dumps(said).encode()).decode()


GOOD = principal({"auth_typ": "aad", "claims": [{"typ": "name", "val": "Ann"}]})
SIGNED_IN = {
    "x-ms-client-principal-id": "4711",
    "x-ms-client-principal-name": "ann@example.com",
    "x-ms-client-principal": GOOD,
}


@pytest.fixture
def behind_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")


@pytest.mark.usefixtures("behind_the_platform")
async def test_who_is_signed_in_has_one_id_and_another_account_has_another() -> None:
    ann = await EasyAuth().authenticate(SIGNED_IN)
    again = await EasyAuth().authenticate_or_create(SIGNED_IN, "bob")
    bob = await EasyAuth().authenticate(SIGNED_IN | {"x-ms-client-principal-id": "4712"})

    assert ann.user_id == again.user_id != bob.user_id
    assert re.fullmatch(r"ann_[0-9a-f]{16}", ann.user_id)


async def test_principal_headers_prove_nothing_where_the_platform_does_not_set_them() -> None:
    assert await refusal(EasyAuth().authenticate(SIGNED_IN)) == "unauthenticated"


@pytest.mark.usefixtures("behind_the_platform")
@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "not base64",
        "\u00e9",
        base64.b64encode(b"\xff\xfe").decode(),
        base64.b64encode(b"[" * 10_000).decode(),
        principal([]),
        principal(None),
        principal({"auth_typ": "aad", "claims": []}),
        principal({"auth_typ": "", "claims": [{"typ": "name", "val": "Ann"}]}),
        principal({"auth_typ": "aad", "claims": [{"typ": "name", "val": "a" * 100_000}]}),
    ],
    ids=lambda text: text[:12],
)
async def test_a_principal_that_cannot_be_read_is_nobody(garbage: str) -> None:
    headers = SIGNED_IN | {"x-ms-client-principal": garbage}

    assert await refusal(EasyAuth().authenticate(headers)) == "unauthenticated"


@pytest.mark.usefixtures("behind_the_platform")
async def test_another_sites_page_cannot_use_the_cookie() -> None:
    headers = SIGNED_IN | {"sec-fetch-site": "cross-site"}

    assert await refusal(EasyAuth().authenticate(headers)) == "forbidden"


# --- OpenID Connect -----------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
async def company() -> AsyncIterator[OwnIssuer]:
    async with OwnIssuer() as issuer:
        yield issuer


async def test_a_token_of_the_issuer_is_an_account(company: OwnIssuer) -> None:
    identity = OpenIdConnect(company.url, AUDIENCE)
    token = company.token(preferred_username="ann@example.com")

    caller = await identity.authenticate_or_create(bearer(token), "bob")
    other = await identity.authenticate(bearer(company.token(sub="another ann")))

    assert re.fullmatch(r"ann_[0-9a-f]{16}", caller.user_id)
    assert caller.user_id.rpartition("_")[2] != other.user_id.rpartition("_")[2]


BAD_TOKENS: dict[str, Any] = {
    "another issuer": {"iss": "https://elsewhere"},
    "another audience": {"aud": "api://another"},
    "expired": {"exp": int(time.time()) - 3600},
    "not yet": {"nbf": int(time.time()) + 3600},
    "for ever": {"exp": None},
    "nobody": {"sub": None},
    "an unknown key": {"headers": {"kid": "second"}},
    "a key that is a path": {"headers": {"kid": "../../etc/passwd"}},
    "a key that is an address": {"headers": {"kid": "http://127.0.0.1/keys"}},
    "a key of its own": {"headers": {"kid": "own", "jku": "http://127.0.0.1/keys"}},
}


@pytest.mark.parametrize("changes", BAD_TOKENS.values(), ids=BAD_TOKENS)
async def test_a_token_that_is_wrong_in_one_thing_is_refused(
    company: OwnIssuer, changes: dict[str, Any]
) -> None:
    identity = OpenIdConnect(company.url, AUDIENCE)

    assert (
        await refusal(identity.authenticate(bearer(company.token(**changes)))) == "unauthenticated"
    )


async def test_a_published_key_is_no_secret_to_sign_with(company: OwnIssuer) -> None:
    identity = OpenIdConnect(company.url, AUDIENCE)
    public = (
        company.keys["first"]
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    said = jwt.decode(company.token(), options={"verify_signature": False})
    unsigned = jwt.encode(said, "", algorithm="none", headers={"kid": "first"})
    # The library refuses to make such a token, so it is made by hand.
    parts = [{"alg": "HS256", "kid": "first"}, said]
    text = b".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts
    )
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    forged = text + b"." + base64.urlsafe_b64encode(mac.sign(text, public)).rstrip(b"=")

    for token in (unsigned, forged.decode()):
        assert await refusal(identity.authenticate(bearer(token))) == "unauthenticated"


async def test_keys_are_looked_up_once_for_many_callers(company: OwnIssuer) -> None:
    issuer = Issuer(company.url, AUDIENCE)
    token = company.token()

    await asyncio.gather(*(issuer.verify(token) for _ in range(20)))

    assert company.asked == 1


async def test_a_new_key_is_found_and_a_withdrawn_one_forgotten(company: OwnIssuer) -> None:
    clock = Clock()
    issuer = Issuer(company.url, AUDIENCE, clock)
    old = company.token()
    await issuer.verify(old)

    company.new_key("second")
    clock.time += UNKNOWN_KEY_PAUSE_SECONDS
    await issuer.verify(company.token())

    assert await refusal(issuer.verify(old)) == "unauthenticated"


async def test_a_withdrawn_key_is_not_trusted_for_ever(company: OwnIssuer) -> None:
    clock = Clock()
    issuer = Issuer(company.url, AUDIENCE, clock)
    old = company.token()
    await issuer.verify(old)

    company.new_key("second")
    clock.time += KEYS_CACHE_SECONDS

    assert await refusal(issuer.verify(old)) == "unauthenticated"


async def test_strangers_cannot_make_us_ask_the_issuer_again_and_again(company: OwnIssuer) -> None:
    clock = Clock()
    issuer = Issuer(company.url, AUDIENCE, clock)
    unknown = company.token(headers={"kid": "unknown"})

    for _ in range(50):
        await refusal(issuer.verify(unknown))
        clock.time += 1

    assert company.asked == 1


async def test_while_the_issuer_is_away_known_keys_serve_and_it_is_left_in_peace(
    company: OwnIssuer,
) -> None:
    clock = Clock()
    known, new = Issuer(company.url, AUDIENCE, clock), Issuer(company.url, AUDIENCE, clock)
    await known.verify(company.token())
    clock.time += KEYS_CACHE_SECONDS
    company.away = True

    assert await known.verify(company.token())
    assert await refusal(new.verify(company.token())) == "unavailable"
    company.away = False
    assert await refusal(new.verify(company.token())) == "unavailable"
    clock.time += FAILURE_PAUSE_SECONDS
    assert await new.verify(company.token())


async def test_keys_of_somebody_else_are_not_taken(company: OwnIssuer) -> None:
    company.name = "https://elsewhere"

    asking = Issuer(company.url, AUDIENCE).verify(company.token())

    assert await refusal(asking) == "unavailable"


# --- what a token opens -------------------------------------------------------------------------


async def test_a_client_token_holds_no_more_than_it_must(
    desk: Desk, http: aiohttp.ClientSession
) -> None:
    ann = await Person.enter(http, desk.url, "ann")

    admission = await ann.negotiate(room="lobby", groups=["stocks"])

    claims = jwt.decode(admission["token"], options={"verify_signature": False})
    expires = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(claims["exp"]))
    assert claims["exp"] - claims["iat"] <= 3600
    assert admission["expires_on"] == f"{expires}.000Z"
    assert claims["sub"] == ann.id
    assert set(claims["webpubsub.group"]) == {"room.lobby", "stocks"}
    assert all(re.fullmatch(r"webpubsub\.joinLeaveGroup\.[a-z-]+", r) for r in claims["role"])


async def test_a_wish_for_a_longer_token_changes_nothing(
    desk: Desk, http: aiohttp.ClientSession
) -> None:
    url = f"{desk.url}/api/negotiate?user_id=ann&ttl=1000000000&minutes_to_expire=1000000000"
    async with http.get(url) as answer:
        token = (await answer.json())["token"]

    claims = jwt.decode(token, options={"verify_signature": False})

    assert claims["exp"] - claims["iat"] <= 3600


async def test_the_services_own_commands_open_no_room(
    desk: Desk, http: aiohttp.ClientSession
) -> None:
    ann, bob = [await Person.enter(http, desk.url, name) for name in ("ann", "bob")]
    async with ann.connect("lobby") as tab, bob.connect("lobby") as hearing:
        group = {"group": "room.lobby", "ackId": 900}
        sending = {"type": "sendToGroup", "dataType": "text", "data": "past the webhook", **group}

        await tab.command(sending)
        sent = await tab.hear(type="ack", ackId=900)
        await tab.command({"type": "joinGroup", "group": "room.elsewhere", "ackId": 901})
        joined = await tab.hear(type="ack", ackId=901)

        assert [sent["error"]["name"], joined["error"]["name"]] == ["Forbidden", "Forbidden"]
        await tab.say("lobby", "through the webhook")
        await hearing.hear(type="message", content="through the webhook")
        assert "past the webhook" not in str(hearing.heard)


async def test_a_connection_is_whoever_its_token_names(
    desk: Desk, http: aiohttp.ClientSession
) -> None:
    answered = await Service(http, desk.url).tells(
        "connect", {"claims": {"sub": ["bob-22222222"]}}, user="ann-22222222"
    )

    assert (answered.status, answered.code) == (401, "unauthenticated")


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
    "the example's": (
        {"SESSION_SECRET": LOCAL_SECRET},
        "SESSION_SECRET is the public one of the example",
    ),
    "an unknown identity": ({"IDENTITY": "anybody"}, "IDENTITY is 'anybody'"),
    "no issuer": ({"IDENTITY": "oidc", "OIDC_AUDIENCE": "a"}, "OIDC_ISSUER is missing"),
    "no audience": ({"IDENTITY": "oidc", "OIDC_ISSUER": "https://a"}, "OIDC_AUDIENCE is missing"),
    "an open line": (
        {"IDENTITY": "oidc", "OIDC_ISSUER": "http://a", "OIDC_AUDIENCE": "a"},
        "OIDC_ISSUER is not https",
    ),
    "nobody to believe": (
        {"WEBPUBSUB_CONNECTION_STRING": "", "WEBPUBSUB_ENDPOINT": "https://here"},
        "WEBHOOK_ISSUER, WEBHOOK_AUDIENCE or WEBHOOK_SUBJECT is missing",
    ),
    "a negative limit": ({"JOINS_PER_MINUTE": "-1"}, "JOINS_PER_MINUTE is negative"),
}


@pytest.mark.parametrize(("changes", "sentence"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_a_deployed_app_refuses_settings_that_are_not_safe(
    changes: dict[str, str], sentence: str
) -> None:
    assert Settings.read(COMPLETE)
    with pytest.raises(InvalidSettingsError) as refused:
        Settings.read(COMPLETE | changes)

    assert str(refused.value).startswith(sentence)
    assert "Set it in the function app's application settings" in str(refused.value)
    assert SECRET not in str(refused.value)


async def test_an_app_without_a_secret_answers_nobody_and_its_log_says_why(
    desk: Desk, http: aiohttp.ClientSession
) -> None:
    (port,) = free_ports(1)
    app = start_functions(port, desk.environment | QUIET | {"SESSION_SECRET": ""})
    try:
        await asyncio.to_thread(app.wait)
        statuses = []
        for path in ("/api/negotiate", "/api/rooms", "/api/streams", "/api/health"):
            async with http.get(app.url + path) as answer:
                statuses.append(answer.status)
                assert "SESSION_SECRET" not in await answer.text()
        await asyncio.to_thread(app.hear, lambda line: "SESSION_SECRET is missing" in line)
    finally:
        app.stop()

    assert statuses == [503] * 4
