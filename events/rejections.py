"""Counts the rejected events of each connection, and closes one that has too many.

A rejected event costs the app a request. A well-behaved client waits after `rate_limited` and does
not repeat what cannot succeed.
"""

import logging
from functools import cache

from azure.core.exceptions import AzureError

from realtime.azure import telemetry
from realtime.azure.web_pubsub import hub
from realtime.rate_limit import RateLimiter

MAX_REJECTIONS_PER_MINUTE = 100

log = logging.getLogger(__name__)


async def count_rejection(connection: str) -> None:
    """Close the connection if it has more than MAX_REJECTIONS_PER_MINUTE on this instance."""
    if _limiter().try_acquire(connection):
        return
    telemetry.increment("townsquare.connections.closed", reason="rejections")
    try:
        await hub().close_connection(connection, "too many rejected events")
    except AzureError as error:
        log.warning("a connection cannot be closed: %s", type(error).__name__)


@cache
def _limiter() -> RateLimiter:
    return RateLimiter(
        "rejected events", MAX_REJECTIONS_PER_MINUTE, burst=MAX_REJECTIONS_PER_MINUTE
    )
