"""The handling of the client messages that start, continue and end a stream."""

import logging

from webpubsub_emulator import server_messages
from webpubsub_emulator.connection import Connection
from webpubsub_emulator.hub import Hub
from webpubsub_emulator.payload import Payload
from webpubsub_emulator.permissions import SEND, describe_forbidden
from webpubsub_emulator.protocol import SendToGroup, StreamData, StreamEnd, StreamStart
from webpubsub_emulator.streams import Stream, build_user_error

logger = logging.getLogger(__name__)


class StreamMessageHandler:
    """Handles the stream messages of one client."""

    __slots__ = ("_connection", "_hub")

    def __init__(self, hub: Hub, connection: Connection) -> None:
        self._hub = hub
        self._connection = connection

    def start(self, message: SendToGroup, start: StreamStart) -> None:
        connection = self._connection
        if not connection.permissions.allows(SEND, message.group):
            text = describe_forbidden("send to", message.group)
            self._reject(start.stream_id, "Forbidden", text)
            return
        if not start.stream_id or start.stream_id in connection.streams or bytes(message.data):
            self._reject(start.stream_id, "BadRequest", "The stream cannot be started.")
            return
        idle_timeout = start.idle_timeout_ms / 1000
        stream = Stream(
            start.stream_id,
            message.group,
            bool(message.no_echo),
            idle_timeout_seconds=idle_timeout,
            idle_at=self._hub.clock() + idle_timeout,
        )
        self._hub.open_stream(connection, stream)
        connection.send_frame(server_messages.stream_ack(stream.id, stream.expected_id))

    def handle_data(self, message: StreamData) -> None:
        stream = self._connection.streams.get(message.stream_id)
        if stream is None:
            self._reject(message.stream_id, "StreamNotFound", "There is no such stream.")
            return
        stream.reset_idle_timeout(self._hub.clock())
        sequence_id = message.stream_sequence_id
        if sequence_id is None:
            return
        if sequence_id > stream.expected_id:
            nack = server_messages.stream_nack(stream.id, stream.expected_id)
            self._connection.send_frame(nack)
            return
        if sequence_id == stream.expected_id:
            self._publish_part(stream, message.payload())
        self._connection.send_frame(server_messages.stream_ack(stream.id, stream.expected_id))

    def _publish_part(self, stream: Stream, payload: Payload) -> None:
        self._hub.publish(
            self._connection,
            stream.group,
            payload,
            no_echo=stream.no_echo,
            stream=stream.next_part(),
        )
        stream.expected_id += 1

    def handle_end(self, message: StreamEnd) -> None:
        stream = self._connection.streams.get(message.stream_id)
        if stream is None:
            self._reject(message.stream_id, "StreamNotFound", "There is no such stream.")
            return
        error = message.error
        self._hub.end_stream(
            self._connection,
            stream,
            build_user_error(error.message, error.user_error_code) if error else None,
        )
        self._connection.send_frame(server_messages.stream_closed(stream.id))

    def _reject(self, stream_id: str, name: str, text: str) -> None:
        logger.warning("stream of connection %s rejected: %s", self._connection.id, text)
        self._connection.send_frame(server_messages.stream_closed(stream_id, (name, text)))
