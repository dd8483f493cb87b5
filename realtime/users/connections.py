"""The live connections of a user: how many there may be.

Each connection is in a group of its user, so that the service can list them. A connection is in
the group only after its handshake, so an instance also remembers what it has just admitted: many
handshakes at the same time pass no instance. Several instances may admit one page more each.
"""

import time
from collections.abc import Callable
from functools import cache

from cachetools import TTLCache

from realtime.azure.web_pubsub import Hub, hub
from realtime.errors import ApiError
from realtime.names import user_group
from realtime.settings import settings

ADMITTED_CACHE_SECONDS = 15.0
"""How long an admitted connection counts although the service does not list it yet."""

MAX_CACHED_USERS = 10_000


class UserConnections:
    """The connections of all users; `limit` is for each user, 0 sets none."""

    def __init__(
        self, hub: Hub, limit: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._hub = hub
        self._limit = limit
        self._clock = clock
        self._admitted: TTLCache[str, dict[str, float]] = TTLCache(
            MAX_CACHED_USERS, ADMITTED_CACHE_SECONDS, timer=clock
        )

    async def admit(self, user_id: str, connection: str) -> None:
        """Raises ApiError `too_many_connections` if the user has as many as allowed."""
        if not self._limit:
            return
        listed = {one.id async for one in self._hub.list_connections(user_group(user_id))}
        # From here to the end nothing is awaited: concurrent calls see each other's result.
        now = self._clock()
        admitted = {
            one: until for one, until in self._admitted.get(user_id, {}).items() if until > now
        }
        if len((listed | set(admitted)) - {connection}) >= self._limit:
            raise ApiError(
                "too_many_connections",
                f"A user has at most {self._limit} connections; close one.",
                retry_after_ms=int(ADMITTED_CACHE_SECONDS * 1000),
            )
        self._admitted[user_id] = {**admitted, connection: now + ADMITTED_CACHE_SECONDS}

    def remove(self, user_id: str, connection: str) -> None:
        """The connection has ended."""
        self._admitted.get(user_id, {}).pop(connection, None)


@cache
def user_connections() -> UserConnections:
    """The connections of users as this process admits them."""
    return UserConnections(hub(), settings().connections_per_user)
