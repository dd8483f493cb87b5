"""Who is connected, who is in which group, and who hears what."""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from webpubsub_emulator import frames
from webpubsub_emulator.frames import Outgoing
from webpubsub_emulator.payload import TEXT, Payload
from webpubsub_emulator.permissions import Permissions
from webpubsub_emulator.protocol import JSON_PROTOCOL, RELIABLE_PROTOCOL
from webpubsub_emulator.replay_buffer import ReplayBuffer
from webpubsub_emulator.streams import Stream

logger = logging.getLogger(__name__)

RETENTION_SECONDS = 30.0
_ACKS_REMEMBERED = 1000
# Closed because somebody asked for it; anything else is somebody's mistake.
_WANTED_CLOSES = (1000, 1001)
_NO_DATA = Payload(TEXT, b"")


class Outbox(Protocol):
    """The way to a client's socket. Nothing here waits: a slow client only fills its own queue."""

    def send(self, frame: bytes) -> None: ...
    def close(self, code: int, reason: str = "") -> None: ...
    def abort(self) -> None: ...


class Connection:
    """One client, as the service knows it; a reliable one outlives its socket for a while."""

    __slots__ = (
        *("__weakref__", "_acks", "cookies", "detached_until", "event_count", "groups", "hub"),
        *("id", "outbox", "permissions", "protocol", "replay", "state", "streams", "user_id"),
    )

    def __init__(
        self,
        hub: str,
        *,
        user_id: str | None = None,
        protocol: str | None = None,
        roles: Iterable[str] = (),
        connection_id: str | None = None,
    ) -> None:
        self.id = connection_id or secrets.token_hex(16)
        self.hub = hub
        self.user_id = user_id
        self.permissions = Permissions(roles)
        self.groups: set[str] = set()
        self.outbox: Outbox | None = None
        self.detached_until: float | None = None
        self.state: str | None = None
        self.cookies: dict[str, str] = {}
        self.streams: dict[str, Stream] = {}
        # ce-id 0 is the connect event's, asked for or not.
        self.event_count = 0
        self._acks: dict[int, None] = {}
        self.speak(protocol)

    def adopt(self, user_id: str | None, roles: Iterable[str] | None, protocol: str | None) -> None:
        """Take over what the application says of a client; None leaves what the token said."""
        if user_id is not None:
            self.user_id = user_id
        if roles is not None:
            self.permissions = Permissions(roles)
        if protocol:
            self.speak(protocol)

    def speak(self, protocol: str | None) -> None:
        """Settle the subprotocol; None or one that the service does not know is a raw client."""
        self.protocol = protocol
        self.replay = ReplayBuffer() if self.is_reliable else None

    @property
    def is_raw(self) -> bool:
        return not (self.protocol and self.protocol.lower() in (JSON_PROTOCOL, RELIABLE_PROTOCOL))

    @property
    def is_reliable(self) -> bool:
        return self.protocol is not None and self.protocol.lower() == RELIABLE_PROTOCOL

    def next_event_id(self) -> int:
        self.event_count += 1
        return self.event_count

    def has_done(self, ack_id: int) -> bool:
        return ack_id in self._acks

    def remember(self, ack_id: int) -> None:
        """Only what succeeded is remembered, so that a failure can be tried again."""
        self._acks[ack_id] = None
        if len(self._acks) > _ACKS_REMEMBERED:
            del self._acks[next(iter(self._acks))]

    def tell(self, frame: bytes) -> None:
        """Send a frame of the protocol itself; it is not numbered and not kept."""
        if self.outbox is not None:
            self.outbox.send(frame)

    def hear(self, message: Outgoing, now: float) -> bool:
        """Deliver a message; False when the client has fallen too far behind to be helped."""
        if self.replay is not None:
            ttl = message.ttl_seconds
            frame = self.replay.add(message.numbered, now + ttl if ttl else None)
            if self.replay.overflows:
                return False
        else:
            frame = message.raw() if self.is_raw else message.plain()
        if self.outbox is not None:
            self.outbox.send(frame)
        return True


