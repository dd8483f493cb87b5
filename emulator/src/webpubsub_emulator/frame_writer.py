"""The sending side of one client's WebSocket: frames go to the transport without waiting."""

import asyncio
import sys
from collections import deque
from collections.abc import Callable

from aiohttp import web

from webpubsub_emulator.connection import Connection
from webpubsub_emulator.faults import Faults
from webpubsub_emulator.quota import Quota
from webpubsub_emulator.traffic import Traffic, record_frame

MAX_QUEUED_FRAMES = 1000
MAX_QUEUED_BYTES = 16 * 1024 * 1024
_CLOSE_TIMEOUT_SECONDS = 5.0
_MAX_CLOSE_REASON_BYTES = 123


class WebSocketFrameWriter:
    """Writes complete frames past aiohttp's writer, which would build them for each client.

    A message to ten thousand clients is so built once and written ten thousand times.
    """

    __slots__ = (
        *("_closing", "_connection", "_descriptor", "_faults", "_held", "_on_overflow", "_queue"),
        *("_queued_bytes", "_quota", "_traffic", "_transport", "_websocket"),
    )

    def __init__(
        self,
        websocket: web.WebSocketResponse,
        transport: asyncio.Transport,
        connection: Connection,
        faults: Faults,
        quota: Quota | None,
        traffic: Traffic,
        on_overflow: Callable[["WebSocketFrameWriter"], None],
    ) -> None:
        self._websocket = websocket
        self._transport = transport
        self._connection = connection
        self._faults = faults
        self._quota = quota
        self._traffic = traffic
        self._on_overflow = on_overflow
        self._closing: asyncio.Task[None] | None = None
        self._held: deque[bytes] | None = None
        self._queue: deque[int] | None = None
        self._queued_bytes = 0
        self._descriptor = find_descriptor(transport)

    def send(self, frame: bytes) -> None:
        if self._held is not None or self._faults.frame_is_pending:
            self._send_with_fault(frame)
        else:
            self._write(frame)

    def idle_descriptor(self) -> int | None:
        """Return the socket's file descriptor if nothing waits to be sent before a frame.

        The caller writes a frame to it before the event loop runs again, and passes what was not
        written to `send`. There are no faults, no viewer and no quota then.
        """
        transport = self._transport
        if (
            self._held is not None
            or self._closing is not None
            or transport.is_closing()
            or transport.get_write_buffer_size()
        ):
            return None
        return self._descriptor

    def close(self, code: int, reason: str = "") -> None:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(code, reason))

    def abort(self) -> None:
        self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until a close that was started is complete."""
        if self._closing is not None:
            await self._closing

    def _write(self, frame: bytes) -> None:
        transport = self._transport
        if self._closing is not None or transport.is_closing():
            return
        transport.write(frame)
        if self._traffic.is_watched:
            record_frame(self._traffic, self._connection, frame)
        if self._quota is not None:
            self._quota.add_bytes(len(frame))
        waiting = transport.get_write_buffer_size()
        if waiting:
            self._count_queued(len(frame), waiting)

    def _count_queued(self, size: int, waiting: int) -> None:
        """Count the frames that a slow client has not taken yet; `waiting` are their bytes."""
        if self._queue is None:
            self._queue = deque()
        queue = self._queue
        queue.append(size)
        self._queued_bytes += size
        while self._queued_bytes - queue[0] >= waiting:
            self._queued_bytes -= queue.popleft()
        if len(queue) > MAX_QUEUED_FRAMES or waiting > MAX_QUEUED_BYTES:
            asyncio.get_running_loop().call_soon(self._on_overflow, self)

    def _send_with_fault(self, frame: bytes) -> None:
        """Apply a pending fault; frames after a delayed one wait with it, to keep the order."""
        if self._held is not None:
            self._held.append(frame)
            return
        fault = self._faults.take("frame")
        if fault is not None and fault.action == "delay":
            self._held = deque([frame])
            asyncio.get_running_loop().call_later(fault.seconds, self._release)

    def _release(self) -> None:
        held, self._held = self._held or (), None
        for frame in held:
            self._write(frame)

    async def _close(self, code: int, reason: str) -> None:
        """Close with a close frame; abort when the client does not answer it."""
        shortened = reason.encode()[:_MAX_CLOSE_REASON_BYTES].decode(errors="ignore").encode()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_SECONDS):
                await self._websocket.close(code=code, message=shortened)
        except TimeoutError:
            self.abort()


def find_descriptor(transport: asyncio.Transport) -> int | None:
    """Return the descriptor that takes plain frames: not with TLS, and not where it is no file."""
    if sys.platform == "win32" or transport.get_extra_info("ssl_object") is not None:
        return None
    descriptor: int = transport.get_extra_info("socket").fileno()
    return descriptor
