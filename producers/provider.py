"""How we ask somebody else's server: politely, at its pace, and without trusting what it says."""

import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx  # a tenth of a second of import, spent at the first call to a provider

LARGEST = 1_000_000
"""Bytes of an answer that are read; what a provider says in good faith is far smaller."""

TIMEOUT = 5.0
"""Seconds for one call."""

AT_ONCE = 4
"""Calls to one provider that run side by side."""


class Unreachable(Exception):  # noqa: N818 - it says what is the matter with the provider
    """The provider gave no usable answer. The text never holds an address: keys travel in some."""

    def __init__(self, reason: str, retry_after: float = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


@cache
def client() -> "httpx.AsyncClient":
    """This process's client; one, since making one reads all the certificates of the machine."""
    import httpx

    # At INFO httpx logs every address it calls, and one provider wants its key in there.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return httpx.AsyncClient(
        timeout=TIMEOUT,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=2 * AT_ONCE),
        headers={"User-Agent": "townsquare"},
    )


async def ask(
    client: "httpx.AsyncClient",
    url: str,
    query: Mapping[str, str],
    headers: Mapping[str, str] | None = None,
) -> Any:
    """The JSON that a provider answers, or Unreachable; a redirect is not followed anywhere."""
    import httpx
    from opentelemetry.instrumentation.utils import suppress_http_instrumentation

    try:
        with suppress_http_instrumentation():  # telemetry would keep the address, key and all
            async with client.stream("GET", url, params=query, headers=headers) as answer:
                body = await _body(answer)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(type(error).__name__) from None
    if answer.status_code != 200:
        raise Unreachable(f"HTTP {answer.status_code}", _retry_after(answer))
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Unreachable("an answer that is not JSON") from None


async def _body(answer: "httpx.Response") -> bytes:
    body = b""
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > LARGEST:
            raise Unreachable(f"an answer of more than {LARGEST} bytes")
    return body


def _retry_after(answer: "httpx.Response") -> float:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else 0


@dataclass
class Pace:
    """When a provider may be asked again: at its pace, and after failures ever more seldom.

    It is the circuit breaker too: it opens with a failure, lets one call try when the time has
    come, and closes with the first success.
    """

    chance: Callable[[], float] = random.random
    shortest: float = 5
    longest: float = 900
    failures: int = 0
    reason: str = ""
    next_at: datetime | None = field(default=None)

    def ready(self, now: datetime) -> bool:
        return self.next_at is None or now >= self.next_at

    def worked(self, now: datetime, rest: float) -> None:
        """Rest that many seconds, since so the provider's terms are kept."""
        self.failures, self.reason = 0, ""
        self.next_at = now + timedelta(seconds=rest)

    def failed(self, now: datetime, problem: Unreachable) -> None:
        """Wait twice as long as the time before, with jitter, and never less than was asked."""
        self.failures, self.reason = self.failures + 1, problem.reason
        wait = min(self.longest, self.shortest * 2 ** min(self.failures - 1, 16))
        wait = max(wait * (0.5 + self.chance() / 2), min(problem.retry_after, 86_400))
        self.next_at = now + timedelta(seconds=wait)


def number(value: object) -> float | None:
    """A number that a provider sent, as such or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        parsed = float(value)
    except (ValueError, OverflowError):
        return None
    return parsed if abs(parsed) < float("inf") else None
