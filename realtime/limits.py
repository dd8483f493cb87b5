"""How often one person may do a thing: a token bucket each, counted by this instance."""

import time
from collections import OrderedDict
from collections.abc import Callable

from realtime.messages import Refused

REMEMBERED = 10_000
"""How many people are remembered at once; the one who was quiet longest is forgotten first."""


class Limit:
    """`per_minute` on average, and `burst` (else a sixth of it) at once; 0 sets no limit."""

    def __init__(
        self,
        what: str,
        per_minute: int,
        *,
        burst: float = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._per_second = per_minute / 60
        self._burst = burst or max(1.0, per_minute / 6)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """How many people are remembered."""
        return len(self._buckets)

    def spend(self, person: str) -> None:
        """Take one token, or refuse with the time until the next."""
        if not self._per_second:
            return
        left = self._take(person)
        if left < 1:
            wait = (1 - left) / self._per_second
            raise Refused(
                "rate_limited",
                f"Too many {self._what}; wait a moment.",
                retry_after_ms=int(wait * 1000) + 1,
            )

    def allows(self, person: str) -> bool:
        """Take one token if there is one."""
        return not self._per_second or self._take(person) >= 1

    def _take(self, person: str) -> float:
        """How many tokens there were; one is gone if there was one."""
        now = self._clock()
        left, since = self._buckets.pop(person, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_second)
        self._remember(person, left - 1 if left >= 1 else left, now)
        return left

    def _remember(self, person: str, left: float, now: float) -> None:
        self._buckets[person] = (left, now)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