class Hub:
    """The connections of one hub. `farewell` is told of every connection that ends, and why."""

    def __init__(
        self,
        name: str,
        farewell: Callable[[Connection, str], None] = lambda *_: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        retention: float = RETENTION_SECONDS,
    ) -> None:
        self.name = name
        self.connections: dict[str, Connection] = {}
        self.users: dict[str, set[Connection]] = {}
        self.groups: dict[str, set[Connection]] = {}
        self.clock = clock
        self._farewell = farewell
        self._retention = retention
        self._detached: set[Connection] = set()
        self._streaming: set[Connection] = set()

    def admit(self, connection: Connection, outbox: Outbox, groups: Iterable[str] = ()) -> None:
        self.connections[connection.id] = connection
        connection.outbox = outbox
        if connection.user_id is not None:
            self.users.setdefault(connection.user_id, set()).add(connection)
        for group in groups:
            self.join(connection, group)

    def join(self, connection: Connection, group: str) -> None:
        connection.groups.add(group)
        self.groups.setdefault(group, set()).add(connection)

    def leave(self, connection: Connection, group: str) -> None:
        connection.groups.discard(group)
        _take_out(self.groups, group, connection)

    def leave_all(self, connection: Connection) -> None:
        for group in tuple(connection.groups):
            self.leave(connection, group)

    def of_user(self, user_id: str) -> tuple[Connection, ...]:
        return tuple(self.users.get(user_id, ()))

    def of_group(self, group: str) -> tuple[Connection, ...]:
        return tuple(self.groups.get(group, ()))

    def deliver(self, connections: Iterable[Connection], message: Outgoing) -> None:
        """Let them hear it. `connections` must not change under us: hand over a tuple."""
        now = self.clock()
        for connection in connections:
            if not connection.hear(message, now):
                self.end(connection, 1008, "The reliable message buffer is full.")

    def publish(
        self,
        publisher: Connection,
        group: str,
        payload: Payload,
        *,
        no_echo: bool = False,
        stream: dict[str, object] | None = None,
        ttl_seconds: int | None = None,
    ) -> None:
        """A client speaks to a group; it hears itself if it is in there and wants to."""
        message = Outgoing(
            payload,
            group=group,
            from_user=publisher.user_id,
            stream=stream,
            ttl_seconds=ttl_seconds,
        )
        members = self.of_group(group)
        if no_echo:
            members = tuple(member for member in members if member is not publisher)
        self.deliver(members, message)

    def detach(self, connection: Connection) -> None:
        """The socket of a reliable client is lost; keep what it misses for a while."""
        connection.outbox = None
        connection.detached_until = self.clock() + self._retention
        self._detached.add(connection)

    def recover(self, connection: Connection, outbox: Outbox) -> list[bytes]:
        """A reliable client is back on a new socket; returns the frames that it missed."""
        if connection.outbox is not None:
            connection.outbox.abort()
        self._detached.discard(connection)
        connection.detached_until = None
        connection.outbox = outbox
        return connection.replay.replay(self.clock()) if connection.replay else []

    def close(self, connection: Connection, reason: str | None) -> None:
        """The application asked for it. The reason may be long, so it is not in the close frame."""
        text = "Application server closed the connection."
        self.end(connection, 1000, text + (f" Reason: {reason}" if reason else ""), quiet=True)

    def end(
        self,
        connection: Connection,
        code: int,
        reason: str,
        *,
        detail: str = "",
        quiet: bool = False,
    ) -> None:
        """The service closes: say why, close, forget. `detail` is for the log only."""
        if not connection.is_raw:
            connection.tell(frames.disconnected(reason))
        if connection.outbox is not None:
            connection.outbox.close(code, "" if quiet else reason)
        level = logging.INFO if code in _WANTED_CLOSES else logging.WARNING
        words = (connection.id, code, reason, detail)
        logger.log(level, "connection %s closed with %d: %s %s", *words)
        self.forget(connection, reason)

    def forget(self, connection: Connection, reason: str) -> None:
        """The connection is over; saying so twice changes nothing."""
        if self.connections.pop(connection.id, None) is None:
            return
        for stream in tuple(connection.streams.values()):
            self.end_stream(connection, stream, {"name": "Cancelled"})
        self.leave_all(connection)
        if connection.user_id is not None:
            _take_out(self.users, connection.user_id, connection)
        self._detached.discard(connection)
        connection.outbox = None
        self._farewell(connection, reason)

    def open_stream(self, connection: Connection, stream: Stream) -> None:
        connection.streams[stream.id] = stream
        self._streaming.add(connection)

    def end_stream(
        self, connection: Connection, stream: Stream, error: dict[str, str] | None
    ) -> None:
        """Tell the listeners that nothing follows."""
        del connection.streams[stream.id]
        if not connection.streams:
            self._streaming.discard(connection)
        # Without a dataType the JavaScript client drops the frame, so the end is an empty text.
        self.publish(
            connection,
            stream.group,
            _NO_DATA,
            no_echo=stream.no_echo,
            stream=stream.end(error),
        )

    def sweep(self) -> None:
        """End what has waited too long; to be called a few times a second."""
        now = self.clock()
        for connection in tuple(self._detached):
            if connection.detached_until is not None and connection.detached_until <= now:
                self.forget(connection, "The connection recovery timeout expired.")
        for connection, stream in tuple(self._open_streams()):
            if stream.idle_at <= now:
                self.end_stream(connection, stream, {"name": "IdleTimeout"})
                connection.tell(
                    frames.stream_closed(stream.id, ("IdleTimeout", "The stream was idle."))
                )

    def _open_streams(self) -> Iterator[tuple[Connection, Stream]]:
        for connection in self._streaming:
            for stream in connection.streams.values():
                yield connection, stream


def _take_out(index: dict[str, set[Connection]], name: str, connection: Connection) -> None:
    members = index.get(name, set())
    members.discard(connection)
    if not members:
        index.pop(name, None)
