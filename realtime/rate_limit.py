"""Rate limits: a token bucket per user or address, counted by this instance."""

import random
import time
from collections.abc import Callable

from cachetools import LRUCache

from realtime.errors import ApiError

MAX_BUCKETS = 10_000
"""Buckets that one limiter holds; the least recently used one is dropped first."""


class RateLimiter:
    """Allows `per_minute` requests on average and `burst` (default: a sixth of it) at once.

    0 a minute sets no limit. Up to `jitter_seconds` are added to the time that is to be waited, so
    that many who are rejected at once do not come back at once.
    """

    def __init__(
        self,
        what: str,
        per_minute: int,
        *,
        burst: float = 0,
        jitter_seconds: float = 0,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._what = what
        self._per_second = per_minute / 60
        self._burst = burst or max(1.0, per_minute / 6)
        self._jitter_seconds = jitter_seconds
        self._clock = clock
        self._chance = chance
        self._buckets: LRUCache[str, tuple[float, float]] = LRUCache(MAX_BUCKETS)

    def __len__(self) -> int:
        """The number of buckets held."""
        return len(self._buckets)

    def acquire(self, key: str) -> None:
        """Take one token. Raises ApiError `rate_limited` with the time until the next one."""
        if not self._per_second:
            return
        tokens = self._take(key)
        if tokens < 1:
            wait = (1 - tokens) / self._per_second + self._chance() * self._jitter_seconds
            raise ApiError(
                "rate_limited",
                f"Too many {self._what}; wait a moment.",
                retry_after_ms=int(wait * 1000) + 1,
            )

    def try_acquire(self, key: str) -> bool:
        """Take one token if there is one."""
        return not self._per_second or self._take(key) >= 1

    def _take(self, key: str) -> float:
        """The number of tokens before this call; one is removed if there was one."""
        now = self._clock()
        tokens, since = self._buckets.get(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._per_second)
        self._buckets[key] = (tokens - 1 if tokens >= 1 else tokens, now)
        return tokens
