"""The rate limits of client events and connections, per user."""

from functools import cache

from msgspec import Struct

from realtime.rate_limit import RateLimiter
from realtime.settings import settings

TYPING_PER_MINUTE = 20

REPORTS_PER_MINUTE = 10

ACTS_PER_MINUTE = 60
"""Blocks, mutes, removals and changes of roles: each writes several rows."""

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
        RateLimiter("messages", settings().messages_per_minute),
        RateLimiter("joins", settings().joins_per_minute),
        RateLimiter("typing events", TYPING_PER_MINUTE, burst=1),
        RateLimiter("read events", READS_PER_MINUTE),
        RateLimiter("connections", settings().connects_per_minute),
        RateLimiter("acts", ACTS_PER_MINUTE),
        RateLimiter("reports", REPORTS_PER_MINUTE, burst=REPORTS_PER_MINUTE),
    )
