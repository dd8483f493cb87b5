"""What a JSON client may say: its messages, read into values and checked.

https://learn.microsoft.com/azure/azure-web-pubsub/reference-json-reliable-webpubsub-subprotocol
"""

from typing import Any

import msgspec

from webpubsub_emulator.names import is_event, is_group
from webpubsub_emulator.payload import InvalidPayloadError, Payload, from_json

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
        message: ClientMessage = _shape(_TYPE_OF.decode(text).type).decode(text)
        _check(message)
    except (msgspec.MsgspecError, InvalidPayloadError, UnicodeError, RecursionError) as error:
        raise ProtocolError(
            1007, "The client message is not a valid JSON protocol message."
        ) from error
    return message


def _shape(type_: str) -> msgspec.json.Decoder[Any]:
    if type_.lower() not in _SHAPES:
        raise InvalidPayloadError(f"there is no message of type {type_[:40]!r}")
    return _SHAPES[type_.lower()]


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
