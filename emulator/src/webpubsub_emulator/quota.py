"""The limits of the Free tier.

https://learn.microsoft.com/azure/azure-web-pubsub/concept-billing-model
"""

import time
from collections.abc import Callable

_DAY_SECONDS = 24 * 3600
_BILLED_MESSAGE_BYTES = 2 * 1024


class Quota:
    """Counts connections and outbound bytes until midnight UTC; a billed message has 2 KB."""

    def __init__(
        self,
        connections: int = 20,
        messages: int = 20_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._max_connections = connections
        self._max_bytes = messages * _BILLED_MESSAGE_BYTES
        self._clock = clock
        self._day = 0
        self._bytes = 0

    def add_bytes(self, size: int) -> None:
        """Count outbound traffic, which is billed in total and not frame by frame."""
        self._reset_daily()
        self._bytes += size

    def allows_connections(self, count: int) -> bool:
        return count <= self._max_connections

    @property
    def is_exhausted(self) -> bool:
        self._reset_daily()
        return self._bytes >= self._max_bytes

    def _reset_daily(self) -> None:
        day = int(self._clock() // _DAY_SECONDS)
        if day != self._day:
            self._day, self._bytes = day, 0
