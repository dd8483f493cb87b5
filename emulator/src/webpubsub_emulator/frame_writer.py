"""One client's WebSocket as the hub sees it: frames go straight to the transport, never waiting."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from aiohttp import web

from webpubsub_emulator.faults import Faults
from webpubsub_emulator.quota import Quota

logger = logging.getLogger(__name__)

MOST_QUEUED = 1000
MOST_QUEUED_BYTES = 16 * 1024 * 1024
_CLOSE_SECONDS = 5.0
_LONGEST_REASON = 123


class WebSocketOutbox:
    """The frames are whole already, so aiohttp's writer, which would build one for each client,
    is left out: a message to ten thousand clients is built once and written ten thousand times.
    """

    __slots__ = (
        *("_closing", "_faults", "_held", "_on_overflow", "_queue", "_queued_bytes"),
        *("_quota", "_transport", "_websocket"),
    )

    def __init__(
        self,
        websocket: web.WebSocketResponse,
        transport: asyncio.Transport,
        faults: Faults,
        quota: Quota | None,
        on_overflow: Callable[["WebSocketOutbox"], None],
    ) -> None:
        self._websocket = websocket
        self._transport = transport
        self._faults = faults
        self._quota = quota
        self._on_overflow = on_overflow
        self._closing: asyncio.Task[None] | None = None
        self._held: deque[bytes] | None = None
        self._queue: deque[int] | None = None
        self._queued_bytes = 0

    def send(self, frame: bytes) -> None:
        if self._held is not None or self._faults.expect("frame"):
            self._send_tampered(frame)
        else:
            self._write(frame)

    def close(self, code: int, reason: str = "") -> None:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._shut(code, reason))

    def abort(self) -> None:
        self._transport.abort()

    async def closed(self) -> None:
        """Wait until a close that was begun is done."""
        if self._closing is not None:
            await self._closing

    def _write(self, frame: bytes) -> None:
        transport = self._transport
        if self._closing is not None or transport.is_closing():
            return
        transport.write(frame)
        if self._quota is not None:
            self._quota.spend(len(frame))
        waiting = transport.get_write_buffer_size()
        if waiting:
            self._watch(len(frame), waiting)

    def _watch(self, size: int, waiting: int) -> None:
        """The client is slower than its messages: count what still waits for it."""
        if self._queue is None:
            self._queue = deque()
        queue = self._queue
        queue.append(size)
        self._queued_bytes += size
        while self._queued_bytes - queue[0] >= waiting:
            self._queued_bytes -= queue.popleft()
        if len(queue) > MOST_QUEUED or waiting > MOST_QUEUED_BYTES:
            asyncio.get_running_loop().call_soon(self._on_overflow, self)

    def _send_tampered(self, frame: bytes) -> None:
        """A frame behind a delayed one waits with it: a socket keeps its order."""
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

    async def _shut(self, code: int, reason: str) -> None:
        """Close politely; who does not answer within seconds is cut off."""
        words = reason.encode()[:_LONGEST_REASON].decode(errors="ignore").encode()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._websocket.close(code=code, message=words)
        except TimeoutError:
            self.abort()
