"""The connections, users and groups of one hub, and the delivery of messages to them."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from webpubsub_emulator import server_messages
from webpubsub_emulator.connection import Connection, Deliveries, FrameWriter, send_in_turn
from webpubsub_emulator.payload import TEXT, Payload
from webpubsub_emulator.server_messages import OutgoingMessage
from webpubsub_emulator.streams import Stream
from webpubsub_emulator.traffic import Traffic

logger = logging.getLogger(__name__)

RECOVERY_TIMEOUT_SECONDS = 30.0
# Closed on request; any other code is an error of the client or of its event handler.
_REQUESTED_CLOSE_CODES = (1000, 1001)
_EMPTY_PAYLOAD = Payload(TEXT, b"")


class Hub:
    """One hub. `on_removed` is called for every connection that ends, with the reason.

    `send` sends the frames of one message.
    """

    def __init__(
        self,
        name: str,
        on_removed: Callable[[Connection, str], None] = lambda *_: None,
        *,
        clock: Callable[[], float] = time.monotonic,
        recovery_timeout: float = RECOVERY_TIMEOUT_SECONDS,
        traffic: Traffic | None = None,
        send: Callable[[Deliveries], None] = send_in_turn,
    ) -> None:
        self.name = name
        self.connections: dict[str, Connection] = {}
        self.users: dict[str, set[Connection]] = {}
        self.groups: dict[str, set[Connection]] = {}
        self.clock = clock
        self._on_removed = on_removed
        self._recovery_timeout = recovery_timeout
        self._traffic = traffic or Traffic(enabled=False)
        self._send = send
        self._detached: set[Connection] = set()
        self._sorted_groups: dict[str, list[Connection]] = {}
        self._with_streams: set[Connection] = set()

    def add_connection(
        self, connection: Connection, writer: FrameWriter, groups: Iterable[str] = ()
    ) -> None:
        self.connections[connection.id] = connection
        connection.writer = writer
        if connection.user_id is not None:
            self.users.setdefault(connection.user_id, set()).add(connection)
        self._record("connection", connection, action="opened", protocol=connection.protocol)
        for group in groups:
            self.add_to_group(connection, group)

    def add_to_group(self, connection: Connection, group: str) -> None:
        if group not in connection.groups:
            connection.groups.add(group)
            self.groups.setdefault(group, set()).add(connection)
            self._sorted_groups.pop(group, None)
            self._record("group", connection, action="joined", group=group)

    def remove_from_group(self, connection: Connection, group: str) -> None:
        if group in connection.groups:
            connection.groups.discard(group)
            _discard(self.groups, group, connection)
            self._sorted_groups.pop(group, None)
            self._record("group", connection, action="left", group=group)

    def remove_from_all_groups(self, connection: Connection) -> None:
        for group in tuple(connection.groups):
            self.remove_from_group(connection, group)

    def user_connections(self, user_id: str) -> tuple[Connection, ...]:
        return tuple(self.users.get(user_id, ()))

    def group_connections(self, group: str) -> tuple[Connection, ...]:
        return tuple(self.groups.get(group, ()))

    def sorted_group(self, group: str) -> list[Connection]:
        """The connections of a group by their id; sorted again only after a change."""
        if group not in self.groups:
            return []
        if group not in self._sorted_groups:
            members = sorted(self.groups[group], key=lambda member: member.id)
            self._sorted_groups[group] = members
        return self._sorted_groups[group]

    def deliver(self, connections: Iterable[Connection], message: OutgoingMessage) -> None:
        """Send a message. `connections` must not change meanwhile: pass a tuple."""
        now = self.clock()
        deliveries: defaultdict[bytes, list[FrameWriter]] = defaultdict(list)
        for connection in connections:
            frame = connection.next_frame(message, now)
            if frame is None:
                self.close(connection, 1008, "The reliable message buffer is full.")
            elif connection.writer is not None:
                deliveries[frame].append(connection.writer)
        self._send(deliveries)

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
        """Send a client's message to a group; the client gets it too unless `no_echo` is set."""
        message = OutgoingMessage(
            payload,
            group=group,
            from_user=publisher.user_id,
            stream=stream,
            ttl_seconds=ttl_seconds,
        )
        members = self.group_connections(group)
        if no_echo:
            members = tuple(member for member in members if member is not publisher)
        self.deliver(members, message)

    def detach(self, connection: Connection) -> None:
        """Keep a reliable connection without its socket until the recovery timeout."""
        connection.writer = None
        connection.detached_until = self.clock() + self._recovery_timeout
        self._detached.add(connection)
        self._record("connection", connection, action="detached")

    def recover(self, connection: Connection, writer: FrameWriter) -> list[bytes]:
        """Attach a reliable connection to a new socket; return the frames to send again."""
        if connection.writer is not None:
            connection.writer.abort()
        self._detached.discard(connection)
        connection.detached_until = None
        connection.writer = writer
        self._record("connection", connection, action="recovered")
        buffer = connection.replay_buffer
        return buffer.unacknowledged(self.clock()) if buffer else []

    def close_by_server(self, connection: Connection, reason: str | None) -> None:
        """Close on request of the application.

        The close frame has no reason, since the application's may exceed its 123 bytes.
        """
        text = "Application server closed the connection."
        if reason:
            text += f" Reason: {reason}"
        self.close(connection, 1000, text, frame_reason="")

    def close(
        self,
        connection: Connection,
        code: int,
        reason: str,
        *,
        log_detail: str = "",
        frame_reason: str | None = None,
    ) -> None:
        """Send `disconnected` and a close frame, and remove the connection."""
        if not connection.is_raw:
            connection.send_frame(server_messages.disconnected(reason))
        if connection.writer is not None:
            connection.writer.close(code, reason if frame_reason is None else frame_reason)
        level = logging.INFO if code in _REQUESTED_CLOSE_CODES else logging.WARNING
        details = (connection.id, code, reason, log_detail)
        logger.log(level, "connection %s closed with %d: %s %s", *details)
        self.remove_connection(connection, reason)

    def remove_connection(self, connection: Connection, reason: str) -> None:
        """Remove a connection that has ended; a second call has no effect."""
        if self.connections.pop(connection.id, None) is None:
            return
        for stream in tuple(connection.streams.values()):
            self.end_stream(connection, stream, {"name": "Cancelled"})
        self.remove_from_all_groups(connection)
        if connection.user_id is not None:
            _discard(self.users, connection.user_id, connection)
        self._detached.discard(connection)
        connection.writer = None
        self._record("connection", connection, action="closed", reason=reason or None)
        self._on_removed(connection, reason)

    def open_stream(self, connection: Connection, stream: Stream) -> None:
        connection.streams[stream.id] = stream
        self._with_streams.add(connection)

    def end_stream(
        self, connection: Connection, stream: Stream, error: dict[str, str] | None
    ) -> None:
        """Remove a stream and send its last part to the subscribers."""
        del connection.streams[stream.id]
        if not connection.streams:
            self._with_streams.discard(connection)
        # The JavaScript client ignores a message without dataType, so the last part is empty text.
        self.publish(
            connection,
            stream.group,
            _EMPTY_PAYLOAD,
            no_echo=stream.no_echo,
            stream=stream.last_part(error),
        )

    def expire(self) -> None:
        """End detached connections and idle streams whose time is over."""
        now = self.clock()
        for connection in tuple(self._detached):
            if connection.detached_until is not None and connection.detached_until <= now:
                self.remove_connection(connection, "The connection recovery timeout expired.")
        for connection, stream in tuple(self._open_streams()):
            if stream.idle_at <= now:
                self.end_stream(connection, stream, {"name": "IdleTimeout"})
                error = ("IdleTimeout", "The stream was idle.")
                connection.send_frame(server_messages.stream_closed(stream.id, error))

    def _record(self, kind: str, connection: Connection, **details: object) -> None:
        if self._traffic.enabled:
            self._traffic.record(
                kind,
                hub=self.name,
                connection=connection.id,
                user=connection.user_id,
                **details,
            )

    def _open_streams(self) -> Iterator[tuple[Connection, Stream]]:
        for connection in self._with_streams:
            for stream in connection.streams.values():
                yield connection, stream


def _discard(index: dict[str, set[Connection]], name: str, connection: Connection) -> None:
    """Remove a connection from a set of an index, and the set when it becomes empty."""
    members = index.get(name, set())
    members.discard(connection)
    if not members:
        index.pop(name, None)
