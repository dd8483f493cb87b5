"""Who is calling: a guest with our session, or an account that somebody we trust vouches for.

A user id is a readable name and a suffix that makes it theirs: `ann-7f3kq2xz` for a guest,
`ann_c4d5e6f7a8` for an account. The name part never holds `_`, so no guest's id looks like an
account's, and the suffix is chance or a digest, so nobody can ask for another's.
"""

import base64
import hashlib
import ipaddress
import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Protocol

import jwt
import msgspec

from realtime.channels import checked_user
from realtime.issuer import Issuer
from realtime.messages import Refused
from realtime.settings import running_behind_authentication, settings

SESSION_DAYS = 30
"""How long a guest may stay away and still be the same person."""

PRINCIPAL_LIMIT = 64 * 1024

RESERVED = frozenset({"system"})
"""Names in which only servers speak: a guest's display name is what precedes the suffix."""

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # No l, o, 0 or 1: a suffix may be read aloud.


@dataclass(frozen=True)
class Caller:
    """Somebody with an identity: proved (`known`) or just made for a newcomer.

    `session` is what proves it the next time, for a guest.
    """

    user: str
    session: str | None = None
    known: bool = True


class Identity(Protocol):
    """A way to tell who is calling, from the request's headers (by lower-case name)."""

    async def caller(self, headers: Mapping[str, str]) -> Caller:
        """Who is calling. Raises Refused `unauthenticated`."""

    async def enter(self, headers: Mapping[str, str], name: str) -> Caller:
        """The same for negotiate, where somebody new may come in under a name."""


class Guest:
    """Anyone may come in under a name; a signed session proves who they are from then on."""

    _AUDIENCE = "townsquare-session"

    def __init__(self, secret: str) -> None:
        self._secret = secret

    async def caller(self, headers: Mapping[str, str]) -> Caller:
        return self._open(_bearer(headers))

    async def enter(self, headers: Mapping[str, str], name: str) -> Caller:
        if "authorization" in headers:
            known = await self.caller(headers)
            return Caller(known.user, self._sign(known.user))
        suffix = "".join(secrets.choice(_ALPHABET) for _ in range(8))
        user = f"{readable(name, 'guest')}-{suffix}"
        return Caller(user, self._sign(user), known=False)

    def _sign(self, user: str) -> str:
        expiry = datetime.now(UTC) + timedelta(days=SESSION_DAYS)
        claims = {"sub": user, "aud": self._AUDIENCE, "exp": expiry}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def _open(self, session: str) -> Caller:
        try:
            claims = jwt.decode(
                session,
                self._secret,
                algorithms=["HS256"],
                audience=self._AUDIENCE,
                options={"require": ["exp", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Refused("unauthenticated", "The session is not valid; negotiate anew.") from None
        return Caller(checked_user(claims["sub"]), session)


class Account:
    """Base of the identities that come from an issuer: the id is a digest of who they are there."""

    @staticmethod
    def of(issuer: str, subject: str, name: str) -> Caller:
        digest = hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()[:16]
        return Caller(f"{readable(name, 'user')}_{digest}")


class OpenIdConnect(Account):
    """A bearer token of an OpenID Connect issuer."""

    def __init__(self, issuer: str, audience: str) -> None:
        self._name = issuer
        self._issuer = Issuer(issuer, audience)

    async def caller(self, headers: Mapping[str, str]) -> Caller:
        claims = await self._issuer.claims(_bearer(headers))
        name = claims.get("preferred_username") or claims.get("name") or ""
        return self.of(self._name, str(claims["sub"]), str(name).partition("@")[0])

    async def enter(self, headers: Mapping[str, str], name: str) -> Caller:  # noqa: ARG002
        return await self.caller(headers)


class _Claim(msgspec.Struct):
    typ: str
    val: str


class _Principal(msgspec.Struct):
    auth_typ: str
    claims: list[_Claim]


class EasyAuth(Account):
    """App Service Authentication: its front end signs people in and sets the principal headers.

    They are trusted only where the platform says that it does: elsewhere anybody can send them.
    learn.microsoft.com/azure/app-service/configure-authentication-user-identities
    """

    async def caller(self, headers: Mapping[str, str]) -> Caller:
        if not running_behind_authentication():
            raise Refused("unauthenticated", "App Service Authentication is off.")
        # Its proof is a cookie, and browsers send cookies whichever site's page makes the call.
        if headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
            raise Refused("forbidden", "Another site's page may not call in your name.")
        subject = headers.get("x-ms-client-principal-id", "")
        principal = self._principal(headers.get("x-ms-client-principal", ""))
        if not subject or principal is None:
            raise Refused("unauthenticated", "Sign in first.")
        name = headers.get("x-ms-client-principal-name", "").partition("@")[0]
        return self.of(principal.auth_typ, subject, name)

    async def enter(self, headers: Mapping[str, str], name: str) -> Caller:  # noqa: ARG002
        return await self.caller(headers)

    @staticmethod
    def _principal(text: str) -> _Principal | None:
        if not text or len(text) > PRINCIPAL_LIMIT:
            return None
        try:
            found = msgspec.json.decode(base64.b64decode(text, validate=True), type=_Principal)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return found if found.auth_typ and found.claims else None


def readable(wish: Any, otherwise: str) -> str:
    """A name in the alphabet of ids: what can be written in it stays, the rest becomes `-`."""
    plain = unicodedata.normalize("NFKD", str(wish)[:200]).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")[:40].rstrip("-")
    return otherwise if not name or name.lower() in RESERVED else name


def address_of(headers: Mapping[str, str]) -> str:
    """Where somebody calls from: what the platform's front end wrote last.

    Of an IPv6 address only the network, since whoever has one address there has them all.
    """
    last = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    bare = re.sub(r"^\[(.+)\](:\d+)?$|^([\d.]+):\d+$", r"\1\3", last)
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return ""
    network = ipaddress.ip_network((address, 64 if address.version == 6 else 32), strict=False)
    return str(network.network_address)


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused("unauthenticated", "Send Authorization: Bearer with your session.")
    return token.strip()


@cache
def identity() -> Identity:
    """The way that the setting IDENTITY names."""
    if settings().identity == "easyauth":
        return EasyAuth()
    if settings().identity == "oidc":
        return OpenIdConnect(settings().oidc_issuer, settings().oidc_audience)
    return Guest(settings().session_secret)
