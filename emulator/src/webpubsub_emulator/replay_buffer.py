"""Messages that a reliable client has not acknowledged yet.

https://learn.microsoft.com/azure/azure-web-pubsub/howto-develop-reliable-clients
"""

from collections import deque
from collections.abc import Callable

MAX_BUFFERED_MESSAGES = 1000
MAX_BUFFERED_BYTES = 16 * 1024 * 1024
_EXPIRED = b""


class ReplayBuffer:
    """Numbers the messages of a connection from 1 and keeps each frame until its sequenceAck.

    The frames lie in order and without their sequence ids: the oldest has `_oldest`, the next one
    more. Ten thousand clients can so share one frame object.
    """

    __slots__ = ("_bytes", "_expiries", "_frames", "_oldest")

    def __init__(self) -> None:
        self._oldest = 1
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._expiries: dict[int, float] | None = None

    def add(self, build_frame: Callable[[int], bytes], expires_at: float | None = None) -> bytes:
        """Give the message the next sequence id; return the frame that carries it."""
        frames = self._frames
        sequence_id = self._oldest + len(frames)
        frame = build_frame(sequence_id)
        frames.append(frame)
        self._bytes += len(frame)
        if expires_at is not None:
            self._expiries = self._expiries or {}
            self._expiries[sequence_id] = expires_at
        return frame

    @property
    def is_full(self) -> bool:
        return len(self._frames) > MAX_BUFFERED_MESSAGES or self._bytes > MAX_BUFFERED_BYTES

    def acknowledge(self, sequence_id: int) -> None:
        """Remove all messages up to `sequence_id`: acknowledgements are cumulative."""
        frames, oldest = self._frames, self._oldest
        while frames and oldest <= sequence_id:
            self._bytes -= len(frames.popleft())
            if self._expiries:
                self._expiries.pop(oldest, None)
            oldest += 1
        self._oldest = oldest

    def unacknowledged(self, now: float) -> list[bytes]:
        """Return the frames to send again, in order; those past their ttl are dropped."""
        for sequence_id, expires_at in tuple((self._expiries or {}).items()):
            if expires_at <= now:
                self._expire(sequence_id)
        return [frame for frame in self._frames if frame]

    def _expire(self, sequence_id: int) -> None:
        """Empty one place; the other messages keep their sequence ids."""
        index = sequence_id - self._oldest
        self._bytes -= len(self._frames[index])
        self._frames[index] = _EXPIRED
        if self._expiries is not None:
            del self._expiries[sequence_id]
