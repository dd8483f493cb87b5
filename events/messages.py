"""Handlers of the client events `message` and `direct`."""

import asyncio

from events.client import Client, Reply
from events.limits import event_limits
from realtime.azure.web_pubsub import hub
from realtime.contents import encode_meta, validate_mentions
from realtime.errors import ApiError
from realtime.messages import validate_content
from realtime.names import direct_log, validate_message_id, validate_user_id
from realtime.requests import DirectMessageRequest, MessageRequest
from realtime.rooms.access import room_access
from realtime.rooms.appender import appender
from realtime.rooms.drafts import Draft, MessageDraft
from realtime.users.bans import bans
from realtime.users.memberships import memberships
from realtime.users.moderation import moderate


async def message(client: Client, request: MessageRequest) -> Reply:
    """Store a message and publish it to the room; the acknowledgement comes after both."""
    room = client.require_joined(request.room)
    draft = await _make_draft(client, request)
    await room_access().check_cached(room, client.user_id)
    await moderate(client.user_id, room, request.content)
    await appender().append(room, draft)
    return Reply(None, client.rooms)


async def direct(client: Client, request: DirectMessageRequest) -> Reply:
    """Store a message to one user and send it to all connections of both."""
    to = validate_user_id(request.to)
    if to == client.user_id:
        raise ApiError("direct_to_self", "Sender and recipient are the same user.")
    draft = await _make_draft(client, request)
    await _check_recipient(to)
    await moderate(client.user_id, to, request.content)
    await memberships().add_direct(client.user_id, to)
    await appender().append(direct_log(client.user_id, to), draft)
    return Reply(None, client.rooms)


async def _make_draft(client: Client, request: MessageRequest | DirectMessageRequest) -> Draft:
    """A valid draft of a user who may send now. Raises ApiError."""
    draft = MessageDraft(
        client.user_id,
        validate_message_id(request.id),
        client.name,
        content=validate_content(request.content),
        reply_to=request.reply_to,
        mentions=validate_mentions(request.mentions),
        meta=encode_meta(request.meta),
    )
    event_limits().messages.acquire(client.user_id)
    await bans().check(client.user_id)
    return draft


async def _check_recipient(user_id: str) -> None:
    """Raises ApiError for a user who cannot get messages: banned, or never here.

    Response and reads are the same in all cases, so they do not reveal who is banned.
    """
    banned, known, connected = await asyncio.gather(
        bans().is_banned(user_id), memberships().has_any(user_id), hub().user_exists(user_id)
    )
    if banned or not (known or connected):
        raise ApiError("unreachable", "The message was not delivered: no such user.")
