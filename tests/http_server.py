"""HTTP servers of tests, on free ports."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serve(
    handle: Handler, host: str = "127.0.0.1", certificate: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A server that calls one function for each request. Yields its URL.

    With a certificate, which is for localhost, it serves https.
    """
    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    try:
        await web.TCPSite(runner, host, 0, ssl_context=certificate).start()
        origin = "https://localhost" if certificate else f"http://{host}"
        yield f"{origin}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
