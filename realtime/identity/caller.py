"""What the identity providers share: the caller, and how user ids are made.

A user id is a readable name and a suffix that makes it unique: `ann-7f3kq2xz` for a guest,
`ann_c4d5e6f7a8` for an account. The name part never contains `_`, so a guest's id cannot look like
an account's. The suffix is random or a digest, so nobody can choose the id of somebody else.
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from realtime.errors import ApiError

RESERVED_NAMES = frozenset({"system"})
"""Names under which only servers send."""


@dataclass(frozen=True)
class Caller:
    """A user; `authenticated` is false for a guest whose id was minted by this request.

    `session` proves a guest's identity in later requests.
    """

    user_id: str
    session: str | None = None
    authenticated: bool = True


class IdentityProvider(Protocol):
    """Identifies callers by the headers of a request (with lower-case names)."""

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """The caller. Raises ApiError `unauthenticated`."""

    async def authenticate_or_create(self, headers: Mapping[str, str], name: str) -> Caller:
        """The same for negotiate, where a new guest may choose a name."""


def account_caller(issuer: str, subject: str, name: str) -> Caller:
    """The caller of an account: the id's suffix is a digest of issuer and subject."""
    digest = hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()[:16]
    return Caller(f"{to_ascii_name(name, 'user')}_{digest}")


def to_ascii_name(name: Any, default: str) -> str:
    """A name in the alphabet of ids; other characters become `-`. Reserved names give `default`."""
    plain = unicodedata.normalize("NFKD", str(name)[:200]).encode("ascii", "ignore").decode()
    ascii_name = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")[:40].rstrip("-")
    return default if not ascii_name or ascii_name.lower() in RESERVED_NAMES else ascii_name


def bearer_token(headers: Mapping[str, str]) -> str:
    """The token of the Authorization header. Raises ApiError `unauthenticated`."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ApiError("unauthenticated", "Send Authorization: Bearer with your session.")
    return token.strip()
