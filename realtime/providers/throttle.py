"""When a provider may be called: within its free terms, and with back-off after failures."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct

from realtime.providers.http_client import ProviderError

MAX_RETRY_AFTER_SECONDS = 86_400.0


class Throttle(Struct):
    """The earliest time of the next call.

    It is a circuit breaker too: a failure opens it, one call is let through when the wait is over,
    and a success closes it.
    """

    random_fraction: Callable[[], float] = random.random
    min_backoff_seconds: float = 5
    max_backoff_seconds: float = 900
    failures: int = 0
    reason: str = ""
    next_call_at: datetime | None = None

    def is_ready(self, now: datetime) -> bool:
        return self.next_call_at is None or now >= self.next_call_at

    def record_success(self, now: datetime, pause_seconds: float) -> None:
        """The next call is due after `pause_seconds`, as the provider's terms require."""
        self.failures, self.reason = 0, ""
        self.next_call_at = now + timedelta(seconds=pause_seconds)

    def record_failure(self, now: datetime, error: ProviderError) -> None:
        """The wait doubles with each failure, with jitter, and obeys Retry-After."""
        self.failures, self.reason = self.failures + 1, error.reason
        wait = min(
            self.max_backoff_seconds, self.min_backoff_seconds * 2 ** min(self.failures - 1, 16)
        )
        wait *= 0.5 + self.random_fraction() / 2
        wait = max(wait, min(error.retry_after_seconds, MAX_RETRY_AFTER_SECONDS))
        self.next_call_at = now + timedelta(seconds=wait)
