"""The HTTP client of upstream calls."""

import contextlib
from collections.abc import AsyncIterator, Mapping

import aiohttp

from webpubsub_emulator.cloud_events import MAX_RESPONSE_BYTES, HandlerResponse
from webpubsub_emulator.quota import Quota
from webpubsub_emulator.upstream import UnreachableError

# Express and uvicorn close connections after 5 idle seconds; ours close earlier.
_KEEPALIVE_SECONDS = 3.0


class UpstreamHttp:
    """Sends requests to event handlers."""

    def __init__(self, session: aiohttp.ClientSession, quota: Quota | None = None) -> None:
        self._session = session
        self._quota = quota

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> HandlerResponse:
        """Send one request; raises UnreachableError."""
        if self._quota:
            self._quota.add_bytes(len(body))
        try:
            async with self._session.request(
                method, url, headers=headers, data=body or None, allow_redirects=False
            ) as response:
                content = await _read_at_most(response, MAX_RESPONSE_BYTES + 1)
                return HandlerResponse(response.status, tuple(response.headers.items()), content)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UnreachableError(type(error).__name__) from error


@contextlib.asynccontextmanager
async def open_session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session without limits of its own: the timeouts and cookies are the service's."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        yield session


async def _read_at_most(response: aiohttp.ClientResponse, size: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= size:
            response.close()
            break
    return bytes(body[:size])
