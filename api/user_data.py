"""The data of one user: its export, and its deletion.

The user asks for it with the own session, an operator with an operator's session, a server with a
function key (`api/server/`: the platform verifies keys by route).
"""

from collections.abc import Awaitable, Callable
from functools import cache, partial
from typing import Annotated

import azure.functions as func
from msgspec import Meta, Struct

from api.authorization import authenticate_operator
from api.blueprint import bp
from realtime.errors import ApiError
from realtime.http import Access, endpoint
from realtime.identity.deletions import deletions
from realtime.identity.display_names import RESERVED_NAMES
from realtime.messages import Change, Entry
from realtime.names import DELETED_USER, users_of_direct_log, validate_user_id
from realtime.rate_limit import RateLimiter
from realtime.user_data.deletion import continue_deletion
from realtime.user_data.export import ExportPart, export_part
from realtime.users.audit import audit_log, record_act
from realtime.users.caller import authenticate_owner
from realtime.users.memberships import Membership

MAX_POSITION_LENGTH = 512

PAGES_PER_MINUTE = 60
"""A page of an export costs up to 2,000 reads."""

DELETIONS_PER_MINUTE = 6
"""Calls for one user. Each continues a deletion for up to 20 s, and reads two tables whole."""


class ExportQuery(Struct, frozen=True):
    """The page at a position, which the page before has named."""

    after: Annotated[str, Meta(max_length=MAX_POSITION_LENGTH)] = ""


class ExportedProfile(Struct, frozen=True):
    name: str
    status: str
    colour: int | None


class ExportedConversation(Struct, frozen=True, omit_defaults=True):
    """A room or a direct conversation (`user_id`) of the user, with the read marker."""

    read: int
    room: str | None = None
    user_id: str | None = None


class ExportedMessage(Struct, frozen=True, omit_defaults=True):
    """A message of the user in a room, or in the conversation with `user_id`."""

    message: Entry
    room: str | None = None
    user_id: str | None = None


class ExportedChange(Struct, frozen=True, omit_defaults=True):
    """An edit, a delete or a reaction of the user; the text of an edit is in its message."""

    change: Change
    room: str | None = None
    user_id: str | None = None


class UserExport(Struct, frozen=True):
    """One page of what is stored about a user.

    `profile`, `streams` (the subscriptions) and `blocked` (users) are in the first page only.
    Messages of one conversation come in no particular order. `next` is the `after` of the next
    page.
    """

    user_id: str
    profile: ExportedProfile | None
    streams: list[str]
    blocked: list[str]
    conversations: list[ExportedConversation]
    messages: list[ExportedMessage]
    changes: list[ExportedChange]
    next: str | None


class UserDeletion(Struct, frozen=True):
    """`pending` says whether data is still being removed: within minutes a timer does the rest."""

    user_id: str
    deleted: bool
    pending: bool


@endpoint(
    bp,
    "GET",
    "api/users/{user_id}/export",
    Access.SESSION,
    errors="invalid_user invalid_cursor rate_limited",
)
async def user_export(req: func.HttpRequest, query: ExportQuery) -> UserExport:
    """Export what is stored about the caller, or for an operator about any user."""
    user_id = _user_of(req)
    actor = await _authorize(req, user_id)
    _export_limiter().acquire(user_id)
    if actor != user_id and not query.after:
        await audit_log().add(actor, "export", user_id)
    return await _export(user_id, query)


@endpoint(
    bp,
    "GET",
    "api/server/users/{user_id}/export",
    Access.SERVER,
    errors="invalid_user invalid_cursor",
)
async def server_user_export(req: func.HttpRequest, query: ExportQuery) -> UserExport:
    """Export what is stored about a user."""
    user_id = _user_of(req)
    if not query.after:
        await record_act(req.headers, "export", user_id)
    return await _export(user_id, query)


@endpoint(
    bp,
    "DELETE",
    "api/users/{user_id}",
    Access.SESSION,
    errors="invalid_user busy rate_limited",
)
async def user_delete(req: func.HttpRequest) -> UserDeletion:
    """Delete the caller, or for an operator any user; a repeated call goes on with it.

    Messages become tombstones for everybody, connections and sessions end, and the id is never
    given again.
    """
    user_id = _user_of(req)
    actor = await _authorize(req, user_id)
    _deletion_limiter().acquire(user_id)
    return await _delete(user_id, partial(audit_log().add, actor))


@endpoint(bp, "DELETE", "api/server/users/{user_id}", Access.SERVER, errors="invalid_user busy")
async def server_user_delete(req: func.HttpRequest) -> UserDeletion:
    """Delete a user; a repeated call goes on with it."""
    user_id = _user_of(req)
    return await _delete(user_id, partial(record_act, req.headers))


def _user_of(req: func.HttpRequest) -> str:
    user_id = validate_user_id(req.route_params["user_id"])
    if user_id in {*RESERVED_NAMES, DELETED_USER}:
        raise ApiError("invalid_user", "This id belongs to the app.")
    return user_id


async def _authorize(req: func.HttpRequest, user_id: str) -> str:
    """Who asks: the user, or an operator. Raises ApiError for everybody else."""
    caller = await authenticate_owner(req.headers)
    if caller.user_id == user_id:
        return user_id
    return (await authenticate_operator(req)).user_id


async def _export(user_id: str, query: ExportQuery) -> UserExport:
    part = await export_part(user_id, query.after)
    return UserExport(
        user_id=user_id,
        profile=_make_profile(part),
        streams=part.streams,
        blocked=part.blocked,
        conversations=[_make_conversation(one) for one in part.memberships],
        messages=[
            ExportedMessage(one, **_conversation_of(log, user_id))
            for log, one in part.entries
            if isinstance(one, Entry)
        ],
        changes=[
            ExportedChange(one, **_conversation_of(log, user_id))
            for log, one in part.entries
            if isinstance(one, Change)
        ],
        next=part.next,
    )


def _make_profile(part: ExportPart) -> ExportedProfile | None:
    if part.profile is None:
        return None
    return ExportedProfile(part.profile.name, part.profile.status, part.profile.colour)


def _make_conversation(one: Membership) -> ExportedConversation:
    name = {"room": one.name} if one.kind == "room" else {"user_id": one.name}
    return ExportedConversation(one.read, **name)


def _conversation_of(log: str, user_id: str) -> dict[str, str]:
    users = users_of_direct_log(log)
    if users is None:
        return {"room": log}
    return {"user_id": users[1] if users[0] == user_id else users[0]}


async def _delete(user_id: str, record: Callable[[str, str], Awaitable[None]]) -> UserDeletion:
    """A call that begins the deletion is recorded; a repetition of it is not."""
    if await deletions().find(user_id) is None:
        await record("delete user", user_id)
    found = await continue_deletion(user_id)
    return UserDeletion(user_id, deleted=True, pending=found.pending)


@cache
def _export_limiter() -> RateLimiter:
    return RateLimiter("pages of an export", PAGES_PER_MINUTE)


@cache
def _deletion_limiter() -> RateLimiter:
    return RateLimiter("deletions", DELETIONS_PER_MINUTE, burst=DELETIONS_PER_MINUTE)
