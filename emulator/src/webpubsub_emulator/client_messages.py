"""The handling of client messages, one method for each type of message."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from webpubsub_emulator import server_messages
from webpubsub_emulator.connection import Connection
from webpubsub_emulator.hub import Hub
from webpubsub_emulator.payload import BINARY, TEXT, Payload
from webpubsub_emulator.permissions import JOIN_LEAVE, SEND, describe_forbidden
from webpubsub_emulator.protocol import (
    CancelInvocation,
    Event,
    Invoke,
    JoinGroup,
    LeaveGroup,
    Ping,
    ProtocolError,
    SendToGroup,
    SequenceAck,
    SetGroupState,
    StreamData,
    StreamEnd,
    SubscribeGroupState,
    UnsubscribeGroupState,
    parse_message,
)
from webpubsub_emulator.server_messages import OutgoingMessage
from webpubsub_emulator.stream_messages import StreamMessageHandler
from webpubsub_emulator.upstream import EventFailedError

logger = logging.getLogger(__name__)

_RAW_EVENT_NAME = "message"
_EVENT_ERROR = ("InternalServerError", "Internal server error")


class UserEventHandler(Protocol):
    """Sends a user event to the application and returns its reply; raises EventFailedError."""

    async def send_user_event(
        self, connection: Connection, name: str, payload: Payload
    ) -> Payload | None: ...


@dataclass(frozen=True, slots=True)
class RawMode:
    """What the messages of a raw client are: events, or messages to a group."""

    group: str | None = None
    no_echo: bool = False


class ClientMessageHandler:
    """Handles the messages of one client, one after the other."""

    __slots__ = ("_connection", "_event_handler", "_hub", "_mode", "_streams", "_strict")

    def __init__(
        self,
        hub: Hub,
        connection: Connection,
        event_handler: UserEventHandler,
        mode: RawMode = RawMode(),
        *,
        strict: bool = False,
    ) -> None:
        self._hub = hub
        self._connection = connection
        self._event_handler = event_handler
        self._mode = mode
        self._streams = StreamMessageHandler(hub, connection)
        self._strict = strict

    async def handle(self, data: str | bytes) -> None:
        """Handle one WebSocket message; raises ProtocolError to close the connection."""
        if self._connection.is_raw:
            await self._handle_raw(data)
            return
        if isinstance(data, bytes):
            raise ProtocolError(1003, "The JSON subprotocol requires text messages.")
        message = parse_message(data)
        ack_id = getattr(message, "ack_id", None)
        if ack_id is not None and self._connection.is_duplicate(ack_id):
            error = ("Duplicate", f"Message with ack-id: {ack_id} has been processed")
            self._send_ack(ack_id, error)
        elif isinstance(message, Event):
            await self._handle_event(message)
        else:
            _HANDLERS[type(message)](self, message)

    def handle_join(self, message: JoinGroup) -> None:
        if self._check_permission(JOIN_LEAVE, message.group, message.ack_id, "join"):
            self._hub.add_to_group(self._connection, message.group)
            self._send_ack(message.ack_id)

    def handle_leave(self, message: LeaveGroup) -> None:
        if self._check_permission(JOIN_LEAVE, message.group, message.ack_id, "leave"):
            self._hub.remove_from_group(self._connection, message.group)
            self._send_ack(message.ack_id)

    def handle_send(self, message: SendToGroup) -> None:
        if message.stream is not None:
            self._streams.start(message, message.stream)
        elif self._check_permission(SEND, message.group, message.ack_id, "send to"):
            self._hub.publish(
                self._connection,
                message.group,
                message.payload(),
                no_echo=bool(message.no_echo),
                ttl_seconds=message.ttl_seconds,
            )
            self._send_ack(message.ack_id)

    async def _handle_event(self, message: Event) -> None:
        """Send the reply of the event handler before the acknowledgement."""
        try:
            reply = await self._event_handler.send_user_event(
                self._connection, message.event, message.payload()
            )
        except EventFailedError as error:
            logger.warning("event of connection %s failed: %s", self._connection.id, error)
            self._send_ack(message.ack_id, _EVENT_ERROR)
            if self._strict:
                raise ProtocolError(1011, _EVENT_ERROR[1]) from error
            return
        if reply is not None:
            self._hub.deliver((self._connection,), OutgoingMessage(reply))
        self._send_ack(message.ack_id)

    async def _handle_raw(self, data: str | bytes) -> None:
        payload = Payload(BINARY, data) if isinstance(data, bytes) else Payload(TEXT, data.encode())
        group = self._mode.group
        if group is None:
            await self._handle_raw_event(payload)
        elif self._connection.permissions.allows(SEND, group):
            self._hub.publish(self._connection, group, payload, no_echo=self._mode.no_echo)
        else:
            raise ProtocolError(1008, describe_forbidden("send to", group))

    async def _handle_raw_event(self, payload: Payload) -> None:
        try:
            reply = await self._event_handler.send_user_event(
                self._connection, _RAW_EVENT_NAME, payload
            )
        except EventFailedError as error:
            raise ProtocolError(1011, _EVENT_ERROR[1]) from error
        if reply is not None:
            self._hub.deliver((self._connection,), OutgoingMessage(reply))

    def handle_stream_data(self, message: StreamData) -> None:
        self._streams.handle_data(message)

    def handle_stream_end(self, message: StreamEnd) -> None:
        self._streams.handle_end(message)

    def handle_ping(self, _: Ping) -> None:
        self._connection.send_frame(server_messages.pong())

    def handle_sequence_ack(self, message: SequenceAck) -> None:
        if self._connection.replay_buffer is not None:
            self._connection.replay_buffer.acknowledge(message.sequence_id)

    def handle_invoke(self, message: Invoke) -> None:
        logger.warning("connection %s: invoke is not emulated", self._connection.id)
        error = _not_supported("invoke")
        self._connection.send_frame(server_messages.invoke_error(message.invocation_id, error))

    def handle_cancel_invocation(self, _: CancelInvocation) -> None:
        """Do nothing: no invocation is ever pending."""

    def handle_group_state(self, message: SetGroupState) -> None:
        name = type(message).__name__
        name = name[0].lower() + name[1:]
        logger.warning("connection %s: %s is not emulated", self._connection.id, name)
        self._send_ack(message.ack_id, _not_supported(name))

    def _check_permission(self, action: str, group: str, ack_id: int | None, verb: str) -> bool:
        """Return whether the client has the permission; if not, send the failed ack."""
        if self._connection.permissions.allows(action, group):
            return True
        logger.warning(
            "connection %s has no permission to %s group %s: role webpubsub.%s is missing",
            *(self._connection.id, verb, group, action),
        )
        self._send_ack(ack_id, ("Forbidden", describe_forbidden(verb, group)))
        return False

    def _send_ack(self, ack_id: int | None, error: tuple[str, str] | None = None) -> None:
        if ack_id is None:
            return
        if error is None:
            self._connection.remember_ack_id(ack_id)
        self._connection.send_frame(server_messages.ack(ack_id, error))


_HANDLERS: dict[type, Callable[[ClientMessageHandler, Any], None]] = {
    JoinGroup: ClientMessageHandler.handle_join,
    LeaveGroup: ClientMessageHandler.handle_leave,
    SendToGroup: ClientMessageHandler.handle_send,
    Ping: ClientMessageHandler.handle_ping,
    SequenceAck: ClientMessageHandler.handle_sequence_ack,
    StreamData: ClientMessageHandler.handle_stream_data,
    StreamEnd: ClientMessageHandler.handle_stream_end,
    Invoke: ClientMessageHandler.handle_invoke,
    CancelInvocation: ClientMessageHandler.handle_cancel_invocation,
    SetGroupState: ClientMessageHandler.handle_group_state,
    SubscribeGroupState: ClientMessageHandler.handle_group_state,
    UnsubscribeGroupState: ClientMessageHandler.handle_group_state,
}


def _not_supported(name: str) -> tuple[str, str]:
    return "NotSupported", f"{name} is not supported by the emulator."
