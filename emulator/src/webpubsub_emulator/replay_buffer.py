"""What a reliable client has not yet acknowledged, kept so that a lost socket loses nothing.

https://learn.microsoft.com/azure/azure-web-pubsub/howto-develop-reliable-clients
"""

from collections import deque
from collections.abc import Callable

MOST_MESSAGES = 1000
MOST_BYTES = 16 * 1024 * 1024
_DROPPED = b""


class ReplayBuffer:
    """Numbers every message from 1 and keeps its frame until the client says it has it.

    The frames lie in order without their numbers: the oldest has number `_oldest`, the next one
    more. Ten thousand clients then share one frame, and the garbage collector has nothing to do.
    """

    __slots__ = ("_bytes", "_expiries", "_frames", "_oldest")

    def __init__(self) -> None:
        self._oldest = 1
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._expiries: dict[int, float] | None = None

    def add(self, frame_for: Callable[[int], bytes], expires_at: float | None = None) -> bytes:
        """Give the message the next number; returns the frame that carries it."""
        number = self._oldest + len(self._frames)
        frame = frame_for(number)
        self._frames.append(frame)
        self._bytes += len(frame)
        if expires_at is not None:
            self._expiries = self._expiries or {}
            self._expiries[number] = expires_at
        return frame

    @property
    def overflows(self) -> bool:
        return len(self._frames) > MOST_MESSAGES or self._bytes > MOST_BYTES

    def acknowledge(self, sequence_id: int) -> None:
        """Forget all up to `sequence_id`: acknowledgements are cumulative."""
        while self._frames and self._oldest <= sequence_id:
            self._bytes -= len(self._frames.popleft())
            if self._expiries:
                self._expiries.pop(self._oldest, None)
            self._oldest += 1

    def replay(self, now: float) -> list[bytes]:
        """What is to be sent again, in order; what outlived its ttl is dropped for good."""
        for number, expires_at in tuple((self._expiries or {}).items()):
            if expires_at <= now:
                self._drop(number)
        return [frame for frame in self._frames if frame]

    def _drop(self, number: int) -> None:
        """Empty the place of a message; the others keep theirs, and their numbers."""
        place = number - self._oldest
        self._bytes -= len(self._frames[place])
        self._frames[place] = _DROPPED
        if self._expiries is not None:
            del self._expiries[number]
