"""Sessions: signed tokens that prove a guest's identity."""

from datetime import UTC, datetime, timedelta

import jwt

from realtime.errors import ApiError
from realtime.names import validate_user_id

SESSION_DAYS = 30
"""Lifetime of a session; each negotiate renews it."""

_AUDIENCE = "townsquare-session"


def sign_session(user_id: str, secret: str) -> str:
    expiry = datetime.now(UTC) + timedelta(days=SESSION_DAYS)
    claims = {"sub": user_id, "aud": _AUDIENCE, "exp": expiry}
    return jwt.encode(claims, secret, algorithm="HS256")


def verify_session(session: str, secret: str) -> str:
    """The user id of a session. Raises ApiError `unauthenticated`."""
    try:
        claims = jwt.decode(
            session,
            secret,
            algorithms=["HS256"],
            audience=_AUDIENCE,
            options={"require": ["exp", "sub"]},
        )
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise ApiError("unauthenticated", "The session is not valid; negotiate again.") from None
    return validate_user_id(claims["sub"])
