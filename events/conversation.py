"""What happens when a browser speaks: one short function for each event.

Each takes who speaks and what they say, and returns what they hear back. Whatever may not be
raises Refused. A new thing that people can do is one more function here, and its message type.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from events.moderation import moderated
from realtime import messages
from realtime.channels import checked_id, checked_room, checked_user, conversation, group_of
from realtime.history import history
from realtime.hub import hub
from realtime.limits import Limit
from realtime.logs import Draft
from realtime.messages import Refused, checked_content, decode
from realtime.people import people
from realtime.presence import GRACE, presence
from realtime.rooms import rooms
from realtime.settings import settings
from realtime.stream import streams

MOST_ROOMS = 50
"""How many rooms one connection may be in: their names travel in a header with each event."""


@dataclass(frozen=True)
class Speaker:
    """A connection that speaks: whose it is, and the rooms it is in."""

    connection: str
    user: str
    rooms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reply:
    """What the speaker hears, and the speaker's rooms from now on."""

    message: Any
    rooms: tuple[str, ...]


Event = Callable[[Speaker, bytes], Awaitable[Reply]]
Said = TypeVar("Said")


async def join(speaker: Speaker, said: messages.Join) -> Reply:
    """Enter a room, or take it up again after a pause."""
    room = checked_room(said.room)
    _limits().joins.spend(speaker.user)
    await asyncio.gather(people().admit(speaker.user), rooms().enter(room, speaker.user))
    if room not in speaker.rooms and len(speaker.rooms) >= MOST_ROOMS:
        raise Refused("too_many_rooms", f"A connection may be in at most {MOST_ROOMS} rooms.")
    if not await hub().add(speaker.connection, group_of(room)):
        raise Refused("unavailable", "The connection has gone.")
    # First in the group, then the history: what is said in between arrives both ways, not neither.
    _, (page, recovered), read, roster = await asyncio.gather(
        _still_welcome(speaker, room),
        history().since(room, said.after, said.epoch),
        people().settle_in(speaker.user, "room", room),
        presence().roster(room),
    )
    await presence().arrived(room, speaker.user, roster)
    joined = messages.Joined(
        room=room,
        epoch=page.head.epoch,
        head=page.head.seq,
        users=roster.page(),
        count=len(roster.people),
        messages=page.entries,
        recovered=recovered,
        read=read,
    )
    return Reply(joined, _with(speaker.rooms, room))


async def leave(speaker: Speaker, said: messages.Leave) -> Reply:
    """Go out of a room for good."""
    room = _own_room(speaker, said.room)
    await hub().remove(speaker.connection, group_of(room))
    await asyncio.gather(
        presence().departed(room, speaker.user),
        people().move_out(speaker.user, "room", room),
    )
    return Reply(messages.Left(room), tuple(one for one in speaker.rooms if one != room))


async def say(speaker: Speaker, said: messages.Say) -> Reply:
    """Say something in a room: kept, then heard by all, then acknowledged."""
    room = _own_room(speaker, said.room)
    draft = await _draft(speaker, said)
    await rooms().stay(room, speaker.user)
    await moderated(speaker.user, room, said.content)
    await history().keep(room, draft)
    return Reply(None, speaker.rooms)


async def direct(speaker: Speaker, said: messages.Direct) -> Reply:
    """Say something to one person: kept, then heard by all connections of both."""
    to = checked_user(said.to)
    if to == speaker.user:
        raise Refused("direct_to_self", "A direct message goes to somebody else.")
    draft = await _draft(speaker, said)
    await _reachable(to)
    await moderated(speaker.user, to, said.content)
    await people().introduce(speaker.user, to)
    await history().keep(conversation(speaker.user, to), draft)
    return Reply(None, speaker.rooms)


async def typing(speaker: Speaker, said: messages.Typing) -> Reply:
    """Let the room know that somebody is writing; more often than each 3 s it is not passed on."""
    room = _own_room(speaker, said.room)
    if _limits().typing.allows(f"{speaker.user}:{room}"):
        await rooms().stay(room, speaker.user)
        await hub().publish(group_of(room), messages.IsTyping(room, speaker.user))
    return Reply(None, speaker.rooms)


