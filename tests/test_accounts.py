"""Accounts of App Service Authentication and of an OpenID Connect issuer."""

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from realtime.identity.easyauth import EasyAuth
from realtime.identity.oidc import (
    FAILURE_PAUSE_SECONDS,
    KEYS_CACHE_SECONDS,
    UNKNOWN_KEY_PAUSE_SECONDS,
    Issuer,
    OpenIdConnect,
)
from realtime.identity.sessions import SessionSigner
from realtime.identity.vouched import VouchedOrAccount
from tests.clock import Clock
from tests.identities import bearer, error_code
from tests.issuer import AUDIENCE, OwnIssuer

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


async def test_a_token_of_the_issuer_identifies_an_account(company: OwnIssuer) -> None:
    identity = OpenIdConnect(company.url, AUDIENCE)
    token = company.token(preferred_username="ann@example.com")

    caller = await identity.authenticate_or_create(bearer(token), "bob")
    other = await identity.authenticate(bearer(company.token(sub="another ann")))

    assert re.fullmatch(r"user_[0-9a-f]{32}", caller.user_id)
    assert caller.name == "ann"
    assert caller.user_id != other.user_id


async def test_a_minted_session_is_valid_beside_the_tokens_of_the_issuer(
    company: OwnIssuer,
) -> None:
    signer = SessionSigner("s" * 32)
    identity = VouchedOrAccount(signer, OpenIdConnect(company.url, AUDIENCE))
    minted = signer.sign(signer.mint("helper-bot", "Helper", timedelta(days=1), operator=True))

    bot = await identity.authenticate(bearer(minted))
    account = await identity.authenticate(bearer(company.token(name="Ann")))

    assert (bot.user_id, bot.name) == ("helper-bot", "Helper")
    assert bot.session is not None
    assert bot.session.operator
    assert (account.name, account.session) == ("Ann", None)
    for forged in (
        signer.sign(signer.begin("ann-22222222", "Ann")),  # of a guest
        SessionSigner("t" * 32).sign(signer.mint("helper-bot", "Helper", timedelta(days=1))),
    ):
        for check in (
            identity.authenticate(bearer(forged)),
            identity.authenticate_or_create(bearer(forged), "Ann"),
        ):
            assert await error_code(check) == "unauthenticated"
    without_secret = VouchedOrAccount(SessionSigner(""), OpenIdConnect(company.url, AUDIENCE))
    assert await error_code(without_secret.authenticate(bearer(minted))) == "unauthenticated"


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
