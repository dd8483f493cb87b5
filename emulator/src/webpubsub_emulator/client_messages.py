"""What happens when a client speaks: one short function for each kind of message."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from webpubsub_emulator import frames, protocol
from webpubsub_emulator.event_handlers import EventFailedError
from webpubsub_emulator.frames import Outgoing
from webpubsub_emulator.hub import Connection, Hub
from webpubsub_emulator.payload import BINARY, TEXT, Payload
from webpubsub_emulator.permissions import JOIN_LEAVE, SEND
from webpubsub_emulator.protocol import (
    Event,
    JoinGroup,
    LeaveGroup,
    Ping,
    ProtocolError,
    SendToGroup,
    SequenceAck,
    StreamData,
    StreamEnd,
    StreamStart,
)
from webpubsub_emulator.streams import Stream, user_error

logger = logging.getLogger(__name__)

_RAW_EVENT = "message"
_FAILED = ("InternalServerError", "Internal server error")


class Application(Protocol):
    """Whoever answers user events; raises EventFailedError."""

    async def user_event(
        self, connection: Connection, name: str, payload: Payload
    ) -> Payload | None: ...


@dataclass(frozen=True, slots=True)
class RawMode:
    """What a raw client's frames mean: events for the application, or words for a group."""

    group: str | None = None
    no_echo: bool = False


