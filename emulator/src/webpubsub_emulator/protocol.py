"""Messages of JSON clients: their shapes, and the rules that a valid message meets.

https://learn.microsoft.com/azure/azure-web-pubsub/reference-json-reliable-webpubsub-subprotocol
"""

from typing import Any

import msgspec

from webpubsub_emulator.names import is_valid_event, is_valid_group
from webpubsub_emulator.payload import InvalidPayloadError, Payload, payload_from_json

JSON_PROTOCOL = "json.webpubsub.azure.v1"
RELIABLE_PROTOCOL = "json.reliable.webpubsub.azure.v1"
SUBPROTOCOLS = (JSON_PROTOCOL, RELIABLE_PROTOCOL)

MAX_TTL_SECONDS = 300
_MAX_UINT64 = 2**64 - 1
_DEFAULT_IDLE_TIMEOUT_MS = 300_000
_ABSENT = msgspec.Raw()


class ProtocolError(ValueError):
    """A message that breaks the protocol; the connection is closed with `code`."""

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
    idle_timeout_ms: int = _DEFAULT_IDLE_TIMEOUT_MS


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
        return _read_payload(self.data_type, self.data, self.metadata)


class Event(_Message, frozen=True):
    event: str
    ack_id: int | None = None
    data_type: str | None = None
    data: msgspec.Raw = _ABSENT
    metadata: msgspec.Raw = _ABSENT

    def payload(self) -> Payload:
        return _read_payload(self.data_type, self.data, self.metadata)


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
        return _read_payload(self.data_type, self.data)


class StreamError(_Message, frozen=True):
    message: str | None = None
    user_error_code: str | None = None


class StreamEnd(_Message, frozen=True):
    stream_id: str
    error: StreamError | None = None


class Invoke(_Message, frozen=True):
    """Not emulated: the response is an error."""

    invocation_id: str


class CancelInvocation(_Message, frozen=True):
    """Not emulated: there is never a pending invocation, so it has no effect."""

    invocation_id: str


class SetGroupState(_Message, frozen=True):
    """Not emulated: the response is an error."""

    group: str
    ack_id: int | None = None


class SubscribeGroupState(SetGroupState, frozen=True):
    """Not emulated: the response is an error."""


class UnsubscribeGroupState(SetGroupState, frozen=True):
    """Not emulated: the response is an error."""


ClientMessage = (
    JoinGroup
    | LeaveGroup
    | SendToGroup
    | Event
    | Ping
    | SequenceAck
    | StreamData
    | StreamEnd
    | Invoke
    | CancelInvocation
    | SetGroupState
)


class _Typed(msgspec.Struct, frozen=True):
    type: str


_TYPE_DECODER = msgspec.json.Decoder(_Typed)
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    shape.__name__.lower(): msgspec.json.Decoder(shape)
    for shape in (
        *(JoinGroup, LeaveGroup, SendToGroup, Event, Ping, SequenceAck, StreamData, StreamEnd),
        *(Invoke, CancelInvocation, SetGroupState, SubscribeGroupState, UnsubscribeGroupState),
    )
}


def parse_message(text: str) -> ClientMessage:
    """Read one message of a client; its type is compared ignoring case. Raises ProtocolError."""
    try:
        message: ClientMessage = _select_decoder(_TYPE_DECODER.decode(text).type).decode(text)
        _validate(message)
    except (msgspec.MsgspecError, InvalidPayloadError, UnicodeError, RecursionError) as error:
        raise ProtocolError(
            1007, "The client message is not a valid JSON protocol message."
        ) from error
    return message


def _select_decoder(type_: str) -> msgspec.json.Decoder[Any]:
    decoder = _DECODERS.get(type_.lower())
    if decoder is None:
        raise InvalidPayloadError(f"unknown message type {type_[:40]!r}")
    return decoder


def _validate(message: ClientMessage) -> None:
    """Check the rules that the types do not express."""
    for name in ("ack_id", "sequence_id", "stream_sequence_id"):
        number = getattr(message, name, None)
        if number is not None and not 0 <= number <= _MAX_UINT64:
            raise InvalidPayloadError(f"{name} is not a uint64")
    group = getattr(message, "group", None)
    if group is not None and not is_valid_group(group):
        raise InvalidPayloadError("invalid group name")
    match message:
        case Event() if not is_valid_event(message.event):
            raise InvalidPayloadError("invalid event name")
        case SendToGroup(ttl_seconds=int(ttl)) if not 0 <= ttl <= MAX_TTL_SECONDS:
            raise InvalidPayloadError("ttlSeconds is not within 0 to 300")
        case SendToGroup(stream=StreamStart(idle_timeout_ms=idle)) if idle <= 0:
            raise InvalidPayloadError("idleTimeoutMs is not positive")
        case SendToGroup(stream=None) | Event():
            message.payload()
        case StreamData() if not message.is_keepalive:
            message.payload()


def _read_payload(
    data_type: str | None, data: msgspec.Raw, metadata: msgspec.Raw = _ABSENT
) -> Payload:
    return payload_from_json(data_type, bytes(data), bytes(metadata))
