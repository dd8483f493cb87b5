"""Maintenance on a schedule: reconcile presence and publish heads each minute, purge each night."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

import azure.functions as func

from realtime.azure.web_pubsub import hub
from realtime.identity.revocations import revocations
from realtime.rooms.heartbeat import publish_heads
from realtime.rooms.log import logs
from realtime.rooms.presence import presence
from realtime.rooms.retention import purge
from realtime.settings import settings
from realtime.streams.purge import purge_stream_histories
from realtime.timer import timer_function
from realtime.user_data.deletion import continue_deletions
from realtime.users.audit import audit_log

log = logging.getLogger(__name__)

bp = func.Blueprint()


async def reconcile_presence() -> None:
    """Publish the notices that lost events have left out, and the position of each room's log.

    Then go on with the deletions of users: a timer of its own would run on an instance of its own.
    """
    try:
        found = await presence().reconcile()
        if found.corrections:
            log.info("presence: %d corrections", found.corrections)
        await publish_heads(logs(), hub(), found.rosters)
    finally:
        await continue_deletions()


async def purge_history() -> None:
    """Remove what is past its retention, from the tables of frames, messages, acts and sessions."""
    now, days = datetime.now(UTC), settings().history_days
    await purge_all(
        {
            "frames of streams": lambda: purge_stream_histories(now),
            **({"messages": lambda: purge(logs(), now, days)} if days else {}),
            "acts of the audit log": lambda: audit_log().purge(),
            "ended sessions": lambda: revocations().purge(now),
        }
    )


async def purge_all(purges: Mapping[str, Callable[[], Awaitable[int]]]) -> None:
    """Run all purges, one after the other; then raise the first error, so that the host records it.

    A purge returns how many rows it has removed.
    """
    errors: list[Exception] = []
    for what, purge_rows in purges.items():
        try:
            log.info("retention: %d %s removed", await purge_rows(), what)
        except Exception as error:  # noqa: BLE001 - raised below
            log.warning("the purge of %s failed: %s", what, type(error).__name__)
            errors.append(error)
    if errors:
        raise errors[0]


timer_function(bp, "reconcile_presence", "30 * * * * *", reconcile_presence)
timer_function(bp, "purge_history", "0 15 3 * * *", purge_history)
