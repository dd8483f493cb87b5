"""Who may enter a room and write there: everybody, unless the room is private or only listed rooms
exist, or the user is muted or removed.

What was read of a user is cached together with the access version of the room's log, which every
change of roles, members or settings replaces (`administration`). Joins and history pages read the
version and the room's row, and the user's row unless it was read under this version. Concurrent
checks share the reads of version and room; the version is in the head, so a history that is read at
the same time shares its read, too. A message is checked without a read: the commit compares the
versions. So a change is in force on every instance before its caller has an answer.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache

import msgspec
from cachetools import LRUCache, TTLCache
from msgspec.structs import replace

from realtime.concurrency import SharedCalls
from realtime.errors import ApiError
from realtime.messages import RoomUser, format_timestamp
from realtime.names import Role
from realtime.rooms.log import LogStore, logs
from realtime.rooms.room_store import RoomStore, StoredMember, StoredRoom, room_store
from realtime.settings import settings

PERMIT_CACHE_SECONDS = 60.0
"""How long an instance uses what it has read of a user, while the access version stays."""

OPEN_CACHE_SECONDS = 5.0
"""How long an instance takes a room for open, where no commit compares the version."""

MAX_CACHED_PERMITS = 20_000

MAX_CACHED_ROOMS = 10_000


class RoomState(msgspec.Struct, frozen=True):
    """What is stored of a room, and of one user in it."""

    room: StoredRoom
    user: StoredMember

    @property
    def private(self) -> bool:
        return self.room.private

    @property
    def role(self) -> Role:
        return self.room.roles.get(self.user.user_id, "member")

    @property
    def is_member(self) -> bool:
        """Whether the user may enter the room while it is private."""
        return self.user.member or self.role != "member"

    @property
    def is_moderator(self) -> bool:
        """Whether the user may act on other users' messages."""
        return self.role != "member"


class Permit(msgspec.Struct, frozen=True):
    """The state of a user who may enter a room, read under an access version of its log.

    It has no texts, and of the roles only the user's own.
    """

    version: str
    state: RoomState


