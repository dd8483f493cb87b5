"""Messages of a room that a server edits or deletes, and its reactions to them."""

import secrets
from typing import Annotated

import azure.functions as func
from msgspec import Meta, Struct, field, structs

from api.blueprint import bp
from api.messages import SYSTEM_SENDER
from realtime.contents import validate_content, validate_emoji, validate_mentions
from realtime.errors import ApiError
from realtime.http import Access, endpoint
from realtime.identity.deletions import deletions
from realtime.names import validate_message_id, validate_room, validate_user_id
from realtime.rooms.appender import appender
from realtime.rooms.drafts import DeleteDraft, Draft, EditDraft, ReactionDraft, target_of
from realtime.users.audit import record_act
from realtime.users.mentions import find_unmentioned

Revision = Annotated[int, Meta(ge=0)]


class ServerEditRequest(Struct, frozen=True):
    """`from` is the author of the message; `revision` is the one that is to be replaced."""

    content: str
    revision: Revision
    sender: str = field(name="from", default=SYSTEM_SENDER)
    mentions: list[str] = []
    id: str = ""


class ServerReactionRequest(Struct, frozen=True):
    """Adds a reaction of the user `from`, or removes it if `on` is false."""

    emoji: str
    on: bool = True
    sender: str = field(name="from", default=SYSTEM_SENDER)
    id: str = ""


class ChangeAccepted(Struct, frozen=True):
    """A stored change: its seq, 0 if nothing had to be changed."""

    room: str
    seq: int


MESSAGE_ERRORS = "invalid_room invalid_request unknown_message message_deleted busy unavailable"


@endpoint(
    bp,
    "PATCH",
    "api/rooms/{room}/messages/{seq}",
    Access.SERVER,
    errors=f"{MESSAGE_ERRORS} invalid_user invalid_id empty_content content_too_long conflict "
    "edit_expired forbidden id_conflict user_deleted",
)
async def room_message_edit(req: func.HttpRequest, body: ServerEditRequest) -> ChangeAccepted:
    """Edit a message as its author."""
    draft = EditDraft(
        validate_user_id(body.sender),
        _id_of(body.id),
        target=parse_seq(req),
        content=validate_content(body.content),
        revision=body.revision,
        mentions=validate_mentions(body.mentions),
    )
    room = validate_room(req.route_params["room"])
    unmentioned = await find_unmentioned("room", room, draft.sender, draft.mentions)
    draft = structs.replace(draft, unmentioned=unmentioned)
    return await _append(req, draft, f"edit as {draft.sender}")


@endpoint(bp, "DELETE", "api/rooms/{room}/messages/{seq}", Access.SERVER, errors=MESSAGE_ERRORS)
async def room_message_delete(req: func.HttpRequest) -> ChangeAccepted:
    """Delete a message: its content is removed from the storage, a tombstone stays."""
    draft = DeleteDraft(SYSTEM_SENDER, _id_of(""), target=parse_seq(req), moderator=True)
    return await _append(req, draft, "delete message")


@endpoint(
    bp,
    "POST",
    "api/rooms/{room}/messages/{seq}/reactions",
    Access.SERVER,
    errors=f"{MESSAGE_ERRORS} invalid_user invalid_id invalid_emoji too_many_reactions id_conflict "
    "user_deleted",
)
async def room_message_react(req: func.HttpRequest, body: ServerReactionRequest) -> ChangeAccepted:
    """Add a reaction to a message, or remove one."""
    draft = ReactionDraft(
        validate_user_id(body.sender),
        _id_of(body.id),
        target=parse_seq(req),
        emoji=validate_emoji(body.emoji),
        on=body.on,
    )
    return await _append(req, draft, f"react as {draft.sender}")


async def _append(req: func.HttpRequest, draft: Draft, action: str) -> ChangeAccepted:
    room = validate_room(req.route_params["room"])
    if draft.sender != SYSTEM_SENDER:
        await deletions().check(draft.sender)
    await record_act(req.headers, action, f"{room}/{target_of(draft)}")
    stored = await appender().append(room, draft)
    return ChangeAccepted(room, stored.seq)


def parse_seq(req: func.HttpRequest) -> int:
    """The seq of the route. Raises ApiError."""
    text = req.route_params["seq"]
    if not (text.isascii() and text.isdecimal() and len(text) <= 18 and int(text) > 0):
        raise ApiError("invalid_request", "Expected the seq of a message, a positive number.")
    return int(text)


def _id_of(client_id: str) -> str:
    """An id for a draft: without the caller's own, a repeated request is stored again."""
    return validate_message_id(client_id or secrets.token_urlsafe(12))
