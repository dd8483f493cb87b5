"""HTTP requests to data providers: time and size limits, and errors that contain no URL."""

import json
import logging
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx  # its import takes 0.1 s, so it is imported at the first request

MAX_RESPONSE_BYTES = 1_000_000

REQUEST_TIMEOUT_SECONDS = 5.0

MAX_CONCURRENT_REQUESTS = 4
"""Requests to one provider that run in parallel."""


class ProviderError(Exception):
    """The provider gave no usable response.

    The reason continues a sentence that begins with the provider's name. It has no URL: some URLs
    contain a key.
    """

    def __init__(self, reason: str, retry_after_seconds: float = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


@cache
def provider_client() -> "httpx.AsyncClient":
    """The HTTP client of this process; creating one reads all certificates of the machine."""
    import httpx

    # httpx logs each URL at INFO, and the URLs of weatherapi.com contain the key.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return httpx.AsyncClient(
        timeout=REQUEST_TIMEOUT_SECONDS,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=2 * MAX_CONCURRENT_REQUESTS),
        headers={"User-Agent": "townsquare"},
    )


async def fetch_json(
    client: "httpx.AsyncClient",
    url: str,
    query: Mapping[str, str],
    headers: Mapping[str, str] | None = None,
) -> Any:
    """The JSON of a response with status 200. Redirects are not followed. Raises ProviderError."""
    import httpx
    from opentelemetry.instrumentation.utils import suppress_http_instrumentation

    try:
        with suppress_http_instrumentation():  # Telemetry would record the URL with the key.
            async with client.stream("GET", url, params=query, headers=headers) as response:
                body = await _read_body(response)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProviderError(f"cannot be reached ({type(error).__name__})") from None
    if response.status_code != 200:
        raise ProviderError(
            f"answered with HTTP {response.status_code}", _retry_after_seconds(response)
        )
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ProviderError("sent a response that is not JSON") from None


async def _read_body(response: "httpx.Response") -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            raise ProviderError(f"sent a response of more than {MAX_RESPONSE_BYTES} bytes")
    return body


def _retry_after_seconds(response: "httpx.Response") -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else 0


def parse_number(value: object) -> float | None:
    """A finite number from a number or its text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        parsed = float(value)
    except (ValueError, OverflowError):
        return None
    return parsed if abs(parsed) < float("inf") else None
