"""Counts the rejected events of each connection, and closes one that has too many.

A rejected event costs the app a request. A well-behaved client waits after `rate_limited` and does
not repeat what cannot succeed.
"""

import logging
from functools import cache

from azure.core.exceptions import AzureError
from cachetools import TTLCache

from realtime.azure import telemetry
from realtime.azure.web_pubsub import hub
from realtime.rate_limit import RateLimiter

MAX_REJECTIONS_PER_MINUTE = 100

CLOSE_PAUSE_SECONDS = 10.0
"""A connection is closed at most once in this time, however many events it sends meanwhile."""

MAX_CACHED_CONNECTIONS = 10_000

log = logging.getLogger(__name__)


async def count_rejection(connection: str) -> None:
    """Close the connection if it has more than MAX_REJECTIONS_PER_MINUTE on this instance."""
    if _limiter().try_acquire(connection) or connection in _closed():
        return
    _closed()[connection] = True
    telemetry.increment("townsquare.connections.closed", reason="rejections")
    try:
        await hub().close_connection(connection, "too many rejected events")
    except AzureError as error:
        log.warning("a connection cannot be closed: %s", type(error).__name__)


@cache
def _closed() -> TTLCache[str, bool]:
    """The connections that were closed a moment ago."""
    return TTLCache(MAX_CACHED_CONNECTIONS, CLOSE_PAUSE_SECONDS)


@cache
def _limiter() -> RateLimiter:
    return RateLimiter(
        "rejected events", MAX_REJECTIONS_PER_MINUTE, burst=MAX_REJECTIONS_PER_MINUTE
    )
