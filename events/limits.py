"""The rate limits of client events and connections, per user."""

from functools import cache

from msgspec import Struct

from realtime.rate_limit import RateLimiter
from realtime.settings import settings
from realtime.users.limits import act_limiter, message_limiter, report_limiter

TYPING_PER_MINUTE = 20

READS_PER_MINUTE = 120
"""A page moves a read marker when a message comes into view, so at most as often as it sends."""


class EventLimits(Struct, frozen=True):
    messages: RateLimiter
    joins: RateLimiter
    typing: RateLimiter
    reads: RateLimiter
    connects: RateLimiter
    acts: RateLimiter
    reports: RateLimiter


@cache
def event_limits() -> EventLimits:
    """The limiters of this process."""
    return EventLimits(
        message_limiter(),
        RateLimiter("joins", settings().joins_per_minute),
        RateLimiter("typing events", TYPING_PER_MINUTE, burst=1),
        RateLimiter("read events", READS_PER_MINUTE),
        RateLimiter("connections", settings().connects_per_minute),
        act_limiter(),
        report_limiter(),
    )
