"""Appends the drafts of users to rooms, under the access rules that are in force at the commit."""

from collections.abc import Awaitable, Callable

import msgspec

from realtime.errors import ApiError
from realtime.rooms.access import room_access
from realtime.rooms.appender import appender
from realtime.rooms.draft_queue import Stored
from realtime.rooms.drafts import DeleteDraft, Draft
from realtime.rooms.history import history
from realtime.rooms.outcomes import access_changed

MAX_ACCESS_CHECKS = 4
"""How often a draft is checked again because the access rules have changed before its commit."""

RecordAct = Callable[[str, str], Awaitable[None]]
"""Adds an action and its target to the audit log."""


async def check_writer(room: str, user_id: str) -> None:
    """Raises ApiError for a user who may not write in the room, by what is cached.

    For what is done before the commit; `append_permitted` decides.
    """
    permit = await room_access().permit(room, user_id)
    room_access().check_muted(permit.state)


async def append_permitted(room: str, draft: Draft) -> Stored:
    """Append a draft of a user who may write in the room at the time of the commit.

    A muted user may delete only. Owners and moderators may delete messages of other users. Raises
    ApiError as `RoomAccess.permit` and `Appender.append`.
    """
    for attempt in range(MAX_ACCESS_CHECKS):
        permit = await room_access().permit(room, draft.sender, cached=attempt == 0)
        if isinstance(draft, DeleteDraft):
            draft = msgspec.structs.replace(draft, moderator=permit.state.is_moderator)
        else:
            room_access().check_muted(permit.state)
        try:
            return await appender().append(
                room, msgspec.structs.replace(draft, access=permit.version)
            )
        except ApiError as error:
            if error.code != "access_changed":
                raise
    raise access_changed()


async def delete_permitted(room: str, draft: DeleteDraft, record: RecordAct) -> Stored:
    """Append a delete; that of another user's message is recorded before."""
    permit = await room_access().permit(room, draft.sender)
    if permit.state.is_moderator:
        message = await history().find_message(room, draft.target)
        if message and message.sender != draft.sender and not message.deleted:
            await record("delete message", f"{room}/{draft.target}")
    return await append_permitted(room, draft)
