"""What a reliable client has not yet acknowledged, kept so that a lost socket loses nothing.

https://learn.microsoft.com/azure/azure-web-pubsub/howto-develop-reliable-clients
"""

from collections import deque
from collections.abc import Callable

MOST_MESSAGES = 1000
MOST_BYTES = 16 * 1024 * 1024


class ReplayBuffer:
    """Numbers every message from 1 and keeps its frame until the client says it has it."""

    __slots__ = ("_bytes", "_last", "_unacknowledged")

    def __init__(self) -> None:
        self._last = 0
        self._bytes = 0
        self._unacknowledged: deque[tuple[int, bytes, float | None]] = deque()

    def add(self, frame_for: Callable[[int], bytes], expires_at: float | None = None) -> bytes:
        """Give the message the next number; returns the frame that carries it."""
        self._last += 1
        frame = frame_for(self._last)
        self._unacknowledged.append((self._last, frame, expires_at))
        self._bytes += len(frame)
        return frame

    @property
    def overflows(self) -> bool:
        return len(self._unacknowledged) > MOST_MESSAGES or self._bytes > MOST_BYTES

    def acknowledge(self, sequence_id: int) -> None:
        """Forget all up to `sequence_id`: acknowledgements are cumulative."""
        waiting = self._unacknowledged
        while waiting and waiting[0][0] <= sequence_id:
            self._bytes -= len(waiting.popleft()[1])

    def replay(self, now: float) -> list[bytes]:
        """What is to be sent again, in order; what outlived its ttl is dropped for good."""
        fresh = [kept for kept in self._unacknowledged if kept[2] is None or now < kept[2]]
        self._unacknowledged = deque(fresh)
        self._bytes = sum(len(frame) for _, frame, _ in fresh)
        return [frame for _, frame, _ in fresh]
