"""Deletes a user: messages become tombstones, and all other rows about the user are deleted.

First the deletion is marked, after which the id and its sessions are rejected. All further steps
can be repeated: an interrupted deletion continues with the next call or the timer. It finishes
MIN_DELETION_SECONDS after its start at the earliest, because an instance may still store messages
that the user has sent before.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime

from azure.core.exceptions import AzureError

from realtime.azure.web_pubsub import hub
from realtime.concurrency import gather_limited
from realtime.errors import ApiError
from realtime.identity.deletions import Deletion, deletions
from realtime.identity.profiles import profiles
from realtime.identity.reserved_names import reserved_names
from realtime.identity.revocations import revocations
from realtime.names import direct_log
from realtime.rooms.erasure import erasure
from realtime.rooms.log import logs
from realtime.rooms.presence import presence
from realtime.rooms.room_store import room_store
from realtime.streams.subscriptions import subscriptions
from realtime.users.bans import bans
from realtime.users.blocks import blocks
from realtime.users.memberships import Membership, memberships
from realtime.users.reports import reports

MIN_DELETION_SECONDS = 120.0
"""A message of a user may be committed until then: 5 s after the ban an instance has read it, a
commit is retried for 30 s, and a draft may wait in a queue row for 60 s."""

REQUEST_TIMEOUT_SECONDS = 20.0
"""How long a request works on a deletion; the timer continues it."""

TIMER_TIMEOUT_SECONDS = 90.0
"""Reconciling presence and publishing heads take up to 140 s of the same run."""

MAX_PAGE_MEMBERSHIPS = 100

log = logging.getLogger(__name__)

Clock = Callable[[], float]


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def begin_deletion(user_id: str, now: Callable[[], datetime] = _utc_now) -> Deletion:
    """Mark a user as deleted and close the connections, on every instance at once.

    The ban reaches what reads the list of bans only. It is removed when the deletion is finished.
    """
    found = await deletions().begin(user_id, now())
    if found.pending:
        await bans().add(user_id)
        await hub().close_user_connections(user_id, "deleted")
    return found


async def continue_deletion(
    user_id: str,
    *,
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    now: Callable[[], datetime] = _utc_now,
    clock: Clock = time.monotonic,
) -> Deletion:
    """Continue a deletion for a limited time; returns its state.

    What a call has done is not done again by the next one: a user may have thousands of rooms.
    """
    found = await begin_deletion(user_id, now)
    if not found.pending:
        return found
    deadline = clock() + timeout_seconds

    def is_over() -> bool:
        return clock() >= deadline

    may_finish = (now() - found.began).total_seconds() >= MIN_DELETION_SECONDS
    is_erased = await _erase_logs(user_id, is_over, forget=may_finish)
    if is_erased is None or not await _remove_rows(user_id, is_over):
        return found
    if may_finish and is_erased:
        await bans().remove(user_id)
        await deletions().finish(user_id)
    return await deletions().find(user_id) or found


async def continue_deletions(timeout_seconds: float = TIMER_TIMEOUT_SECONDS) -> None:
    """Continue all deletions; one that fails does not stop the others."""
    pending = [user_id async for user_id in deletions().list_pending()]
    random.shuffle(pending)  # A long one does not delay the same others each minute.
    deadline = time.monotonic() + timeout_seconds
    for user_id in pending:
        if (left := deadline - time.monotonic()) <= 0:
            return
        try:
            await continue_deletion(user_id, timeout_seconds=left)
        except (ApiError, AzureError) as error:
            log.warning("a deletion continues in a minute: %s", type(error).__name__)


async def _erase_logs(user_id: str, is_over: Callable[[], bool], *, forget: bool) -> bool | None:
    """Whether nothing of the user is left in any log, None if the time is over before.

    With `forget`, a log of which nothing is left is removed from those of the author.
    """
    names = [name async for name in logs().index.authors.list_logs(user_id)]
    is_erased = True
    for number, name in enumerate(names):
        if (number and is_over()) or not await _erase_log(name, user_id, is_over):
            return None
        is_last = await erasure().remove_queued(name, user_id)
        is_erased = is_erased and is_last
        if forget and is_last:
            await logs().index.authors.remove(user_id, name)
    return is_erased


async def _erase_log(name: str, user_id: str, is_over: Callable[[], bool]) -> bool:
    """Whether nothing of the user is left in a log."""
    while await erasure().erase_page(name, user_id):
        if is_over():
            return False
    return True


async def _remove_rows(user_id: str, is_over: Callable[[], bool]) -> bool:
    """Remove the rows about the user in all tables except the logs. Whether none is left."""
    await asyncio.gather(
        subscriptions().remove_all(user_id),
        profiles().remove(user_id),
        reserved_names().remove_all(user_id),
        revocations().remove_all(user_id),
        blocks().remove_all(user_id),
        reports().remove_all(user_id),
    )
    # A user can have a role, a membership or a mute in a room without being in it.
    for room in await room_store().find_rooms(user_id):
        await room_store().remove_user(room, user_id)
    return await _leave_conversations(user_id, is_over)


async def _leave_conversations(user_id: str, is_over: Callable[[], bool]) -> bool:
    """Remove the user's conversations and mentions in them. Whether none is left."""
    while True:
        page, following = await memberships().list_page(user_id, MAX_PAGE_MEMBERSHIPS)
        await gather_limited(_leave_conversation(user_id, one) for one in page)
        if following is None:
            await memberships().remove_all(user_id)
            return True
        if is_over():
            return False


async def _leave_conversation(user_id: str, one: Membership) -> None:
    """The connections are closed, so "left" is announced."""
    if one.kind == "room":
        await presence().announce_left(one.name, user_id)
        await erasure().remove_mentions(one.name, user_id)
    else:
        await erasure().remove_mentions(direct_log(user_id, one.name), user_id)
    await memberships().remove(user_id, one.kind, one.name)
