"""Handlers of the client events `edit`, `delete` and `react`."""

import secrets
from functools import partial

from events.client import Client, Reply
from events.conversations import Conversation, find_conversation
from events.limits import event_limits
from realtime.contents import validate_content, validate_emoji, validate_mentions
from realtime.names import validate_message_id
from realtime.requests import DeleteRequest, EditRequest, ReactRequest
from realtime.rooms.appender import appender
from realtime.rooms.drafts import DeleteDraft, Draft, EditDraft, ReactionDraft
from realtime.rooms.permitted import append_permitted, check_writer, delete_permitted
from realtime.users.audit import audit_log
from realtime.users.bans import bans
from realtime.users.mentions import find_unmentioned
from realtime.users.moderation import moderate
from realtime.users.recipients import check_recipient


async def edit(client: Client, request: EditRequest) -> Reply:
    """Replace the content of a message of the sender; moderation sees the new content."""
    client_id = _id_of(request.id)
    content, mentions = validate_content(request.content), validate_mentions(request.mentions)
    found = find_conversation(client, request.room, request.to)
    await _check_sender(client)
    await _check_writer(client, found)
    await moderate(client.user_id, found.name, content)
    draft = EditDraft(
        client.user_id,
        client_id,
        client.name,
        target=request.seq,
        content=content,
        revision=request.revision,
        mentions=mentions,
        unmentioned=await find_unmentioned(found.kind, found.name, client.user_id, mentions),
    )
    return await _append(client, found, draft)


async def delete(client: Client, request: DeleteRequest) -> Reply:
    """Delete a message: a tombstone without content stays.

    The sender may delete it, in a room its owners and moderators too.
    """
    draft = DeleteDraft(client.user_id, _id_of(request.id), client.name, target=request.seq)
    found = find_conversation(client, request.room, request.to)
    await _check_sender(client)
    if found.kind == "room":
        await delete_permitted(found.name, draft, partial(audit_log().add, client.user_id))
    else:
        await appender().append(found.log, draft)
    return Reply(None, client.rooms)


async def react(client: Client, request: ReactRequest) -> Reply:
    """Add a reaction of the sender to a message, or remove it."""
    draft = ReactionDraft(
        client.user_id,
        _id_of(request.id),
        client.name,
        target=request.seq,
        emoji=validate_emoji(request.emoji),
        on=request.on,
    )
    found = find_conversation(client, request.room, request.to)
    await _check_sender(client)
    await _check_writer(client, found)
    return await _append(client, found, draft)


def _id_of(client_id: str | None) -> str:
    """An id for the draft: without the client's own, a repetition is judged by its effect."""
    return secrets.token_urlsafe(12) if client_id is None else validate_message_id(client_id)


async def _check_sender(client: Client) -> None:
    event_limits().messages.acquire(client.user_id)
    await bans().check(client.user_id)


async def _check_writer(client: Client, found: Conversation) -> None:
    """Raises ApiError for a user who may not write in the conversation."""
    if found.kind == "room":
        await check_writer(found.name, client.user_id)
    else:
        await check_recipient(client.user_id, found.name)


async def _append(client: Client, found: Conversation, draft: Draft) -> Reply:
    if found.kind == "room":
        await append_permitted(found.name, draft)
    else:
        await appender().append(found.log, draft)
    return Reply(None, client.rooms)
