"""Handlers of the client events `edit`, `delete` and `react`."""

import secrets

from events.client import Client, Reply
from events.conversations import find_conversation
from events.limits import event_limits
from realtime.contents import validate_emoji, validate_mentions
from realtime.messages import validate_content
from realtime.names import validate_message_id
from realtime.requests import DeleteRequest, EditRequest, ReactRequest
from realtime.rooms.access import room_access
from realtime.rooms.appender import appender
from realtime.rooms.drafts import DeleteDraft, Draft, EditDraft, ReactionDraft
from realtime.users.bans import bans
from realtime.users.moderation import moderate


async def edit(client: Client, request: EditRequest) -> Reply:
    """Replace the content of a message of the sender; moderation sees the new content."""
    draft = EditDraft(
        client.user_id,
        _id_of(request.id),
        client.name,
        target=request.seq,
        content=validate_content(request.content),
        revision=request.revision,
        mentions=validate_mentions(request.mentions),
    )
    log, name = await _authorize(client, request.room, request.to)
    await moderate(client.user_id, name, request.content)
    return await _append(client, log, draft)


async def delete(client: Client, request: DeleteRequest) -> Reply:
    """Delete a message of the sender: a tombstone without content stays."""
    draft = DeleteDraft(client.user_id, _id_of(request.id), client.name, target=request.seq)
    log, _ = await _authorize(client, request.room, request.to)
    return await _append(client, log, draft)


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
    log, _ = await _authorize(client, request.room, request.to)
    return await _append(client, log, draft)


def _id_of(client_id: str | None) -> str:
    """An id for the draft: without the client's own, a repetition is judged by its effect."""
    return secrets.token_urlsafe(12) if client_id is None else validate_message_id(client_id)


async def _authorize(client: Client, room: str | None, to: str | None) -> tuple[str, str]:
    """The log of the conversation, and its name. Raises ApiError."""
    kind, name, log = find_conversation(client, room, to)
    event_limits().messages.acquire(client.user_id)
    await bans().check(client.user_id)
    if kind == "room":
        await room_access().check_cached(name, client.user_id)
    return log, name


async def _append(client: Client, log: str, draft: Draft) -> Reply:
    await appender().append(log, draft)
    return Reply(None, client.rooms)
