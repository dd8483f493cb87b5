"""What the service sends to clients, as complete WebSocket frames.

https://learn.microsoft.com/azure/azure-web-pubsub/reference-json-reliable-webpubsub-subprotocol
"""

from collections.abc import Mapping

import msgspec

from webpubsub_emulator.payload import Payload


class OutgoingMessage:
    """One message to any number of receivers: each of its frames is built once and shared."""

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

    def raw_frame(self) -> bytes:
        """The frame for a raw client: the payload alone."""
        if "raw" not in self._frames:
            body = self._payload.body
            build = text_frame if self._payload.is_text_frame else binary_frame
            self._frames["raw"] = build(body)
        return self._frames["raw"]

    def json_frame(self) -> bytes:
        """The frame for a JSON client."""
        frame = self._frames.get("json")
        if frame is None:
            frame = self._frames["json"] = text_frame(b"{" + self._encode_body())
        return frame

    def reliable_frame(self, sequence_id: int) -> bytes:
        """The frame for a reliable client; clients with the same sequence id share it."""
        frame = self._frames.get(sequence_id)
        if frame is None:
            body = self._encode_body()
            frame = text_frame(b'{"sequenceId":%d,%b' % (sequence_id, body))
            self._frames[sequence_id] = frame
        return frame

    def _encode_body(self) -> bytes:
        """Return the JSON object without its opening brace."""
        if not self._tail:
            head = msgspec.json.encode({**self._head, "dataType": self._payload.data_type})
            self._tail = head[1:-1] + b',"data":' + self._payload.encode_json() + b"}"
        return self._tail


def connected(connection_id: str, user_id: str | None, token: str | None = None) -> bytes:
    message = {
        "type": "system",
        "event": "connected",
        "userId": user_id,
        "connectionId": connection_id,
    }
    return _json_frame(message | ({"reconnectionToken": token} if token else {}))


def disconnected(reason: str) -> bytes:
    return _json_frame({"type": "system", "event": "disconnected", "message": reason})


def ack(ack_id: int, error: tuple[str, str] | None = None) -> bytes:
    """`error` is its name for programs and its message for people."""
    message: dict[str, object] = {"type": "ack", "ackId": ack_id, "success": error is None}
    return _json_frame(message | _error_property(error))


def invoke_error(invocation_id: str, error: tuple[str, str]) -> bytes:
    message = {"type": "invokeResponse", "invocationId": invocation_id, "success": False}
    return _json_frame(message | _error_property(error))


def pong() -> bytes:
    return _json_frame({"type": "pong"})


def stream_ack(stream_id: str, expected_id: int) -> bytes:
    return _json_frame(
        {"type": "streamAck", "streamId": stream_id, "expectedSequenceId": expected_id}
    )


def stream_nack(stream_id: str, expected_id: int) -> bytes:
    return _json_frame(
        {
            "type": "streamNack",
            "streamId": stream_id,
            "name": "InvalidSequenceId",
            "message": f"Expected sequence id {expected_id}.",
            "expectedSequenceId": expected_id,
        }
    )


def stream_closed(stream_id: str, error: tuple[str, str] | None = None) -> bytes:
    message = {"type": "streamClosed", "streamId": stream_id}
    return _json_frame(message | _error_property(error))


def text_frame(payload: bytes) -> bytes:
    return _frame_header(0x81, len(payload)) + payload


def binary_frame(payload: bytes) -> bytes:
    return _frame_header(0x82, len(payload)) + payload


def frame_payload(frame: bytes) -> bytes:
    """Return the payload of a complete, unmasked frame."""
    length = frame[1]
    return frame[{126: 4, 127: 10}.get(length, 2) :]


def _error_property(error: tuple[str, str] | None) -> dict[str, object]:
    return {"error": {"name": error[0], "message": error[1]}} if error else {}


def _json_frame(message: Mapping[str, object]) -> bytes:
    return text_frame(msgspec.json.encode(message))


def _frame_header(first_byte: int, length: int) -> bytes:
    """RFC 6455, 5.2: a server's frames are unmasked; these are never fragmented."""
    if length < 126:
        return bytes((first_byte, length))
    if length < 1 << 16:
        return bytes((first_byte, 126)) + length.to_bytes(2, "big")
    return bytes((first_byte, 127)) + length.to_bytes(8, "big")
