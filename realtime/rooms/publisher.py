"""Publishes the entries of a commit: one frame to the room's group, or to both users."""

import asyncio
from collections.abc import Sequence
from functools import cache

import msgspec

from realtime.azure.web_pubsub import Hub, hub
from realtime.messages import (
    Change,
    DirectMessageEvent,
    DirectMessagesEvent,
    Entry,
    MessageEvent,
    MessagesEvent,
)
from realtime.names import room_group, users_of_direct_log


class LogPublisher:
    """Sends the entries of logs to those who read them."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def publish(self, name: str, epoch: str, entries: Sequence[Entry | Change]) -> None:
        """Send entries in the order of their seq."""
        if not entries:
            return
        in_order = sorted(entries, key=lambda one: one.seq)
        users = users_of_direct_log(name)
        if users is None:
            await self._hub.send_to_group(room_group(name), _room_event(name, epoch, in_order))
            return
        event = _direct_event(users, epoch, in_order)
        await asyncio.gather(*(self._hub.send_to_user(user, event) for user in users))


def _room_event(
    room: str, epoch: str, entries: Sequence[Entry | Change]
) -> MessageEvent | MessagesEvent:
    messages, changes = split_entries(entries)
    if len(messages) == 1 and not changes:
        return MessageEvent(**msgspec.structs.asdict(messages[0]), room=room, epoch=epoch)
    return MessagesEvent(room, epoch, messages, changes)


def _direct_event(
    users: tuple[str, str], epoch: str, entries: Sequence[Entry | Change]
) -> DirectMessageEvent | DirectMessagesEvent:
    messages, changes = split_entries(entries)
    if len(messages) == 1 and not changes:
        message = messages[0]
        to = users[1] if message.sender == users[0] else users[0]
        return DirectMessageEvent(**msgspec.structs.asdict(message), to=to, epoch=epoch)
    return DirectMessagesEvent(list(users), epoch, messages, changes)


def split_entries(entries: Sequence[Entry | Change]) -> tuple[list[Entry], list[Change]]:
    """The messages and the changes, each in order."""
    messages = [one for one in entries if isinstance(one, Entry)]
    changes = [one for one in entries if isinstance(one, Change)]
    return messages, changes


@cache
def log_publisher() -> LogPublisher:
    """The publisher of this process."""
    return LogPublisher(hub())
