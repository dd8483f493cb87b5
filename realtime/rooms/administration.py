"""Acts on a room and on its users: settings, roles, mute and removal. They store nothing of a
deleted user.

Every act follows one order: it is recorded in the audit log, stored, put in force by a new access
version of the room's log, and then published. A failed act is repeated by its caller.
"""

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from realtime.azure.web_pubsub import Hub, hub
from realtime.concurrency import gather_limited
from realtime.errors import ApiError
from realtime.identity.deletions import Deletions, deletions
from realtime.identity.profiles import Profiles, profiles
from realtime.messages import (
    MutedEvent,
    RemovedEvent,
    RoleEvent,
    RoomEvent,
    format_timestamp,
)
from realtime.names import Role, room_group
from realtime.rooms.access import RoomAccess, room_access
from realtime.rooms.appender import Appender, appender
from realtime.rooms.drafts import AccessDraft
from realtime.rooms.permitted import RecordAct
from realtime.rooms.presence import Presence, presence
from realtime.rooms.room_store import (
    RoomChange,
    RoomStore,
    StoredMember,
    StoredRoom,
    room_store,
)

MAX_PRIVILEGED_USERS = 50
"""Owners and moderators of one room: they are in one row, which every check reads."""

FOREVER = "9999-12-31T23:59:59.999Z"
"""The end of a mute that has none."""

_RANKS: dict[str, int] = {"member": 0, "moderator": 1, "owner": 2}

_SERVER_RANK = 3


class Actor(Struct, frozen=True):
    """Who acts. `user_id` is None for a server or an operator, who may act on everybody."""

    user_id: str | None
    record: RecordAct

    def rank(self, room: StoredRoom) -> int:
        if self.user_id is None:
            return _SERVER_RANK
        return _RANKS[room.roles.get(self.user_id, "member")]

    def require_rank(self, room: StoredRoom, role: Role) -> None:
        """Raises ApiError `forbidden` below this role."""
        if self.rank(room) < _RANKS[role]:
            raise ApiError("forbidden", f"Only the {role}s of the room may do this.")

    def require_above(self, room: StoredRoom, user_id: str) -> None:
        """Raises ApiError unless the actor is a moderator whose role is higher than the user's."""
        self.require_rank(room, "moderator")
        if user_id == self.user_id:
            raise ApiError("invalid_target", "You cannot do this to yourself.")
        if self.rank(room) <= _RANKS[room.roles.get(user_id, "member")]:
            raise ApiError("forbidden", "The user has the same role as you, or a higher one.")


