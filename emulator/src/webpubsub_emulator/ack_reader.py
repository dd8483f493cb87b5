"""Reads the sequence acknowledgements of reliable clients before aiohttp does.

Each client sends one per second. aiohttp needs a task switch for each message, which for ten
thousand clients is most of the processor time of the emulator.
"""

import asyncio
import re
from collections.abc import Callable

from webpubsub_emulator.traffic import Traffic

_ACK = re.compile(rb'\{"type": ?"sequenceAck", ?"sequenceId": ?([0-9]{1,19})\}')
_FINAL_TEXT_FRAME = 0x81
_MASKED = 0x80
_SHORT_HEADER_BYTES = 6
_MAX_ACK_BYTES = 100
READ_BUFFER_BYTES = 64 * 1024


class AckReader(asyncio.BufferedProtocol):
    """A filter between a transport and aiohttp's protocol, which gets all other data.

    An acknowledgement is read here if it is all that has arrived, one whole frame between two
    messages. `_missing` is the number of bytes until the next frame begins, or None when a
    frame's header was split: then everything is left to aiohttp.

    All readers share `buffer`, since each is read before the next one is filled. Without it,
    asyncio makes an object of 256 KB for each read, which takes longer than the read.
    """

    __slots__ = ("_acknowledge", "_buffer", "_inner", "_is_fragmented", "_missing", "_traffic")

    def __init__(
        self,
        inner: asyncio.Protocol,
        buffer: memoryview,
        acknowledge: Callable[[int], None],
        traffic: Traffic,
    ) -> None:
        self._inner = inner
        self._buffer = buffer
        self._acknowledge = acknowledge
        self._traffic = traffic
        self._missing: int | None = 0
        self._is_fragmented = False

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio passes it
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        if self._missing == 0 and not self._is_fragmented and not self._traffic.is_watched:
            sequence_id = _read_ack(data)
            if sequence_id is not None:
                self._acknowledge(sequence_id)
                return
        if self._missing is not None:
            self._follow_frames(data)
        self._inner.data_received(data)

    def _follow_frames(self, data: bytes) -> None:
        """Find where the frame that comes after this data begins; RFC 6455, 5.2."""
        start = self._missing or 0
        while start < len(data):
            header = data[start : start + 14]
            size = _frame_size(header)
            if size is None:
                self._missing = None
                return
            if not header[0] & 0x08:  # Control frames come between the parts of a message.
                self._is_fragmented = not header[0] & 0x80
            start += size
        self._missing = start - len(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


def _read_ack(data: bytes) -> int | None:
    """Return the id if the data is one frame with an acknowledgement."""
    length = len(data) - _SHORT_HEADER_BYTES
    if not 0 < length <= _MAX_ACK_BYTES or data[0] != _FINAL_TEXT_FRAME:
        return None
    if data[1] != _MASKED | length:
        return None
    mask = (data[2:6] * (length // 4 + 1))[:length]
    masked = int.from_bytes(data[6:], "big")
    payload = (masked ^ int.from_bytes(mask, "big")).to_bytes(length, "big")
    match = _ACK.fullmatch(payload)
    return int(match[1]) if match else None


def _frame_size(header: bytes) -> int | None:
    """Return the bytes of a client's frame, header included, or None if too little is known."""
    if len(header) < 2:
        return None
    length, size = header[1] & 0x7F, 2 + (4 if header[1] & _MASKED else 0)
    if length < 126:
        return size + length
    extended = 2 if length == 126 else 8
    if len(header) < 2 + extended:
        return None
    return size + extended + int.from_bytes(header[2 : 2 + extended], "big")
