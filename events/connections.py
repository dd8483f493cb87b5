"""Handlers of the system events: connect, connected, disconnected."""

from events.client import Client
from events.limits import event_limits
from events.rooms import remove_without_access
from realtime.azure.web_pubsub import hub
from realtime.errors import ApiError
from realtime.names import user_group
from realtime.rooms.access import room_access
from realtime.rooms.departures import departures
from realtime.rooms.presence import presence
from realtime.streams.subscriptions import subscriptions
from realtime.users.bans import bans
from realtime.users.connections import user_connections


async def connect(client: Client, groups: list[str]) -> list[str]:
    """The groups of a new connection: those of its token and of the user's subscriptions.

    Checks bans and rooms again, since the token may be an hour old, and limits the connections
    of the user. Raises ApiError.
    """
    event_limits().connects.acquire(client.user_id)
    await bans().check_now(client.user_id)
    await user_connections().admit(client.user_id, client.connection)
    for room in client.rooms:
        await room_access().check(room, client.user_id)
    return sorted(
        {*groups, user_group(client.user_id), *await subscriptions().list_groups(client.user_id)}
    )


async def connected(client: Client) -> None:
    """Announce the user in the rooms of the token.

    Checks bans and rooms once more: a ban during the handshake could not close the connection.
    """
    try:
        await bans().check_now(client.user_id)
        for room in client.rooms:
            await remove_without_access(client, room)
    except ApiError as error:
        if error.code == "banned":
            await hub().close_user_connections(client.user_id, "banned")
        return
    for room in client.rooms:
        roster = await presence().roster(room)
        if client.user_id in roster.users:
            await presence().announce_joined(room, client.user_id, roster)


async def disconnected(client: Client) -> None:
    """Announce after a grace period that the user has left, unless the user is there again.

    Does not wait for it: an instance answers a limited number of requests at the same time.
    """
    user_connections().remove(client.user_id, client.connection)
    departures().add(client.rooms, client.user_id)
