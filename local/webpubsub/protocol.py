"""The words of a JSON client: what it may say, and what it is told.

Parsing gives values, encoding gives whole WebSocket frames; nothing here opens a socket.
https://learn.microsoft.com/azure/azure-web-pubsub/reference-json-reliable-webpubsub-subprotocol
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from local.webpubsub.names import is_event, is_group
from local.webpubsub.payload import InvalidPayloadError, Payload, from_json

JSON_PROTOCOL = "json.webpubsub.azure.v1"
RELIABLE_PROTOCOL = "json.reliable.webpubsub.azure.v1"
SUBPROTOCOLS = (JSON_PROTOCOL, RELIABLE_PROTOCOL)

LONGEST_TTL_SECONDS = 300
_LARGEST_ID = 2**64 - 1
_DEFAULT_IDLE_MS = 300_000
_ABSENT = msgspec.Raw()


class ProtocolError(ValueError):
    """A message that breaks the protocol: the connection is closed with `code`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Message(msgspec.Struct, frozen=True, rename="camel"):
    pass


class JoinGroup(_Message, frozen=True):
    group: str
    ack_id: int | None = None


class LeaveGroup(_Message, frozen=True):
    group: str
    ack_id: int | None = None


class StreamStart(_Message, frozen=True):
    stream_id: str
    idle_timeout_ms: int = _DEFAULT_IDLE_MS


class SendToGroup(_Message, frozen=True):
    group: str
    ack_id: int | None = None
    no_echo: bool | None = False
    data_type: str | None = None
    data: msgspec.Raw = _ABSENT
    metadata: msgspec.Raw = _ABSENT
    ttl_seconds: int | None = None
    stream: StreamStart | None = None

    def payload(self) -> Payload:
        return _payload(self.data_type, self.data, self.metadata)


class Event(_Message, frozen=True):
    event: str
    ack_id: int | None = None
    data_type: str | None = None
    data: msgspec.Raw = _ABSENT
    metadata: msgspec.Raw = _ABSENT

    def payload(self) -> Payload:
        return _payload(self.data_type, self.data, self.metadata)


class Ping(_Message, frozen=True):
    pass


class SequenceAck(_Message, frozen=True):
    sequence_id: int


class StreamData(_Message, frozen=True):
    stream_id: str
    stream_sequence_id: int | None = None
    data_type: str | None = None
    data: msgspec.Raw = _ABSENT

    @property
    def is_keepalive(self) -> bool:
        return self.stream_sequence_id is None

    def payload(self) -> Payload:
        return _payload(self.data_type, self.data)


class StreamError(_Message, frozen=True):
    message: str | None = None
    user_error_code: str | None = None


class StreamEnd(_Message, frozen=True):
    stream_id: str
    error: StreamError | None = None


ClientMessage = (
    JoinGroup | LeaveGroup | SendToGroup | Event | Ping | SequenceAck | StreamData | StreamEnd
)


class _Typed(msgspec.Struct, frozen=True):
    type: str


_TYPE_OF = msgspec.json.Decoder(_Typed)
_SHAPES: dict[str, msgspec.json.Decoder[Any]] = {
    shape.__name__.lower(): msgspec.json.Decoder(shape)
    for shape in (
        *(JoinGroup, LeaveGroup, SendToGroup, Event),
        *(Ping, SequenceAck, StreamData, StreamEnd),
    )
}


def parse(text: str) -> ClientMessage:
    """Read one message of a client; the protocol compares types ignoring case."""
    try:
        shape = _SHAPES[_TYPE_OF.decode(text).type.lower()]
        message: ClientMessage = shape.decode(text)
        _check(message)
    except (
        *(msgspec.MsgspecError, InvalidPayloadError),
        *(KeyError, UnicodeError, RecursionError),
    ) as error:
        raise ProtocolError(
            1007, "The client message is not a valid JSON protocol message."
        ) from error
    return message


def _check(message: ClientMessage) -> None:
    """The rules that types cannot say."""
    for name in ("ack_id", "sequence_id", "stream_sequence_id"):
        number = getattr(message, name, None)
        if number is not None and not 0 <= number <= _LARGEST_ID:
            raise InvalidPayloadError(f"{name} is not a uint64")
    match message:
        case JoinGroup() | LeaveGroup() | SendToGroup() if not is_group(message.group):
            raise InvalidPayloadError("not a group name")
        case Event() if not is_event(message.event):
            raise InvalidPayloadError("not an event name")
        case SendToGroup(ttl_seconds=int(ttl)) if not 0 <= ttl <= LONGEST_TTL_SECONDS:
            raise InvalidPayloadError("ttlSeconds is not within 0 to 300")
        case SendToGroup(stream=StreamStart(idle_timeout_ms=idle)) if idle <= 0:
            raise InvalidPayloadError("idleTimeoutMs is not positive")
        case SendToGroup(stream=None) | Event():
            message.payload()
        case StreamData() if not message.is_keepalive:
            message.payload()


