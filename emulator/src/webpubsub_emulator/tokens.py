"""The tokens at the door: whose they are, what they open, and why one is refused.

All are HS256 JWTs; the key is the UTF-8 of the AccessKey as it stands, never base64-decoded.
"""

import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import jwt

from webpubsub_emulator.names import is_group

DEFAULT_KEY = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH"

_SKEW_SECONDS = 5 * 60
_SHORTEST_KEY = 32
_RECONNECTION_ISSUER = "https://webpubsub.azure.com"
_RECONNECTION_SECONDS = 7 * 24 * 3600
_SCHEMES = ("http://", "https://", "ws://", "wss://")


class TokenError(Exception):
    """A token that does not open this door; the text names the check that failed."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Both keys sign and both are honoured, so that one can be exchanged while in use."""

    primary: str = DEFAULT_KEY
    secondary: str | None = None

    def __post_init__(self) -> None:
        for key in self:
            if len(key.encode()) < _SHORTEST_KEY or key != key.strip() or not _is_clean(key):
                raise ValueError(
                    "an access key has at least 32 bytes, no ';', no control characters "
                    f"and no spaces around it; this one has {len(key.encode())} bytes"
                )

    def __iter__(self) -> Iterator[str]:
        yield self.primary
        if self.secondary:
            yield self.secondary


@dataclass(frozen=True, slots=True)
class Pass:
    """What a client's token says about it."""

    user_id: str | None
    roles: tuple[str, ...]
    groups: tuple[str, ...]
    claims: Mapping[str, Any]


def read_client_token(token: str, keys: Keys, hosts: Iterable[str], hub: str) -> Pass:
    """Who may come in; raises TokenError, or ValueError for a group that cannot be."""
    claims = verify(token, keys)
    allowed = {
        f"{scheme}{host}/client/{place}".lower()
        for scheme in _SCHEMES
        for host in hosts
        for place in (f"hubs/{quote(hub, safe='')}", f"hubs/{hub}", f"?hub={hub}")
    }
    audiences = _texts(claims.get("aud"))
    if not any(audience.lower().rstrip("/") in allowed for audience in audiences):
        raise TokenError(f"audience {audiences} is not /client/hubs/{hub} of this endpoint")
    groups = _texts(claims.get("webpubsub.group"))
    if not all(map(is_group, groups)):
        raise ValueError("the token names a group that cannot be")
    subject = claims.get("sub")
    return Pass(
        user_id=None if subject in (None, "") else str(subject),
        roles=_texts(claims.get("role")),
        groups=groups,
        claims=claims,
    )


def check_rest_token(token: str, keys: Keys, hosts: Iterable[str], raw_path: str) -> None:
    """Does this token open this resource?

    The audience is the URL that the SDK called, with or without its query; a parent path opens
    its children.
    """
    claims = verify(token, keys)
    resources = {
        f"{host}{path}".lower()
        for host in hosts
        for path in (raw_path, unquote(raw_path), decode_path(raw_path))
    }
    audiences = _texts(claims.get("aud"))
    if not any(_opens(audience, resources) for audience in audiences):
        raise TokenError(f"audience {audiences} does not open {raw_path}")


def _opens(audience: str, resources: set[str]) -> bool:
    # A question mark that was escaped is part of the path, so it must not become a query here.
    decoded = unquote(audience.replace("%3F", "%253F").replace("%3f", "%253f"))
    for wording in (audience.lower(), decoded.lower()):
        scheme, separator, place = wording.partition("://")
        if scheme + separator not in _SCHEMES:
            continue
        for resource in resources:
            rest = place.removeprefix(resource)
            if place.startswith(resource) and (not rest or rest[0] in "/?"):
                return True
    return False


def bearer(header: str) -> str:
    """The token in an Authorization header; empty if there is none."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def verify(token: str, keys: Keys) -> dict[str, Any]:
    """Check signature and lifetime with either key; returns the claims."""
    failure = "no token"
    for key in keys:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=["HS256"],
                leeway=_SKEW_SECONDS,
                options={"verify_aud": False, "verify_sub": False, "require": ["exp"]},
            )
        except jwt.InvalidSignatureError:
            failure = "signature: made with neither access key"
        except jwt.ExpiredSignatureError:
            failure = "lifetime: the token has expired"
        except jwt.InvalidTokenError as error:
            failure = f"token: {error}"
    raise TokenError(failure)


def client_token(
    keys: Keys,
    endpoint: str,
    hub: str,
    *,
    user_id: str | None = None,
    roles: Iterable[str] = (),
    groups: Iterable[str] = (),
    minutes: int = 60,
) -> str:
    """Issue a token as `:generateToken` does."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "aud": f"{endpoint.lower()}/client/hubs/{hub}",
        "iat": now,
        "exp": now + minutes * 60,
    }
    if user_id is not None:
        claims["sub"] = user_id
    if roles := list(roles):
        claims["role"] = roles
    if groups := list(groups):
        claims["webpubsub.group"] = groups
    return jwt.encode(claims, keys.primary, algorithm="HS256")


def reconnection_token(keys: Keys, connection_id: str) -> str:
    """The ticket with which a reliable client comes back; good for its own connection only."""
    claims = {
        "iss": _RECONNECTION_ISSUER,
        "aud": connection_id,
        "jti": uuid.uuid4().hex,
        "exp": int(time.time()) + _RECONNECTION_SECONDS,
    }
    return jwt.encode(claims, keys.primary, algorithm="HS256")


def check_reconnection_token(token: str, keys: Keys, connection_id: str) -> None:
    claims = verify(token, keys)
    if claims.get("iss") != _RECONNECTION_ISSUER or claims.get("aud") != connection_id:
        raise TokenError("reconnection token: it belongs to another connection")


def connection_string(endpoint: str, keys: Keys) -> str:
    return f"Endpoint={endpoint};AccessKey={keys.primary};Version=1.0;"


def host_of(endpoint: str) -> str:
    """The host without its port: what the service calls itself to an event handler."""
    return urlsplit(endpoint).hostname or "localhost"


def decode_path(raw: str) -> str:
    """Decode once as the service does: `%2F` stays, so REST cannot name an id with a slash."""
    return unquote(re.sub("%2f", lambda slash: f"%25{slash[0][1:]}", raw, flags=re.IGNORECASE))


def _texts(claim: Any) -> tuple[str, ...]:
    """A claim is a string or an array of strings."""
    if claim is None:
        return ()
    return tuple(str(item) for item in claim) if isinstance(claim, list) else (str(claim),)


def _is_clean(key: str) -> bool:
    return ";" not in key and key.isprintable()
