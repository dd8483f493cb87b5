"""Messages that a server sends: stored in the history, then published."""

import asyncio
import secrets
from typing import Any

import azure.functions as func
from msgspec import Struct, field, structs

from api.blueprint import bp
from realtime.contents import encode_meta, validate_content, validate_mentions
from realtime.errors import ApiError
from realtime.http import Access, endpoint
from realtime.identity.deletions import deletions
from realtime.names import direct_log, validate_message_id, validate_room, validate_user_id
from realtime.requests import Seq
from realtime.rooms.appender import appender
from realtime.rooms.drafts import MessageDraft
from realtime.users.audit import record_act
from realtime.users.blocks import blocks
from realtime.users.memberships import Kind, memberships
from realtime.users.mentions import find_unmentioned

SYSTEM_SENDER = "system"


class ServerMessageRequest(Struct, frozen=True):
    """A message from a server. Without an `id`, a repeated request is stored again."""

    content: str
    sender: str = field(name="from", default=SYSTEM_SENDER)
    id: str = ""
    reply_to: Seq | None = None
    mentions: list[str] = []
    meta: dict[str, Any] = {}

    def to_draft(self) -> MessageDraft:
        """Raises ApiError for an invalid sender, id or content."""
        return MessageDraft(
            validate_user_id(self.sender),
            validate_message_id(self.id or secrets.token_urlsafe(12)),
            content=validate_content(self.content),
            reply_to=self.reply_to,
            mentions=validate_mentions(self.mentions),
            meta=encode_meta(self.meta),
        )


class MessageAccepted(Struct, frozen=True, omit_defaults=True):
    """A stored message: its seq, its id, and the room or user it was sent to."""

    status: str
    seq: int
    id: str
    room: str | None = None
    user_id: str | None = None


SENDING_ERRORS = (
    "invalid_user invalid_id empty_content content_too_long meta_too_large unknown_message "
    "id_conflict user_deleted busy"
)


@endpoint(
    bp,
    "POST",
    "api/rooms/{room}/message",
    Access.SERVER,
    errors=f"invalid_room {SENDING_ERRORS}",
)
async def room_message(req: func.HttpRequest, body: ServerMessageRequest) -> MessageAccepted:
    """Send a message to a room; the response follows its storage and publish."""
    room = validate_room(req.route_params["room"])
    draft = await _filter_mentions("room", room, body.to_draft())
    await deletions().check(draft.sender)
    await _record_sender(req, draft.sender, room)
    stored = await appender().append(room, draft)
    return MessageAccepted("sent", stored.seq, draft.id, room=room)


@endpoint(
    bp,
    "POST",
    "api/users/{user_id}/message",
    Access.SERVER,
    errors=f"direct_to_self unreachable {SENDING_ERRORS}",
)
async def user_message(req: func.HttpRequest, body: ServerMessageRequest) -> MessageAccepted:
    """Send a direct message to a user, who finds it in the history if not connected."""
    user_id = validate_user_id(req.route_params["user_id"])
    draft = body.to_draft()
    if draft.sender == user_id:
        raise ApiError("direct_to_self", "Sender and recipient are the same user.")
    await asyncio.gather(deletions().check(draft.sender), deletions().check_now(user_id))
    if draft.sender != SYSTEM_SENDER and await blocks().are_apart(draft.sender, user_id):
        raise ApiError("unreachable", "The message was not delivered.")
    draft = await _filter_mentions("direct", user_id, draft)
    await _record_sender(req, draft.sender, user_id)
    await memberships().add_direct(draft.sender, user_id)
    stored = await appender().append(direct_log(draft.sender, user_id), draft)
    return MessageAccepted("sent", stored.seq, draft.id, user_id=user_id)


async def _filter_mentions(kind: Kind, name: str, draft: MessageDraft) -> MessageDraft:
    unmentioned = await find_unmentioned(kind, name, draft.sender, draft.mentions)
    return structs.replace(draft, unmentioned=unmentioned)


async def _record_sender(req: func.HttpRequest, sender: str, target: str) -> None:
    """A message under the name of a user is an act for the audit log."""
    if sender != SYSTEM_SENDER:
        await record_act(req.headers, f"send as {sender}", target)
