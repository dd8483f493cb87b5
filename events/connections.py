"""Handlers of the system events: connect, connected, disconnected."""

import asyncio

from events.client import Client
from events.limits import event_limits
from events.rooms import remove_without_access
from realtime.azure.web_pubsub import hub
from realtime.concurrency import gather_all
from realtime.errors import ApiError
from realtime.identity.deletions import deletions
from realtime.identity.profiles import profiles
from realtime.identity.revocations import revocations
from realtime.names import (
    decode_display_name,
    display_name,
    is_display_name_group,
    room_group,
    room_of_group,
    session_of_group,
    user_group,
    validate_room,
)
from realtime.rooms.access import room_access
from realtime.rooms.departures import departures
from realtime.rooms.presence import presence
from realtime.streams.subscriber_runs import subscriber_runs
from realtime.streams.subscriptions import subscriptions
from realtime.users.bans import bans
from realtime.users.connections import user_connections


async def connect(client: Client, groups: list[str]) -> list[str]:
    """The groups of a new connection: those of its token and of the user's subscriptions.

    Checks bans and rooms again, since the token may be an hour old, and limits the connections
    of the user. Raises ApiError.
    """
    event_limits().connects.acquire(client.user_id)
    sessions = filter(None, map(session_of_group, groups))
    # Together, because they share the read of one version.
    *_, subscribed = await gather_all(
        bans().check_now(client.user_id),
        _check_not_deleted(client),
        *(revocations().check_now(client.user_id, session_id) for session_id in sessions),
        *(room_access().check_by_version(room, client.user_id) for room in client.rooms),
        subscriptions().list_groups(client.user_id),
    )
    names = list(filter(None, map(decode_display_name, groups)))
    await asyncio.gather(
        user_connections().admit(client.user_id, client.connection),
        profiles().add(client.user_id, names[0] if names else display_name(client.user_id)),
    )
    lasting = [_fold_group(group) for group in groups if not is_display_name_group(group)]
    await subscriber_runs().start_groups([*lasting, *subscribed])
    return sorted({*lasting, user_group(client.user_id), *subscribed})


def _fold_group(group: str) -> str:
    """A room's group with its name in lower case."""
    room = room_of_group(group)
    return room_group(validate_room(room)) if room else group


async def connected(client: Client) -> None:
    """Announce the user in the rooms of the token.

    Checks bans and rooms once more: a ban during the handshake could not close the connection.
    """
    try:
        await asyncio.gather(bans().check_now(client.user_id), _check_not_deleted(client))
        for room in client.rooms:
            await remove_without_access(client, room)
    except ApiError as error:
        if error.code in {"banned", "unauthenticated"}:
            await hub().close_user_connections(client.user_id, error.code)
        return
    await asyncio.gather(
        *(presence().enter(room, client.user_id, only_listed=True) for room in client.rooms)
    )


async def _check_not_deleted(client: Client) -> None:
    try:
        await deletions().check_now(client.user_id)
    except ApiError as error:
        raise ApiError("unauthenticated", error.message) from None


async def disconnected(client: Client) -> None:
    """Announce after a grace period that the user has left, unless the user has returned.

    Does not wait for it: an instance handles a limited number of requests at the same time.
    """
    user_connections().remove(client.user_id, client.connection)
    departures().add(client.rooms, client.user_id)
