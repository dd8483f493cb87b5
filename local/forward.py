"""One address for the app and Web PubSub, so that a tunnel needs to forward only one port.

    python -m local.forward --port 7070 --app URL --webpubsub URL --public-url URL

`/client/` goes to Web PubSub, everything else to the app. Host and Origin are set to those of the
target, because both targets refuse other hosts. No request header decides where browsers connect:
that is the setting WEBPUBSUB_CLIENT_ENDPOINT.
"""

import argparse
import asyncio
import os
from collections.abc import Mapping

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

ADDRESS = "127.0.0.1"
MAX_BODY_BYTES = 100 * 1024 * 1024

_HOP_BY_HOP = {"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding"}
_HANDSHAKE = {
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "upgrade",
}


def codespace_url(port: int, environ: Mapping[str, str] = os.environ) -> str | None:
    """The address that GitHub Codespaces gives to a port of this machine; elsewhere None.

    docs.github.com/codespaces/developing-in-a-codespace/forwarding-ports-in-your-codespace
    """
    name = environ.get("CODESPACE_NAME")
    domain = environ.get("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN")
    if environ.get("CODESPACES") != "true" or not name or not domain:
        return None
    return f"https://{name}-{port}.{domain}"


class Forwarder:
    """Forwards HTTP requests to the app, and WebSockets to Web PubSub."""

    def __init__(self, app: str, webpubsub: str, own_origins: frozenset[str]) -> None:
        self._app = URL(app)
        self._webpubsub = URL(webpubsub)
        self._own_origins = own_origins

    async def handle(self, request: web.Request) -> web.StreamResponse:
        is_client = request.path.startswith("/client/")
        base = self._webpubsub if is_client else self._app
        url = URL(f"{base.origin()}{request.raw_path}", encoded=True)
        headers = self._target_headers(request.headers, base)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._forward_socket(request, url, headers)
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                url,
                headers=headers,
                data=await request.read(),
                allow_redirects=False,
            ) as response,
        ):
            headers = _without(response.headers, _HOP_BY_HOP)
            return web.Response(status=response.status, headers=headers, body=await response.read())

    def _target_headers(self, headers: Mapping[str, str], base: URL) -> CIMultiDict[str]:
        """The request's headers, as a browser would send them to the target itself."""
        sent = _without(headers, _HOP_BY_HOP | _HANDSHAKE)
        sent["Host"] = base.authority
        if headers.get("Origin") in self._own_origins:
            sent["Origin"] = str(base.origin())
        return sent

    async def _forward_socket(
        self, request: web.Request, url: URL, headers: CIMultiDict[str]
    ) -> web.StreamResponse:
        """Connect to the target first: if it refuses, the client gets its status."""
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        protocols = [one.strip() for one in offered.split(",") if one.strip()]
        async with aiohttp.ClientSession() as session:
            try:
                target = await session.ws_connect(
                    url, protocols=protocols, headers=headers, max_msg_size=0
                )
            except aiohttp.WSServerHandshakeError as error:
                return web.Response(status=error.status, text=error.message)
            chosen = [target.protocol] if target.protocol else []
            client = web.WebSocketResponse(protocols=chosen, max_msg_size=0)
            await client.prepare(request)
            ways = [
                asyncio.create_task(_copy(client, target)),
                asyncio.create_task(_copy(target, client)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await target.close(code=client.close_code or aiohttp.WSCloseCode.GOING_AWAY)
            await client.close(code=target.close_code or aiohttp.WSCloseCode.GOING_AWAY)
            return client


Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _copy(source: Socket, target: Socket) -> None:
    """Copies messages until the source is closed."""
    async for message in source:
        if message.type is aiohttp.WSMsgType.TEXT:
            await target.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await target.send_bytes(message.data)


def _without(headers: Mapping[str, str], names: set[str]) -> CIMultiDict[str]:
    return CIMultiDict((k, v) for k, v in headers.items() if k.lower() not in names)


async def start_forwarder(
    port: int, app: str, webpubsub: str, public_url: str = ""
) -> web.AppRunner:
    """A started forwarder; the caller cleans it up."""
    own = frozenset({f"http://localhost:{port}", f"http://{ADDRESS}:{port}", public_url})
    application = web.Application(client_max_size=MAX_BODY_BYTES)
    application.router.add_route("*", "/{path:.*}", Forwarder(app, webpubsub, own).handle)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, ADDRESS, port).start()
    return runner


async def serve(port: int, app: str, webpubsub: str, public_url: str) -> None:
    """Forwards until it is cancelled."""
    runner = await start_forwarder(port, app, webpubsub, public_url)
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m local.forward",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--app", required=True, metavar="URL")
    parser.add_argument("--webpubsub", required=True, metavar="URL")
    parser.add_argument("--public-url", default="", metavar="URL")
    given = parser.parse_args()
    try:
        asyncio.run(serve(given.port, given.app, given.webpubsub, given.public_url))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