def _payload(data_type: str | None, data: msgspec.Raw, metadata: msgspec.Raw = _ABSENT) -> Payload:
    return from_json(data_type, bytes(data), bytes(metadata))


class Outgoing:
    """One message on its way to its hearers: each wording is made once, however many hear it."""

    __slots__ = ("_frames", "_head", "_payload", "_tail", "ttl_seconds")

    def __init__(
        self,
        payload: Payload,
        *,
        group: str | None = None,
        from_user: str | None = None,
        stream: Mapping[str, object] | None = None,
        ttl_seconds: int | None = None,
    ) -> None:
        self.ttl_seconds = ttl_seconds
        self._payload = payload
        self._frames: dict[int | str, bytes] = {}
        self._head: dict[str, object] = {"type": "message", "from": "server"}
        if group is not None:
            self._head |= {"from": "group", "group": group, "fromUserId": from_user}
        if stream is not None:
            self._head["stream"] = stream
        if payload.metadata:
            self._head["metadata"] = payload.metadata
        self._tail = b""

    def raw(self) -> bytes:
        """The frame for a raw client: the payload and nothing around it."""
        if "raw" not in self._frames:
            body = self._payload.body
            self._frames["raw"] = text_frame(body) if self._payload.is_text else binary_frame(body)
        return self._frames["raw"]

    def plain(self) -> bytes:
        """The frame for a JSON client."""
        if "json" not in self._frames:
            self._frames["json"] = text_frame(b"{" + self._body())
        return self._frames["json"]

    def numbered(self, sequence_id: int) -> bytes:
        """The frame for a reliable client. Those who came together count together: share it."""
        if sequence_id not in self._frames:
            self._frames[sequence_id] = text_frame(
                b'{"sequenceId":%d,%b' % (sequence_id, self._body())
            )
        return self._frames[sequence_id]

    def _body(self) -> bytes:
        """All of the JSON object but its opening brace."""
        if not self._tail:
            head = msgspec.json.encode({**self._head, "dataType": self._payload.kind})
            self._tail = head[1:-1] + b',"data":' + self._payload.as_json() + b"}"
        return self._tail


def connected(connection_id: str, user_id: str | None, token: str | None = None) -> bytes:
    message = {
        "type": "system",
        "event": "connected",
        "userId": user_id,
        "connectionId": connection_id,
    }
    return _frame(message | ({"reconnectionToken": token} if token else {}))


def disconnected(reason: str) -> bytes:
    return _frame({"type": "system", "event": "disconnected", "message": reason})


def ack(ack_id: int, error: tuple[str, str] | None = None) -> bytes:
    """`error` is a name for programs and a sentence for people."""
    if error is None:
        return _frame({"type": "ack", "ackId": ack_id, "success": True})
    named = {"name": error[0], "message": error[1]}
    return _frame({"type": "ack", "ackId": ack_id, "success": False, "error": named})


def pong() -> bytes:
    return _frame({"type": "pong"})


def stream_ack(stream_id: str, expected: int) -> bytes:
    return _frame({"type": "streamAck", "streamId": stream_id, "expectedSequenceId": expected})


def stream_nack(stream_id: str, expected: int) -> bytes:
    return _frame(
        {
            "type": "streamNack",
            "streamId": stream_id,
            "name": "InvalidSequenceId",
            "message": f"Expected sequence id {expected}.",
            "expectedSequenceId": expected,
        }
    )


def stream_closed(stream_id: str, error: tuple[str, str] | None = None) -> bytes:
    message: dict[str, object] = {"type": "streamClosed", "streamId": stream_id}
    if error:
        message["error"] = {"name": error[0], "message": error[1]}
    return _frame(message)


def text_frame(payload: bytes) -> bytes:
    return _header(0x81, len(payload)) + payload


def binary_frame(payload: bytes) -> bytes:
    return _header(0x82, len(payload)) + payload


def _frame(message: Mapping[str, object]) -> bytes:
    return text_frame(msgspec.json.encode(message))


def _header(first: int, length: int) -> bytes:
    """RFC 6455, 5.2: a server's frames are whole and unmasked."""
    if length < 126:
        return bytes((first, length))
    if length < 1 << 16:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")
