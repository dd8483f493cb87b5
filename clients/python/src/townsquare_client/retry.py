"""What follows from the outcome of a request: its result, an error, or another attempt."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import httpx

from townsquare_client.errors import (
    ApiError,
    ConnectionFailedError,
    UnexpectedResponseError,
    parse_api_error,
)
from townsquare_client.operations import Request

T = TypeVar("T")

FIRST_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 8.0

MAX_RETRY_AFTER_SECONDS = 30.0
"""A longer wait is the caller's decision: the error has its length."""

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_REFUSED_CODES = {"rate_limited", "busy"}
"""Errors of requests that had no effect, so that even one that is not repeatable is sent again."""


@dataclass(frozen=True)
class Result(Generic[T]):
    value: T


@dataclass(frozen=True)
class RetryPolicy:
    """`retries` is the number of attempts after the first one; `chance` gives 0 to 1 for jitter."""

    retries: int
    chance: Callable[[], float]

    def decide(
        self, request: Request[T], outcome: httpx.Response | httpx.RequestError, attempt: int
    ) -> Result[T] | float:
        """The result, or the seconds until the next attempt. Raises TownsquareError.

        `attempt` counts from 0.
        """
        if isinstance(outcome, httpx.TransportError):
            if attempt < self.retries and (request.repeatable or isinstance(outcome, _NOT_SENT)):
                return self.delay(attempt)
            raise ConnectionFailedError(
                f"{request.method} {request.path}: {type(outcome).__name__}"
            ) from outcome
        if isinstance(outcome, httpx.RequestError):  # The response cannot be decoded.
            raise UnexpectedResponseError(
                f"{request.method} {request.path}: {type(outcome).__name__}"
            ) from outcome
        if outcome.is_success:
            return Result(_parse(request, outcome))
        error = parse_api_error(outcome)
        if attempt and request.already_done and error.code == request.already_done:
            return Result(request.parse(b""))
        if attempt < self.retries and self._may_retry(request, error):
            return max(self.delay(attempt), error.retry_after or 0.0)
        raise error

    def delay(self, attempt: int) -> float:
        """Seconds before another attempt, with full jitter."""
        return self.chance() * min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0**attempt)

    def _may_retry(self, request: Request[T], error: ApiError) -> bool:
        if not error.retry or (error.retry_after or 0.0) > MAX_RETRY_AFTER_SECONDS:
            return False
        return request.repeatable or error.code in _REFUSED_CODES


def _parse(request: Request[T], response: httpx.Response) -> T:
    """The result of a success. Raises UnexpectedResponseError."""
    try:
        return request.parse(response.content)
    except (ValueError, KeyError) as error:  # JSON with invalid UTF-8 is no DecodeError.
        kind = response.headers.get("Content-Type", "no content type")
        raise UnexpectedResponseError(
            f"{request.method} {request.path}: expected a response of the app, "
            f"got status {response.status_code} with {kind}: {error}"
        ) from error
