"""The HTTP transport that every Azure client of the app uses.

azure-core's default lets aiohttp read the proxy settings of the environment for each request, in a
thread, and closes a connection that was idle for 15 seconds. Here the environment is read again
for each request only where it names a proxy, and an idle connection stays open longer.
"""

import sys
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport

USER_AGENT = f"townsquare Python/{sys.version_info.major}.{sys.version_info.minor}"
"""What the clients send as `User-Agent`. azure-core would describe the platform, for which Python
starts the program `uname` in each new process."""

KEEPALIVE_SECONDS = 60.0
"""How long an idle connection to Azure stays open. The services close theirs later, so no request
is sent on a connection that the service is closing."""

LOCAL_KEEPALIVE_SECONDS = 4.0
"""The same for the local servers, which speak plain HTTP: Azurite closes after 5 seconds."""


class Transport(AioHttpTransport):  # type: ignore[misc] # azure-core exports it without a type
    """azure-core's transport over aiohttp, with a session of our settings."""

    session: aiohttp.ClientSession | None

    def __init__(self, endpoint: str, **config: Any) -> None:
        super().__init__(**config)
        self._endpoint = endpoint
        self._closed = False

    async def open(self) -> None:
        """Make the session, which needs the running event loop."""
        if self._closed:
            raise ValueError("The client was closed.")
        if self.session is None:
            self.session = _make_session(self._endpoint)
        await super().open()

    async def close(self) -> None:
        self._closed = True
        await super().close()


def make_transport(endpoint: str, **config: Any) -> Transport:
    """A transport for one client of the service at this address: `Client(..., transport=...)`.

    `config` is azure-core's: connection_timeout, read_timeout, connection_verify.
    """
    return Transport(endpoint, **config)


def uses_proxy(endpoint: str) -> bool:
    """Whether the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) names a proxy for an address."""
    address = urlsplit(endpoint)
    return address.scheme in getproxies() and not proxy_bypass(address.hostname or "")


def _make_session(endpoint: str) -> aiohttp.ClientSession:
    local = urlsplit(endpoint).scheme == "http"
    keepalive_timeout = LOCAL_KEEPALIVE_SECONDS if local else KEEPALIVE_SECONDS
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(keepalive_timeout=keepalive_timeout),
        trust_env=uses_proxy(endpoint),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # azure-core does it
    )
