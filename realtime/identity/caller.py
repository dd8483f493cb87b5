"""What the identity providers share: the caller, and how user ids are made.

A user id is ASCII, opaque, and not for people to read: they read the display name. A guest's id is
a name and a random suffix, `ann-7f3kq2xz`; an account's is a digest, `user_c4d5e6f7…`. A guest's id
has no `_`, so it cannot look like an account's. No user can choose the id of another user, and a
changed name does not change the id.
"""

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct

from realtime.errors import ApiError
from realtime.identity.display_names import RESERVED_NAMES, clean_display_name
from realtime.identity.sessions import Session

ACCOUNT_DEFAULT_NAME = "user"


class Caller(Struct, frozen=True):
    """A user, with the name of the session or of the account's claims.

    `session` is a session of ours, which an account of another issuer has not. `is_new` is true
    for a guest whose id was made by this request.
    """

    user_id: str
    name: str
    session: Session | None = None
    is_new: bool = False


class IdentityProvider(Protocol):
    """Identifies callers by the headers of a request (with lower-case names)."""

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """The caller. Raises ApiError `unauthenticated`."""

    async def authenticate_or_create(self, headers: Mapping[str, str], name: str) -> Caller:
        """The same for negotiate, where a new guest may choose a name."""


def account_caller(issuer: str, subject: str, name: str) -> Caller:
    """The caller of an account: the id is a digest of issuer and subject only.

    Raises ApiError `unauthenticated` for a blank subject: it would be the same for all users.
    """
    if not subject.strip():
        raise ApiError("unauthenticated", "The sign-in has no user.")
    digest = hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()[:32]
    return Caller(f"user_{digest}", clean_display_name(name, ACCOUNT_DEFAULT_NAME))


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
