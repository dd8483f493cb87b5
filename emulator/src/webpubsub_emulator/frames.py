"""What a client is told: whole WebSocket frames, each built once however many hear it.

https://learn.microsoft.com/azure/azure-web-pubsub/reference-json-reliable-webpubsub-subprotocol
"""

from collections.abc import Mapping

import msgspec

from webpubsub_emulator.payload import Payload


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
