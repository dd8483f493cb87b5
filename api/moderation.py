"""What owners, moderators and operators do in rooms with a session, in place of a function key."""

import secrets

import azure.functions as func
from msgspec import Struct, structs

from api.authorization import authorize_actor
from api.blueprint import bp
from api.members import (
    TARGET_ERRORS,
    MemberSettings,
    MuteResponse,
    MuteSettings,
    RemovalQuery,
    RoomMember,
    delete_member,
    delete_mute,
    put_member,
    put_mute,
)
from api.room_messages import MESSAGE_ERRORS, ChangeAccepted, parse_seq
from api.rooms import Room
from realtime.contents import validate_title, validate_topic
from realtime.http import Access, endpoint, parse_body
from realtime.identity.profiles import profiles
from realtime.rooms.administration import administration
from realtime.rooms.appender import appender
from realtime.rooms.drafts import DeleteDraft
from realtime.rooms.permitted import delete_permitted
from realtime.users.limits import act_limiter, message_limiter
from realtime.users.moderation import moderate

ACTOR_ERRORS = "unknown_room removed rate_limited"


class RoomChange(Struct, frozen=True):
    """What is to change; what is null or missing stays."""

    private: bool | None = None
    listed: bool | None = None
    title: str | None = None
    topic: str | None = None


@endpoint(
    bp,
    "PATCH",
    "api/moderation/rooms/{room}",
    Access.SESSION,
    request=RoomChange,
    errors=f"invalid_room {ACTOR_ERRORS} invalid_title invalid_topic moderated "
    "moderation_unavailable busy",
)
async def moderation_room(req: func.HttpRequest) -> Room:
    """Change the settings of a room. For its owners and for operators."""
    room, actor = await authorize_actor(req, act_limiter())
    body = parse_body(req, RoomChange)
    given = {name: value for name, value in structs.asdict(body).items() if value is not None}
    if body.title is not None:
        given["title"] = validate_title(body.title)
    if body.topic is not None:
        given["topic"] = validate_topic(body.topic)
    for text in filter(None, (given.get("title"), given.get("topic"))):
        if actor.user_id is not None:
            await moderate(actor.user_id, room, text)
    stored = await administration().change_settings(room, actor, **given)
    return Room(room, stored.private, stored.listed, stored.title, stored.topic, stored.owners)


@endpoint(
    bp,
    "PUT",
    "api/moderation/rooms/{room}/members/{user_id}",
    Access.SESSION,
    request=MemberSettings,
    errors=f"{TARGET_ERRORS} {ACTOR_ERRORS} too_many_roles last_owner",
)
async def moderation_member_put(req: func.HttpRequest) -> RoomMember:
    """Give a user a role, in a private room a membership too. For owners and operators."""
    return await put_member(req, *await authorize_actor(req, act_limiter()))


@endpoint(
    bp,
    "DELETE",
    "api/moderation/rooms/{room}/members/{user_id}",
    Access.SESSION,
    errors=f"{TARGET_ERRORS} {ACTOR_ERRORS} invalid_target",
)
async def moderation_member_delete(req: func.HttpRequest, query: RemovalQuery) -> RoomMember:
    """Remove a user from a room. For owners, moderators and operators."""
    return await delete_member(req, query, *await authorize_actor(req, act_limiter()))


@endpoint(
    bp,
    "PUT",
    "api/moderation/rooms/{room}/members/{user_id}/mute",
    Access.SESSION,
    request=MuteSettings,
    errors=f"{TARGET_ERRORS} {ACTOR_ERRORS} invalid_target",
)
async def moderation_mute_put(req: func.HttpRequest) -> MuteResponse:
    """Mute a user in a room. For owners, moderators and operators."""
    return await put_mute(req, *await authorize_actor(req, act_limiter()))


@endpoint(
    bp,
    "DELETE",
    "api/moderation/rooms/{room}/members/{user_id}/mute",
    Access.SESSION,
    errors=f"{TARGET_ERRORS} {ACTOR_ERRORS} invalid_target",
)
async def moderation_mute_delete(req: func.HttpRequest) -> MuteResponse:
    """Lift the mute of a user. For owners, moderators and operators."""
    return await delete_mute(req, *await authorize_actor(req, act_limiter()))


@endpoint(
    bp,
    "DELETE",
    "api/moderation/rooms/{room}/messages/{seq}",
    Access.SESSION,
    errors=f"{MESSAGE_ERRORS} {ACTOR_ERRORS} access_changed",
)
async def moderation_message_delete(req: func.HttpRequest) -> ChangeAccepted:
    """Delete a message. For its author, the owners and moderators of the room, and operators."""
    room, actor = await authorize_actor(req, message_limiter())
    draft_id, target = secrets.token_urlsafe(12), parse_seq(req)
    if actor.user_id is None:
        await actor.record("delete message", f"{room}/{target}")
        draft = DeleteDraft("system", draft_id, target=target, moderator=True)
        return ChangeAccepted(room, (await appender().append(room, draft)).seq)
    name = await profiles().name_of(actor.user_id)
    draft = DeleteDraft(actor.user_id, draft_id, name, target=target)
    stored = await delete_permitted(room, draft, actor.record)
    return ChangeAccepted(room, stored.seq)
