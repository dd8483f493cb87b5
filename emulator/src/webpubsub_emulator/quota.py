"""The limits of the Free tier, so that an application can meet them before its users do.

https://learn.microsoft.com/azure/azure-web-pubsub/concept-billing-model
"""

import time
from collections.abc import Callable

_SECONDS_A_DAY = 24 * 3600
_MESSAGE_BYTES = 2 * 1024


class Quota:
    """Counts connections and what goes out, in steps of 2 KB, until midnight UTC."""

    def __init__(
        self,
        connections: int = 20,
        messages: int = 20_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connections = connections
        self._most_bytes = messages * _MESSAGE_BYTES
        self._clock = clock
        self._day = 0
        self._bytes = 0

    def spend(self, size: int) -> None:
        """Outbound traffic is billed in aggregate, not frame by frame."""
        self._turn_page()
        self._bytes += size

    def has_room_for(self, connections: int) -> bool:
        return connections <= self._connections

    @property
    def is_spent(self) -> bool:
        self._turn_page()
        return self._bytes >= self._most_bytes

    def _turn_page(self) -> None:
        day = int(self._clock() // _SECONDS_A_DAY)
        if day != self._day:
            self._day, self._bytes = day, 0