class Client:
    """One client's side of the conversation. It is heard one message after the other."""

    __slots__ = ("_application", "_connection", "_hub", "_mode", "_strict")

    def __init__(
        self,
        hub: Hub,
        connection: Connection,
        application: Application,
        mode: RawMode = RawMode(),
        *,
        strict: bool = False,
    ) -> None:
        self._hub = hub
        self._connection = connection
        self._application = application
        self._mode = mode
        self._strict = strict

    async def hear(self, words: str | bytes) -> None:
        """Take one WebSocket message; raises ProtocolError when the client is to be cut off."""
        if self._connection.is_raw:
            await self._hear_raw(words)
            return
        if isinstance(words, bytes):
            raise ProtocolError(1003, "The JSON subprotocol requires text messages.")
        message = protocol.parse(words)
        ack_id = getattr(message, "ack_id", None)
        if ack_id is not None and self._connection.has_done(ack_id):
            self._ack(ack_id, ("Duplicate", f"Message with ack-id: {ack_id} has been processed"))
            return
        if isinstance(message, Event):
            await self._event(message)
        else:
            _ANSWERS[type(message)](self, message)

    def join(self, message: JoinGroup) -> None:
        if self._may(JOIN_LEAVE, message.group, message.ack_id, "join"):
            self._hub.join(self._connection, message.group)
            self._ack(message.ack_id)

    def leave(self, message: LeaveGroup) -> None:
        if self._may(JOIN_LEAVE, message.group, message.ack_id, "leave"):
            self._hub.leave(self._connection, message.group)
            self._ack(message.ack_id)

    def send(self, message: SendToGroup) -> None:
        if message.stream is not None:
            self._open_stream(message, message.stream)
        elif self._may(SEND, message.group, message.ack_id, "send to"):
            self._hub.publish(
                self._connection,
                message.group,
                message.payload(),
                no_echo=bool(message.no_echo),
                ttl_seconds=message.ttl_seconds,
            )
            self._ack(message.ack_id)

    async def _event(self, message: Event) -> None:
        """The application's reply goes out before the acknowledgement."""
        try:
            reply = await self._application.user_event(
                self._connection, message.event, message.payload()
            )
        except EventFailedError as error:
            logger.warning("event of connection %s failed: %s", self._connection.id, error)
            self._ack(message.ack_id, _FAILED)
            if self._strict:
                raise ProtocolError(1011, _FAILED[1]) from error
            return
        if reply is not None:
            self._hub.deliver((self._connection,), Outgoing(reply))
        self._ack(message.ack_id)

    async def _hear_raw(self, words: str | bytes) -> None:
        payload = _as_payload(words)
        group = self._mode.group
        if group is None:
            await self._raw_event(payload)
        elif self._connection.permissions.allows(SEND, group):
            self._hub.publish(self._connection, group, payload, no_echo=self._mode.no_echo)
        else:
            raise ProtocolError(1008, _forbidden("send to", group))

    async def _raw_event(self, payload: Payload) -> None:
        try:
            reply = await self._application.user_event(self._connection, _RAW_EVENT, payload)
        except EventFailedError as error:
            raise ProtocolError(1011, _FAILED[1]) from error
        if reply is not None:
            self._hub.deliver((self._connection,), Outgoing(reply))

    def pong(self, _: Ping) -> None:
        self._connection.tell(frames.pong())

    def acknowledge(self, message: SequenceAck) -> None:
        if self._connection.replay is not None:
            self._connection.replay.acknowledge(message.sequence_id)

    def _open_stream(self, message: SendToGroup, start: StreamStart) -> None:
        connection = self._connection
        if not connection.permissions.allows(SEND, message.group):
            self._close_stream(start.stream_id, "Forbidden", _forbidden("send to", message.group))
            return
        if not start.stream_id or start.stream_id in connection.streams or bytes(message.data):
            self._close_stream(start.stream_id, "BadRequest", "The stream cannot be started.")
            return
        idle = start.idle_timeout_ms / 1000
        stream = Stream(
            start.stream_id,
            message.group,
            bool(message.no_echo),
            idle_seconds=idle,
            idle_at=self._hub.clock() + idle,
        )
        self._hub.open_stream(connection, stream)
        connection.tell(frames.stream_ack(stream.id, stream.expected))

    def stream_data(self, message: StreamData) -> None:
        stream = self._connection.streams.get(message.stream_id)
        if stream is None:
            self._close_stream(message.stream_id, "StreamNotFound", "There is no such stream.")
            return
        stream.touch(self._hub.clock())
        number = message.stream_sequence_id
        if number is None:
            return
        if number > stream.expected:
            self._connection.tell(frames.stream_nack(stream.id, stream.expected))
            return
        if number == stream.expected:
            self._publish_part(stream, message.payload())
        self._connection.tell(frames.stream_ack(stream.id, stream.expected))

    def _publish_part(self, stream: Stream, payload: Payload) -> None:
        self._hub.publish(
            self._connection,
            stream.group,
            payload,
            no_echo=stream.no_echo,
            stream=stream.part(),
        )
        stream.expected += 1

    def stream_end(self, message: StreamEnd) -> None:
        stream = self._connection.streams.get(message.stream_id)
        if stream is None:
            self._close_stream(message.stream_id, "StreamNotFound", "There is no such stream.")
            return
        error = message.error
        self._hub.end_stream(
            self._connection,
            stream,
            user_error(error.message, error.user_error_code) if error else None,
        )
        self._connection.tell(frames.stream_closed(stream.id))

    def _close_stream(self, stream_id: str, name: str, text: str) -> None:
        logger.warning("stream of connection %s refused: %s", self._connection.id, text)
        self._connection.tell(frames.stream_closed(stream_id, (name, text)))

    def _may(self, action: str, group: str, ack_id: int | None, verb: str) -> bool:
        """Is it allowed? If not, the client is told so."""
        if self._connection.permissions.allows(action, group):
            return True
        logger.warning(
            "connection %s may not %s group %s: it has no role webpubsub.%s",
            *(self._connection.id, verb, group, action),
        )
        self._ack(ack_id, ("Forbidden", _forbidden(verb, group)))
        return False

    def _ack(self, ack_id: int | None, error: tuple[str, str] | None = None) -> None:
        if ack_id is None:
            return
        if error is None:
            self._connection.remember(ack_id)
        self._connection.tell(frames.ack(ack_id, error))


_ANSWERS: dict[type, Callable[[Client, Any], None]] = {
    JoinGroup: Client.join,
    LeaveGroup: Client.leave,
    SendToGroup: Client.send,
    Ping: Client.pong,
    SequenceAck: Client.acknowledge,
    StreamData: Client.stream_data,
    StreamEnd: Client.stream_end,
}


def _forbidden(verb: str, group: str) -> str:
    return f"The client does not have permission to {verb} group '{group}'."


def _as_payload(words: str | bytes) -> Payload:
    return Payload(BINARY, words) if isinstance(words, bytes) else Payload(TEXT, words.encode())
