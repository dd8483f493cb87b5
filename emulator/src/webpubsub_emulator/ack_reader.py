"""Reads the sequence acknowledgements of reliable clients before aiohttp does.

Each client sends one per second. aiohttp needs a task switch for each message, which for ten
thousand clients is most of the processor time of the emulator.
"""

import asyncio
from collections.abc import Callable

from webpubsub_emulator.ack_frame import parse_ack_frame
from webpubsub_emulator.ack_poller import AckPoller
from webpubsub_emulator.traffic import Traffic

_MASKED = 0x80
READ_BUFFER_BYTES = 64 * 1024


class AckReader(asyncio.BufferedProtocol):
    """A filter between a transport and aiohttp's protocol, which gets all other data.

    An acknowledgement is read here if it is all that has arrived, one whole frame between two
    messages. `_missing` is the number of bytes until the next frame begins, or None when a
    frame's header was split: then everything is left to aiohttp.

    At the beginning and after an acknowledgement the poller reads the socket, and the transport
    pauses until there is other data. aiohttp so gets all data but pongs from a transport that it
    can pause.

    All readers share `buffer`, since each is read before the next one is filled. Without it,
    asyncio makes an object of 256 KB for each read, which takes longer than the read.
    """

    __slots__ = (
        *("_buffer", "_descriptor", "_inner", "_is_fragmented", "_missing", "_poller"),
        *("_traffic", "_transport", "acknowledge"),
    )

    def __init__(
        self,
        inner: asyncio.Protocol,
        buffer: memoryview,
        acknowledge: Callable[[int], None],
        traffic: Traffic,
    ) -> None:
        self._inner = inner
        self._buffer = buffer
        self.acknowledge = acknowledge
        self._traffic = traffic
        self._transport: asyncio.Transport | None = None
        self._poller: AckPoller | None = None
        self._descriptor = -1
        self._missing: int | None = 0
        self._is_fragmented = False

    def use_poller(self, poller: AckPoller, transport: asyncio.Transport, descriptor: int) -> None:
        """Let a poller read the transport's socket while there are only acknowledgements."""
        self._poller, self._transport, self._descriptor = poller, transport, descriptor
        poller.clients += 1
        self._pause()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio passes it
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._receive(bytes(self._buffer[:nbytes]))

    def _receive(self, data: bytes) -> None:
        if self._missing == 0 and not self._is_fragmented and not self._traffic.is_watched:
            sequence_id = parse_ack_frame(data)
            if sequence_id is not None:
                self.acknowledge(sequence_id)
                self._pause()
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

    def _pause(self) -> None:
        """Leave the socket to the poller."""
        if self._poller is not None and self._transport is not None and self._poller.is_needed:
            self._transport.pause_reading()
            self._poller.add(self._descriptor, self)

    def receive_pong(self, frame: bytes) -> None:
        """Pass a pong on. aiohttp notes when it came, and the poller keeps the socket."""
        self._inner.data_received(frame)

    def resume(self, data: bytes) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.resume_reading()
            if data:
                self._receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._poller is not None:
            self._poller.remove(self._descriptor)
            self._poller.clients -= 1
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


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
