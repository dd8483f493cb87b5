"""A proxy that drops responses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from yarl import URL

from tests.http_server import serve

HOP_BY_HOP = {"transfer-encoding", "content-length", "connection", "keep-alive", "content-encoding"}


@dataclass
class Proxy:
    """Forwards requests. Drops the responses of the next `lose` POST requests."""

    url: str = ""
    lose: int = 0
    lost: int = 0


@asynccontextmanager
async def losing_proxy(target: str) -> AsyncIterator[Proxy]:
    proxy = Proxy()

    def target_url(request: web.BaseRequest) -> URL:
        """The unchanged URL, because the signature of a request covers it."""
        return URL(target + request.raw_path, encoded=True)

    async with aiohttp.ClientSession(
        auto_decompress=False, skip_auto_headers=["Content-Type"]
    ) as client:

        async def forward(request: web.BaseRequest) -> web.StreamResponse:
            body = await request.read()
            async with client.request(
                request.method, target_url(request), headers=request.headers, data=body
            ) as response:
                content = await response.read()
            if request.method == "POST" and proxy.lose:
                proxy.lose -= 1
                proxy.lost += 1
                assert request.transport
                request.transport.abort()
            headers = {k: v for k, v in response.headers.items() if k.lower() not in HOP_BY_HOP}
            return web.Response(status=response.status, headers=headers, body=content)

        async with serve(forward) as proxy.url:
            yield proxy
