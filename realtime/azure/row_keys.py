"""Row keys that sort by time."""

import secrets
from datetime import UTC, datetime, timedelta

NEWEST_FIRST_KEY_PATTERN = "[0-9]{13}-[0-9a-f]{8}"

_START = datetime(1970, 1, 1, tzinfo=UTC)

_MILLISECOND = timedelta(milliseconds=1)

_FAR_FUTURE_MS = 10**13
"""In the year 2286; 13 digits, as many as the milliseconds that are left until then."""


def newest_first_key(moment: datetime) -> str:
    """A unique key: of two, the one of the later moment sorts first."""
    return f"{newest_key_until(moment)}-{secrets.token_hex(4)}"


def newest_key_until(moment: datetime) -> str:
    """A key that sorts before those of this moment and of all earlier ones."""
    return f"{_FAR_FUTURE_MS - (moment - _START) // _MILLISECOND:013}"
