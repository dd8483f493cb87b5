"""Sessions: sign-out, renewal, rotation of the secret, and expiry."""

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
import jwt
import pytest

from local.parts import Part
from realtime.errors import ApiError
from realtime.identity.sessions import MAX_SESSION_DAYS, SLIDING_DAYS, SessionSigner
from tests.identities import SECRET
from tests.users import RELIABLE, Connection, User


async def test_signing_out_ends_the_session_and_closes_its_connections(
    ann: User, http: aiohttp.ClientSession
) -> None:
    negotiated = await ann.negotiate()
    async with ann.connect("lobby") as tab:
        status, body = await ann.ask("DELETE", "/api/me/session")

        assert (status, body) == (200, {"user_id": ann.id, "signed_out": True})
        await asyncio.wait_for(tab.closed(), 30)
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


def test_a_minted_session_is_not_renewed_beyond_its_end() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    signer = SessionSigner(SECRET, now=lambda: moment)
    token = signer.sign(signer.mint("ann", "Ann", timedelta(hours=8), operator=True))

    for _ in range(3):
        moment += timedelta(hours=2, minutes=39)
        token = signer.sign(signer.verify(token))
    moment += timedelta(minutes=2, seconds=59)
    assert signer.verify(token).operator
    moment += timedelta(seconds=1)

    with pytest.raises(ApiError):
        signer.verify(token)


def test_a_minted_token_of_an_earlier_version_is_not_renewed_beyond_its_expiry() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    signer = SessionSigner(SECRET, now=lambda: moment)
    minted = signer.sign(signer.mint("ann", "Ann", timedelta(hours=8)))
    claims = jwt.decode(minted, options={"verify_signature": False, "verify_aud": False})
    del claims["ends"]
    token = jwt.encode(claims, SECRET, algorithm="HS256")

    moment += timedelta(hours=7)
    token = signer.sign(signer.verify(token))
    moment += timedelta(hours=1)

    with pytest.raises(ApiError):
        signer.verify(token)
