"""A server between a browser and the app: another site, or the platform's front end."""

from collections.abc import Mapping

import aiohttp
from aiohttp import web

FORWARDED = ("Authorization", "Content-Type", "Sec-Fetch-Site", "If-None-Match")


class Forwarder:
    """Forwards requests to the app with selected headers and added ones."""

    def __init__(self, app_url: str, client: aiohttp.ClientSession) -> None:
        self._app_url = app_url
        self._client = client

    async def forward(
        self, request: web.BaseRequest, added: Mapping[str, str] | None = None
    ) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in FORWARDED if name in request.headers}
        url = f"{self._app_url}{request.path_qs}"
        body = await request.read()
        async with self._client.request(
            request.method, url, headers={**headers, **(added or {})}, data=body
        ) as response:
            content = await response.read()
            stored = {
                name: response.headers[name]
                for name in ("Content-Security-Policy", "ETag")
                if name in response.headers
            }
            return web.Response(
                status=response.status,
                body=content,
                content_type=response.content_type,
                headers=stored,
            )
