"""Listening to a room: every entry of its log once, in order, over lost connections and frames.

`listen_steps` decides and has no I/O: it yields what is to be done, and the functions in `drivers`
do it. A frame of the socket has the position of the log; missing entries are read from the history.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

from townsquare_client.errors import (
    ApiError,
    ConnectionFailedError,
    ForbiddenError,
    ListenerError,
    parse_error_frame,
)
from townsquare_client.log_reader import LogReader, Position, RoomEvent
from townsquare_client.models import Change, Connection, Entry, HistoryPage, Message, Session
from townsquare_client.operations import Credentials, Request, path, struct
from townsquare_client.rooms import MAX_PAGE_ENTRIES

SESSION_HOURS = 24
MAX_BACKOFF_STEPS = 6


class RoomFrame(Struct, frozen=True):
    """The parts of a room's frames with the position and the entries of its log."""

    type: str
    room: str = ""
    epoch: str = ""
    head: int = 0
    seq: int = 0
    messages: list[Message] = []
    changes: list[Change] = []


@dataclass(frozen=True)
class Call:
    """Send a request, with the session if there is one; the response is sent back."""

    request: Request[Any]
    session: str = ""


@dataclass(frozen=True)
class Open:
    """Open a socket in the place of the one before."""

    url: str


@dataclass(frozen=True)
class Join:
    """Join a room on the socket."""

    room: str


@dataclass(frozen=True)
class Receive:
    """Wait for a frame; None is sent back if the socket is closed, or silent for too long."""


@dataclass(frozen=True)
class Wait:
    """Close the socket and wait."""

    seconds: float


Step = Call | Open | Join | Receive | Wait | RoomEvent
Steps = Generator[Step, Any, None]


@dataclass
class Listener:
    """Who listens to which room, and how far that has come."""

    client: Credentials
    room: str
    user_id: str
    name: str
    reader: LogReader
    session: str = ""


def listen_steps(
    client: Credentials,
    room: str,
    user_id: str,
    name: str,
    after: Position | None,
    delay: Callable[[int], float],
) -> Steps:
    """Connects again and again, and yields a RoomEvent for each entry. Raises TownsquareError."""
    if client.has_key and not user_id:
        raise ListenerError("Expected a user_id: the user as whom the server listens.")
    listener = Listener(client, room, user_id, name or user_id, LogReader(after))
    failures = 0
    while True:
        try:
            yield from _connect(listener)
            while (frame := (yield Receive())) is not None:
                yield from _handle(frame, listener)
                failures = 0
        except ConnectionFailedError:
            pass
        except ApiError as error:
            if error.code == "unauthenticated" and listener.session:
                listener.session = ""  # It has expired; the key mints another.
            elif not error.retry:
                raise
        yield Wait(delay(min(failures, MAX_BACKOFF_STEPS)))
        failures += 1


def _connect(listener: Listener) -> Steps:
    if listener.client.has_key and not listener.session:
        minted: Session = yield Call(_mint(listener))
        listener.session = minted.session
    connection: Connection = yield Call(_negotiate(), listener.session)
    yield Open(connection.url)
    yield Join(listener.room)


def _handle(body: bytes, listener: Listener) -> Steps:
    """What follows from a frame. Raises ApiError if the room cannot be joined."""
    try:
        frame = msgspec.json.decode(body, type=RoomFrame)
        message = msgspec.json.decode(body, type=Message) if frame.type == "message" else None
        error = parse_error_frame(body) if frame.type == "error" else None
    except msgspec.ValidationError:
        return  # Servers publish data of any form to a user.
    reader = listener.reader
    if error:
        raise error
    if frame.room.lower() != listener.room.lower():
        return
    if frame.type == "removed":
        raise ForbiddenError(403, "removed", "The user was removed from the room.")
    if frame.type == "left":
        raise ForbiddenError(403, "not_in_room", "The user has left the room elsewhere.")
    entries: list[Entry] = [message] if message else [*frame.messages, *frame.changes]
    head = max([frame.head, frame.seq, *(one.seq for one in entries)])
    if not reader.is_started and frame.type == "joined":
        reader.start(frame.epoch, head)
    elif frame.epoch:
        if reader.epoch and reader.epoch != frame.epoch:
            yield from _follow_new_epoch(listener)
        reader.note_head(frame.epoch, head)
    if reader.is_started:
        yield from reader.accept(entries)
        yield from _catch_up(listener)


def _catch_up(listener: Listener) -> Steps:
    """Read what is missing up to the head."""
    reader = listener.reader
    while reader.is_behind:
        seq = reader.seq
        page: HistoryPage = yield Call(_history(listener, after=seq))
        if page.epoch != reader.epoch:
            yield from _follow_new_epoch(listener)
            continue
        reader.seq = max(seq, page.first - 1)  # The retention has removed what is before.
        reader.head = page.head
        yield from reader.accept(page.entries)
        if reader.seq == seq:
            return  # Rows of this part are being removed; the next frame asks again.


def _follow_new_epoch(listener: Listener) -> Steps:
    """Read the messages that are newer than the last entry.

    The log was begun again, or restored from an older copy: its seqs begin somewhere below, and
    only their timestamps show which messages are new.
    """
    reader = listener.reader
    newest: HistoryPage = yield Call(_history(listener))
    found: list[Message] = []
    page, last = newest, reader.timestamp
    while last is not None and page.messages:
        newer = [one for one in page.messages if one.timestamp > last]
        found = newer + found
        if len(newer) < len(page.messages) or not page.more:
            break
        page = yield Call(_history(listener, before=page.messages[0].seq))
    reader.epoch = newest.epoch
    for message in found:
        yield reader.advance(message)
    reader.seq = reader.head = newest.head


# --- requests -----------------------------------------------------------------------------------


def _mint(listener: Listener) -> Request[Session]:
    body = {"name": listener.name, "hours": SESSION_HOURS}
    return Request("POST", path("users", listener.user_id, "session"), struct(Session), body=body)


def _negotiate() -> Request[Connection]:
    return Request("POST", path("negotiate"), struct(Connection), body={})


def _history(listener: Listener, **cursor: int) -> Request[HistoryPage]:
    server = ["server"] if listener.client.has_key else []
    query = {"limit": MAX_PAGE_ENTRIES, **cursor}
    parts = path(*server, "rooms", listener.room, "history")
    return Request("GET", parts, struct(HistoryPage), query)