class Administration:
    """The acts of owners, moderators, operators and servers on all rooms."""

    def __init__(
        self,
        store: RoomStore,
        access: RoomAccess,
        appender: Appender,
        hub: Hub,
        presence: Presence,
        profiles: Profiles,
        deletions: Deletions,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._access = access
        self._appender = appender
        self._hub = hub
        self._presence = presence
        self._profiles = profiles
        self._deletions = deletions
        self._now = now

    # --- settings ---------------------------------------------------------------------------

    async def change_settings(
        self, room: str, actor: Actor, owners: Sequence[str] | None = None, **settings: Any
    ) -> StoredRoom:
        """Create a room, or change it. `settings` are fields of StoredRoom."""

        def change(stored: StoredRoom) -> StoredRoom:
            actor.require_rank(stored, "owner")
            roles = stored.roles if owners is None else _with_owners(stored.roles, owners)
            return replace(stored, roles=roles, **settings)

        change(await self._store.read_room(room))
        await gather_limited(self._deletions.check(one) for one in owners or ())
        await actor.record(_describe(settings.get("private")), room)
        before, after = await self._store.change_room(room, change)
        # Also where nothing changes: this may be the repetition of a request that failed here.
        if "private" in settings or owners is not None:
            await self.renew_access(room)
        if after.private:
            await self._remove_others(room)
        if replace(before, etag="", roles={}) != replace(after, etag="", roles={}):
            await self._hub.send_to_group(
                room_group(room),
                RoomEvent(room, after.title, after.topic, after.private, after.listed),
            )
        for user_id in sorted(before.roles.keys() | after.roles.keys()):
            role: Role = after.roles.get(user_id, "member")
            if before.roles.get(user_id, "member") != role:
                await self._publish_role(room, user_id, role)
        return after

    async def _remove_others(self, room: str) -> None:
        """Remove the users who are in a room that is private and are not its members."""
        roster = await self._presence.roster(room)
        for user_id in roster.users:
            if not await self._access.find(room, user_id):
                await self._remove_connections(room, user_id)
                await self._hub.send_to_user(user_id, RemovedEvent(room, None))

    # --- roles ------------------------------------------------------------------------------

    async def change_role(self, room: str, actor: Actor, user_id: str, role: Role) -> None:
        """Give a user a role; the user becomes a member and is not kept out any more."""

        def change(stored: StoredRoom, user: StoredMember) -> tuple[StoredRoom, StoredMember]:
            actor.require_rank(stored, "owner")
            roles = _with_role(stored.roles, user_id, role)
            if actor.user_id is not None and not _has_owner(roles):
                raise ApiError("last_owner", "Name another owner first.")
            member = replace(user, member=True, removed_until="")
            return replace(stored, roles=roles), member

        before = (await self._store.read_room(room)).roles.get(user_id, "member")
        action = "add member" if role == before == "member" else f"make {role}"
        await self._change_member(room, actor, action, user_id, change)
        if before != role:
            await self._publish_role(room, user_id, role)

    async def _publish_role(self, room: str, user_id: str, role: Role) -> None:
        name = await self._profiles.name_of(user_id)
        await self._hub.send_to_group(room_group(room), RoleEvent(room, user_id, name, role))

    # --- mute and removal -------------------------------------------------------------------

    async def mute(
        self, room: str, actor: Actor, user_id: str, minutes: int | None, *, on: bool = True
    ) -> str:
        """Mute a user for some minutes, or until it is lifted; returns until when, "" if lifted."""
        until = "" if not on else FOREVER if minutes is None else self._after(minutes)

        def change(stored: StoredRoom, user: StoredMember) -> tuple[StoredRoom, StoredMember]:
            actor.require_above(stored, user_id)
            return stored, replace(user, muted_until=until)

        await self._change_member(room, actor, "mute" if on else "unmute", user_id, change)
        event = MutedEvent(room, on, None if until in {"", FOREVER} else until)
        await self._hub.send_to_user(user_id, event)
        return until

    async def remove(self, room: str, actor: Actor, user_id: str, minutes: int) -> None:
        """Remove a user, who has no role and no membership then, and whom the room refuses for
        some minutes while it is open."""
        until = self._after(minutes)

        def change(stored: StoredRoom, user: StoredMember) -> tuple[StoredRoom, StoredMember]:
            actor.require_above(stored, user_id)
            roles = _with_role(stored.roles, user_id, "member")
            return replace(stored, roles=roles), replace(user, member=False, removed_until=until)

        stored = await self._change_member(room, actor, "remove member", user_id, change)
        await self._remove_connections(room, user_id)
        event = RemovedEvent(room, None if stored.private else until)
        await self._hub.send_to_user(user_id, event)

    async def _remove_connections(self, room: str, user_id: str) -> None:
        await self._hub.remove_user_from_group(room_group(room), user_id)
        await self._presence.announce_left(room, user_id)

    async def _change_member(
        self, room: str, actor: Actor, action: str, user_id: str, change: RoomChange
    ) -> StoredRoom:
        """The change is tried first: what is not allowed is not recorded."""
        change(await self._store.read_room(room), await self._store.read_member(room, user_id))
        await self._deletions.check(user_id)
        await actor.record(action, f"{room}/{user_id}")
        try:
            stored, _ = await self._store.change_member(room, user_id, change)
        finally:  # also after an error: the change may be stored although its response is lost
            await self.renew_access(room)
        return stored

    # --- access version ---------------------------------------------------------------------

    async def renew_access(self, room: str) -> None:
        """Give the room's log a new access version.

        From then on no instance commits a draft whose sender was checked before the change.
        """
        self._access.drop_cached(room)
        await self._appender.append(room, AccessDraft("system", secrets.token_urlsafe(12)))

    def _after(self, minutes: int) -> str:
        return format_timestamp(self._now() + timedelta(minutes=minutes))


def _describe(private: Any) -> str:
    return "change room" if private is None else "close room" if private else "open room"


def _with_role(roles: Any, user_id: str, role: Role) -> dict[str, Any]:
    others = {user: held for user, held in roles.items() if user != user_id}
    found = others if role == "member" else {**others, user_id: role}
    if len(found) > max(MAX_PRIVILEGED_USERS, len(roles)):
        raise ApiError(
            "too_many_roles",
            f"A room has at most {MAX_PRIVILEGED_USERS} owners and moderators.",
        )
    return found


def _with_owners(roles: Any, owners: Sequence[str]) -> dict[str, Any]:
    """These owners; moderators who are not among them stay."""
    found = {user: role for user, role in roles.items() if role != "owner"}
    for user_id in owners:
        found = _with_role(found, user_id, "owner")
    return found


def _has_owner(roles: Any) -> bool:
    return "owner" in roles.values()


@cache
def administration() -> Administration:
    """The administration of rooms in this process."""
    return Administration(
        room_store(), room_access(), appender(), hub(), presence(), profiles(), deletions()
    )
