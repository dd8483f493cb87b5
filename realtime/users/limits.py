"""The rate limits of what a user does over the socket and over HTTP: both count together."""

from functools import cache

from realtime.rate_limit import RateLimiter
from realtime.settings import settings

REPORTS_PER_MINUTE = 10

ACTS_PER_MINUTE = 60
"""Blocks, mutes, removals, changes of roles and of a room's settings: each writes several rows."""


@cache
def message_limiter() -> RateLimiter:
    """For messages and changes of messages."""
    return RateLimiter("messages", settings().messages_per_minute)


@cache
def act_limiter() -> RateLimiter:
    return RateLimiter("acts", ACTS_PER_MINUTE)


@cache
def report_limiter() -> RateLimiter:
    return RateLimiter("reports", REPORTS_PER_MINUTE, burst=REPORTS_PER_MINUTE)
