"""The rate limits of client events, per user."""

from dataclasses import dataclass
from functools import cache

from realtime.rate_limit import RateLimiter
from realtime.settings import settings

TYPING_PER_MINUTE = 20


@dataclass(frozen=True)
class EventLimits:
    messages: RateLimiter
    joins: RateLimiter
    typing: RateLimiter


@cache
def event_limits() -> EventLimits:
    """The limiters of this process."""
    return EventLimits(
        RateLimiter("messages", settings().messages_per_minute),
        RateLimiter("joins", settings().joins_per_minute),
        RateLimiter("typing events", TYPING_PER_MINUTE, burst=1),
    )
