"""Sessions: signed tokens that prove an identity and carry the display name.

A session ends 30 days after its last renewal and 180 days after its beginning. A session that a
server has minted ends when the server has said; a renewal does not change that.
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import jwt
from msgspec import Struct
from msgspec.structs import replace

from realtime.errors import ApiError
from realtime.names import validate_user_id

SLIDING_DAYS = 30
"""A session that is not renewed for this long ends; each negotiate renews it."""

MAX_SESSION_DAYS = 180
"""A session that is renewed ends after this time all the same."""

_AUDIENCE = "townsquare-session"


class Session(Struct, frozen=True):
    """The claims of a session. `id` is the same after a renewal; `began` is its first second.

    `vouched` is true for a session that a server has minted; `operator` for one that administers.
    `ends` is the second after which a minted session is not valid, renewed or not.
    """

    user_id: str
    name: str
    id: str
    began: int
    vouched: bool = False
    operator: bool = False
    ends: int | None = None


class SessionSigner:
    """Signs with one secret, and verifies with this one and the previous one."""

    def __init__(
        self,
        secret: str,
        previous_secret: str = "",
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._secrets = [one for one in (secret, previous_secret) if one]
        self._now = now

    def begin(self, user_id: str, name: str) -> Session:
        """A new session of a guest."""
        return Session(user_id, name, secrets.token_urlsafe(12), self._seconds())

    def mint(
        self, user_id: str, name: str, lifetime: timedelta, *, operator: bool = False
    ) -> Session:
        """A new session of a user for whom a server vouches for this time."""
        session = self.begin(user_id, name)
        ends = session.began + int(lifetime.total_seconds())
        return replace(session, vouched=True, operator=operator, ends=ends)

    def sign(self, session: Session) -> str:
        """The token of a session, which is valid until the session ends unless it is renewed."""
        sliding = self._seconds() + _seconds_of(SLIDING_DAYS)
        last = session.began + _seconds_of(MAX_SESSION_DAYS)
        claims = {
            "sub": session.user_id,
            "aud": _AUDIENCE,
            "exp": min(sliding, last, last if session.ends is None else session.ends),
            "sid": session.id,
            "name": session.name,
            "began": session.began,
        }
        if session.ends is not None:
            claims["ends"] = session.ends
        flags = {"vouched": session.vouched, "operator": session.operator}
        return jwt.encode(
            claims | {flag: True for flag, is_set in flags.items() if is_set},
            self._secrets[0],
            algorithm="HS256",
        )

    def verify(self, token: str) -> Session:
        """The session of a token. Raises ApiError `unauthenticated`."""
        for secret in self._secrets:
            try:
                return _parse(token, secret, self._now())
            except (jwt.PyJWTError, KeyError, TypeError, ValueError, RecursionError):
                continue
        raise ApiError("unauthenticated", "The session is not valid; negotiate again.")

    def _seconds(self) -> int:
        return int(self._now().timestamp())


def rename_session(session: Session, name: str) -> Session:
    """The same session with another display name."""
    return replace(session, name=name)


def _parse(token: str, secret: str, now: datetime) -> Session:
    claims = jwt.decode(
        token,
        secret,
        algorithms=["HS256"],
        audience=_AUDIENCE,
        options={"require": ["exp", "sub", "sid", "name", "began"], "verify_exp": False},
    )
    expires = int(claims["exp"])
    if expires <= now.timestamp():
        raise jwt.ExpiredSignatureError
    vouched = claims.get("vouched") is True
    # A minted token of an earlier version has no `ends`: its session is not renewed beyond it.
    ends = claims.get("ends", expires if vouched else None)
    return Session(
        user_id=validate_user_id(claims["sub"]),
        name=str(claims["name"]),
        id=str(claims["sid"]),
        began=int(claims["began"]),
        vouched=vouched,
        operator=claims.get("operator") is True,
        ends=None if ends is None else int(ends),
    )


def _seconds_of(days: int) -> int:
    return int(timedelta(days=days).total_seconds())
