"""JSON Web Tokens signed with the access keys: for clients, REST requests and recovery.

They are HS256; the key is the UTF-8 of the AccessKey, never base64-decoded.
"""

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import jwt

from webpubsub_emulator.access_keys import AccessKeys
from webpubsub_emulator.names import is_valid_group

if TYPE_CHECKING:
    from jwt.types import Options

CLOCK_SKEW_SECONDS = 5 * 60
_RECONNECTION_ISSUER = "https://webpubsub.azure.com"
_RECONNECTION_LIFETIME_SECONDS = 7 * 24 * 3600
_SCHEMES = ("http://", "https://", "ws://", "wss://")
# The lifetime is checked against the emulator's clock, see check_lifetime.
SIGNATURE_ONLY: "Options" = {
    "verify_aud": False,
    "verify_sub": False,
    "verify_iat": False,
    "verify_exp": False,
    "verify_nbf": False,
}


class TokenError(Exception):
    """A token that is not accepted; the message names the check that failed."""


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """What a client's token says about it."""

    user_id: str | None = None
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    claims: Mapping[str, Any] | None = None


def read_client_token(
    token: str, keys: AccessKeys, hosts: Iterable[str], hub: str, now: float
) -> ClientIdentity:
    """Return the identity; raises TokenError, or ValueError for an invalid group name."""
    claims = verify_token(token, keys, now)
    allowed = {
        f"{scheme}{host}/client/{path}".lower()
        for scheme in _SCHEMES
        for host in hosts
        for path in (f"hubs/{quote(hub, safe='')}", f"hubs/{hub}", f"?hub={hub}")
    }
    audiences = claim_values(claims.get("aud"))
    if not any(audience.lower().rstrip("/") in allowed for audience in audiences):
        raise TokenError(f"audience {audiences} is not /client/hubs/{hub} of this endpoint")
    groups = claim_values(claims.get("webpubsub.group"))
    if not all(map(is_valid_group, groups)):
        raise ValueError("the token has an invalid group name")
    subject = claims.get("sub")
    return ClientIdentity(
        user_id=None if subject in (None, "") else str(subject),
        roles=claim_values(claims.get("role")),
        groups=groups,
        claims=claims,
    )


def check_rest_token(
    token: str, keys: AccessKeys, hosts: Iterable[str], raw_path: str, now: float
) -> None:
    """Raise TokenError unless the token's audience covers the resource.

    The audience is the URL that the SDK called, with or without its query; that of a parent path
    covers its children.
    """
    claims = verify_token(token, keys, now)
    resources = {
        f"{host}{path}".lower()
        for host in hosts
        for path in (raw_path, unquote(raw_path), decode_path(raw_path))
    }
    audiences = claim_values(claims.get("aud"))
    if not any(_covers(audience, resources) for audience in audiences):
        raise TokenError(f"audience {audiences} does not cover {raw_path}")


def _covers(audience: str, resources: set[str]) -> bool:
    # An escaped question mark is part of the path and must not become a query here.
    decoded = unquote(audience.replace("%3F", "%253F").replace("%3f", "%253f"))
    for form in (audience.lower(), decoded.lower()):
        scheme, separator, location = form.partition("://")
        if scheme + separator not in _SCHEMES:
            continue
        for resource in resources:
            rest = location.removeprefix(resource)
            if location.startswith(resource) and (not rest or rest[0] in "/?"):
                return True
    return False


def parse_bearer(header: str) -> str:
    """Return the token of an Authorization header; empty if there is none."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def verify_token(token: str, keys: AccessKeys, now: float) -> dict[str, Any]:
    """Check signature and lifetime with either key; return the claims."""
    if not token:
        raise TokenError("there is no token")
    failure = ""
    for key in keys:
        try:
            claims = jwt.decode(token, key, algorithms=["HS256"], options=SIGNATURE_ONLY)
        except jwt.InvalidSignatureError:
            failure = "signature: made with neither access key"
        except jwt.InvalidTokenError as error:
            failure = f"token: {error}"
        else:
            check_lifetime(claims, now)
            return dict(claims)
    raise TokenError(failure)


def check_lifetime(claims: Mapping[str, Any], now: float) -> None:
    """Raise TokenError when `exp` is missing or over, or `nbf` or `iat` is in the future."""
    try:
        expires = float(claims["exp"])
        valid_from = max(float(claims.get("nbf") or 0), float(claims.get("iat") or 0))
    except KeyError:
        raise TokenError("lifetime: exp is missing") from None
    except (TypeError, ValueError):
        raise TokenError("lifetime: exp, nbf or iat is not a number") from None
    if not now - CLOCK_SKEW_SECONDS < expires:
        raise TokenError("lifetime: the token has expired")
    if valid_from > now + CLOCK_SKEW_SECONDS:
        raise TokenError("lifetime: the token is not yet valid")


def create_client_token(
    keys: AccessKeys,
    endpoint: str,
    hub: str,
    now: float,
    *,
    user_id: str | None = None,
    roles: Iterable[str] = (),
    groups: Iterable[str] = (),
    minutes: int = 60,
) -> str:
    """Issue a token as `:generateToken` does."""
    claims: dict[str, Any] = {
        "aud": f"{endpoint.lower()}/client/hubs/{hub}",
        "iat": int(now),
        "exp": int(now) + minutes * 60,
    }
    if user_id is not None:
        claims["sub"] = user_id
    if roles := list(roles):
        claims["role"] = roles
    if groups := list(groups):
        claims["webpubsub.group"] = groups
    return jwt.encode(claims, keys.primary, algorithm="HS256")


def create_reconnection_token(keys: AccessKeys, connection_id: str, now: float) -> str:
    """Issue the token with which a reliable client recovers this connection only."""
    claims = {
        "iss": _RECONNECTION_ISSUER,
        "aud": connection_id,
        "jti": uuid.uuid4().hex,
        "exp": int(now) + _RECONNECTION_LIFETIME_SECONDS,
    }
    return jwt.encode(claims, keys.primary, algorithm="HS256")


def check_reconnection_token(token: str, keys: AccessKeys, connection_id: str, now: float) -> None:
    claims = verify_token(token, keys, now)
    if claims.get("iss") != _RECONNECTION_ISSUER or claims.get("aud") != connection_id:
        raise TokenError("reconnection token: it belongs to another connection")


def decode_path(raw: str) -> str:
    """Decode once as the service does: `%2F` stays, so REST cannot name an id with a slash."""
    return unquote(re.sub("%2f", lambda slash: f"%25{slash[0][1:]}", raw, flags=re.IGNORECASE))


def claim_values(claim: Any) -> tuple[str, ...]:
    """Return the values of a claim, which is a string or an array of strings."""
    if claim is None:
        return ()
    return tuple(str(item) for item in claim) if isinstance(claim, list) else (str(claim),)
