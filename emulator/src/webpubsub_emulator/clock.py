"""The emulator's clock, which a test can advance."""

import time


class Clock:
    """The system's time plus what `advance` added to it.

    It governs the recovery timeout, message ttl, idle streams, the lifetime of tokens, repeated
    validation of event handlers and the day of the Free tier.
    """

    def __init__(self) -> None:
        self._offset_seconds = 0.0

    def advance(self, seconds: float) -> None:
        """Move the time forward; it cannot go back."""
        if not 0 <= seconds < float("inf"):
            raise ValueError("seconds is a number of 0 or more")
        self._offset_seconds += seconds

    def monotonic(self) -> float:
        return time.monotonic() + self._offset_seconds

    def time(self) -> float:
        return time.time() + self._offset_seconds


class ManualClock(Clock):
    """A clock that changes only when `advance` is called."""

    def __init__(self) -> None:
        super().__init__()
        self._started_at = time.time()

    def monotonic(self) -> float:
        return self._offset_seconds

    def time(self) -> float:
        return self._started_at + self._offset_seconds