async def read(speaker: Speaker, said: messages.Read) -> Reply:
    """Remember how far somebody has read, and tell all their connections."""
    kind, name, log = _place(speaker, said)
    if kind == "room":
        await rooms().stay(name, speaker.user)
    head = await history().head(log)
    if not 0 <= said.seq <= head.seq:
        raise Refused("invalid_cursor", f"The history ends at {head.seq}.")
    seq = await people().mark_read(speaker.user, kind, name, said.seq)
    await hub().tell(speaker.user, messages.HasRead(seq, said.room, said.to))
    return Reply(None, speaker.rooms)


async def connect(speaker: Speaker, groups: list[str]) -> list[str]:
    """Let a connection in; the groups it hears: those of its token and its kept subscriptions.

    A token may be an hour old: whoever was barred or put out of its room since is refused.
    """
    await people().admit_now(speaker.user)
    for room in speaker.rooms:
        await rooms().enter(room, speaker.user)
    return sorted({*groups, *await streams().groups(speaker.user)})


async def connected(speaker: Speaker) -> None:
    """A connection that came with rooms in its token is in them: tell the others.

    Whoever was barred or put out while it connected goes now: before, it could not be found.
    """
    try:
        await people().admit_now(speaker.user)
        for room in speaker.rooms:
            await _still_welcome(speaker, room)
    except Refused as refused:
        if refused.code == "barred":
            await hub().disconnect(speaker.user, "barred")
        return
    for room in speaker.rooms:
        roster = await presence().roster(room)
        if speaker.user in roster.people:
            await presence().arrived(room, speaker.user, roster)


async def disconnected(speaker: Speaker) -> None:
    """A connection has gone; perhaps its person too, unless they are back in a moment."""
    await asyncio.gather(
        *(presence().departed(room, speaker.user, grace=GRACE) for room in speaker.rooms)
    )


def _heard(act: Callable[[Speaker, Said], Awaitable[Reply]], kind: type[Said]) -> Event:
    async def event(speaker: Speaker, body: bytes) -> Reply:
        return await act(speaker, decode(body, kind))

    return event


EVENTS: dict[str, Event] = {
    "join": _heard(join, messages.Join),
    "leave": _heard(leave, messages.Leave),
    "message": _heard(say, messages.Say),
    "direct": _heard(direct, messages.Direct),
    "typing": _heard(typing, messages.Typing),
    "read": _heard(read, messages.Read),
}
"""What a browser can say, by the name of the event."""


async def _draft(speaker: Speaker, said: messages.Say | messages.Direct) -> Draft:
    """What is said, when it has the right form and the speaker may speak now."""
    draft = Draft(speaker.user, checked_id(said.id), checked_content(said.content))
    _limits().messages.spend(speaker.user)
    await people().admit(speaker.user)
    return draft


async def _reachable(user: str) -> None:
    """Refuse to write to somebody who was never here, or who is barred."""
    if await people().barred(user):
        raise Refused("unreachable", "This person cannot be written to.")
    if not (await people().seen(user) or await hub().online(user)):
        raise Refused("unknown_user", "Nobody of that name has been here.")


async def _still_welcome(speaker: Speaker, room: str) -> None:
    """Whoever was put out while their connection was being added does not stay."""
    try:
        await rooms().stay(room, speaker.user)
    except Refused:
        await hub().remove(speaker.connection, group_of(room))
        raise


def _place(speaker: Speaker, said: messages.Read) -> tuple[str, str, str]:
    """What a read mark is about: its kind and name, and the log it counts in."""
    if said.room is not None and said.to is None:
        room = _own_room(speaker, said.room)
        return "room", room, room
    if said.to is not None and said.room is None:
        person = checked_user(said.to)
        return "direct", person, conversation(speaker.user, person)
    raise Refused("invalid_request", "Expected either `room` or `to`.")


def _own_room(speaker: Speaker, room: str) -> str:
    if checked_room(room) not in speaker.rooms:
        raise Refused("not_in_room", "Join the room first.")
    return room


def _with(rooms: tuple[str, ...], room: str) -> tuple[str, ...]:
    return rooms if room in rooms else (*rooms, room)


@dataclass(frozen=True)
class _Limits:
    messages: Limit
    joins: Limit
    typing: Limit


@cache
def _limits() -> _Limits:
    """What each person may do, as this instance counts."""
    return _Limits(
        Limit("messages", settings().messages_per_minute),
        Limit("joins", settings().joins_per_minute),
        Limit("signs of typing", 20, burst=1),
    )