class RoomAccess:
    """The access rules of all rooms."""

    def __init__(
        self,
        store: RoomStore,
        logs: LogStore,
        *,
        listed: bool,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._logs = logs
        self._listed = listed
        self._now = now
        self._permits: TTLCache[tuple[str, str], Permit] = TTLCache(
            MAX_CACHED_PERMITS, PERMIT_CACHE_SECONDS, timer=clock
        )
        self._open: TTLCache[str, bool] = TTLCache(
            MAX_CACHED_ROOMS, OPEN_CACHE_SECONDS, timer=clock
        )
        self._versions: LRUCache[str, str] = LRUCache(MAX_CACHED_ROOMS)
        self._reads = SharedCalls[str, StoredRoom]()
        self._changes = 0

    async def check(self, room: str, user_id: str) -> RoomState:
        """The state as the table has it now. Raises ApiError `unknown_room` or `removed`.

        `unknown_room` is the same for a private room and for one that does not exist.
        """
        changes = self._changes
        state = await self._read_versioned_state(room, user_id)
        if not self._allows(state):
            self._open.pop(room, None)
            raise self._refuse(state)
        if changes == self._changes:  # else the state may be from before a change
            self._open[room] = not state.private
        return state

    async def check_by_version(self, room: str, user_id: str) -> None:
        """The same by the access version that the table has now, as for a message.

        For a user who was checked under this version it reads the version only. A change that is
        stored and has not renewed the version yet, is not in force here: `check` follows.
        """
        known: Permit | None = self._permits.get((room, user_id))
        if known and self._allows(known.state) and known.version == await self._read_version(room):
            return
        await self.check(room, user_id)

    async def _read_versioned_state(self, room: str, user_id: str) -> RoomState:
        """The state now. The user's row is read unless it is cached under the present version.

        A row is cached under a version that was read before the row was.
        """
        known: Permit | None = self._permits.get((room, user_id))
        if known:
            stored, version = await asyncio.gather(self._read_room(room), self._read_version(room))
            if known.version == version:
                return RoomState(stored, known.state.user)
        elif room in self._versions:
            version = self._versions[room]
        else:
            version = await self._read_version(room)
        state = await self.read_state(room, user_id)
        if self._allows(state):
            self._permits[room, user_id] = Permit(version, _without_texts(state))
        return state

    async def _read_version(self, room: str) -> str:
        """The access version as the table has it now."""
        version = self._versions[room] = (await self._logs.read_head_shared(room)).access
        return version

    async def _read_room(self, room: str) -> StoredRoom:
        return await self._reads.run(room, lambda: self._store.read_room(room))

    async def check_open(self, room: str, user_id: str) -> None:
        """The same for users who do not stay: an open room costs a read in 5 s."""
        if not self._open.get(room):
            await self.check(room, user_id)

    def drop_cached(self, room: str) -> None:
        """Read the room at its next check: this instance has changed it."""
        self._changes += 1
        self._open.pop(room, None)

    async def permit(self, room: str, user_id: str, *, cached: bool = True) -> Permit:
        """The state of a sender, for a commit that compares the version. Raises as `check`.

        The version is read before the state: so a state that is older than a change has an older
        version, too.
        """
        if not cached:
            version = (await self._logs.read_head(room)).access
        else:
            version = (await self._logs.cached_head(room)).access
            known: Permit | None = self._permits.get((room, user_id))
            if known and known.version == version and self._allows(known.state):
                return known
        permit = Permit(version, _without_texts(await self.check(room, user_id)))
        self._permits[room, user_id] = permit
        return permit

    async def find(self, room: str, user_id: str) -> RoomState | None:
        """The state if the user may enter the room, else None."""
        state = await self.read_state(room, user_id)
        return state if self._allows(state) else None

    async def read_state(self, room: str, user_id: str) -> RoomState:
        """Reads both rows always and in parallel: the duration does not reveal what exists."""
        stored, member = await asyncio.gather(
            self._read_room(room),
            self._store.read_member(room, user_id),
        )
        return RoomState(stored, member)

    def check_muted(self, state: RoomState) -> None:
        """Raises ApiError `muted` for a user who may read the room only."""
        if self.is_muted(state.user):
            raise ApiError("muted", "You are muted in this room.")

    def end_of_mute(self, state: RoomState) -> str | None:
        """Until when the user is muted, None for a user who is not."""
        return state.user.muted_until if self.is_muted(state.user) else None

    def is_muted(self, member: StoredMember) -> bool:
        return self._is_future(member.muted_until)

    def is_removed(self, member: StoredMember) -> bool:
        return self._is_future(member.removed_until)

    def _is_future(self, timestamp: str) -> bool:
        """Whether a time has not come yet; "" stands for none."""
        return timestamp != "" and timestamp > format_timestamp(self._now())

    def _allows(self, state: RoomState) -> bool:
        if state.private:
            return state.is_member
        if state.role == "member" and self.is_removed(state.user):
            return False
        return state.room.exists or not self._listed

    def _refuse(self, state: RoomState) -> ApiError:
        if state.private or not self.is_removed(state.user):
            return ApiError("unknown_room", "There is no such room.")
        return ApiError(
            "removed", f"You were removed from this room until {state.user.removed_until}."
        )


def _without_texts(state: RoomState) -> RoomState:
    """What a check needs: some hundred bytes, so that the cache is bounded in bytes."""
    user_id, roles = state.user.user_id, state.room.roles
    own_role = {user_id: roles[user_id]} if user_id in roles else {}
    return replace(state, room=replace(state.room, title="", topic="", roles=own_role))


def add_roles(users: Iterable[RoomUser], room: StoredRoom) -> list[RoomUser]:
    """A page of a roster with the roles of owners and moderators."""
    return [
        replace(user, role=role) if (role := room.roles.get(user.user_id)) else user
        for user in users
    ]


@cache
def room_access() -> RoomAccess:
    """The room access of this process."""
    return RoomAccess(room_store(), logs(), listed=settings().rooms == "listed")
