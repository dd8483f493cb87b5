"""Handlers of the client events `message` and `direct`."""

from events.client import Client, Reply
from events.limits import event_limits
from realtime.contents import encode_meta, validate_content, validate_mentions
from realtime.errors import ApiError
from realtime.names import direct_log, validate_message_id, validate_user_id
from realtime.requests import DirectMessageRequest, MessageRequest
from realtime.rooms.appender import appender
from realtime.rooms.drafts import Draft, MessageDraft
from realtime.rooms.permitted import append_permitted, check_writer
from realtime.users.bans import bans
from realtime.users.memberships import Kind, memberships
from realtime.users.mentions import find_unmentioned
from realtime.users.moderation import moderate
from realtime.users.recipients import check_recipient


async def message(client: Client, request: MessageRequest) -> Reply:
    """Store a message and publish it to the room; the acknowledgement comes after both."""
    room = client.require_joined(request.room)
    draft = await _make_draft(client, request, "room", room)
    await check_writer(room, client.user_id)
    await moderate(client.user_id, room, request.content)
    await append_permitted(room, draft)
    return Reply(None, client.rooms)


async def direct(client: Client, request: DirectMessageRequest) -> Reply:
    """Store a message to one user and send it to all connections of both."""
    to = validate_user_id(request.to)
    if to == client.user_id:
        raise ApiError("direct_to_self", "Sender and recipient are the same user.")
    draft = await _make_draft(client, request, "direct", to)
    await check_recipient(client.user_id, to)
    await moderate(client.user_id, to, request.content)
    await memberships().add_direct(client.user_id, to)
    await appender().append(direct_log(client.user_id, to), draft)
    return Reply(None, client.rooms)


async def _make_draft(
    client: Client, request: MessageRequest | DirectMessageRequest, kind: Kind, name: str
) -> Draft:
    """A valid draft of a user who may send now. Raises ApiError."""
    client_id, content = validate_message_id(request.id), validate_content(request.content)
    mentions, meta = validate_mentions(request.mentions), encode_meta(request.meta)
    event_limits().messages.acquire(client.user_id)
    await bans().check(client.user_id)
    return MessageDraft(
        client.user_id,
        client_id,
        client.name,
        content=content,
        reply_to=request.reply_to,
        mentions=mentions,
        meta=meta,
        unmentioned=await find_unmentioned(kind, name, client.user_id, mentions),
    )
