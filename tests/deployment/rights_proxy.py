"""A proxy of Azurite or the emulator that responds 403 to operations the roles do not allow.

    python -m tests.deployment.rights_proxy tables    LISTEN_PORT TARGET_URL [ROLE_ID ...]
    python -m tests.deployment.rights_proxy webpubsub LISTEN_PORT TARGET_URL [ROLE_ID ...]

Without role ids the roles are those of infra/storage.bicep and infra/webpubsub.bicep. A rejected
operation is printed as `refused: <operation>`. WebSocket connections are forwarded. For a target
with https the proxy serves https, too, with the certificate in the folder $ENTRA_TESTS_FOLDER.
"""

import asyncio
import contextlib
import os
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from aiohttp import web
from yarl import URL

from tests.deployment import rights
from tests.deployment.bicep import read
from tests.proxy import HOP_BY_HOP

FILES = {"tables": "storage", "webpubsub": "webpubsub"}


class RightsProxy:
    """Forwards the requests that the roles allow."""

    def __init__(self, service: str, target: str, roles: Sequence[rights.Role]) -> None:
        self._service = service
        self._target = target
        self._roles = roles

    async def run(self, port: int) -> None:
        async with aiohttp.ClientSession(
            auto_decompress=False,
            skip_auto_headers=["Content-Type"],
            connector=aiohttp.TCPConnector(limit=0),
        ) as self._client:
            runner = web.ServerRunner(web.Server(self._forward))
            await runner.setup()
            tls = _load_certificate() if self._target.startswith("https:") else None
            await web.TCPSite(runner, "localhost", port, ssl_context=tls).start()
            print("ready", flush=True)
            await asyncio.Event().wait()

    async def _forward(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._connect(request)
        body = await request.read()
        for operation, needed in self._needs(request, body):
            if not rights.is_allowed(needed, self._roles):
                print(f"refused: {operation}", flush=True)
                error = {"code": "AuthorizationPermissionMismatch", "message": {"value": operation}}
                return web.json_response({"odata.error": error}, status=403)
        async with self._client.request(
            request.method, self._url(request), headers=request.headers, data=body
        ) as response:
            content = await response.read()
        headers = {k: v for k, v in response.headers.items() if k.lower() not in HOP_BY_HOP}
        return web.Response(status=response.status, headers=headers, body=content)

    def _needs(self, request: web.BaseRequest, body: bytes) -> list[tuple[str, rights.AnyOf]]:
        target = str(request.raw_path)
        if self._service == "webpubsub":
            return rights.webpubsub_needs(request.method, target)
        headers = {name.lower(): value for name, value in request.headers.items()}
        return rights.table_needs(request.method, target, headers, body)

    async def _connect(self, request: web.BaseRequest) -> web.StreamResponse:
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        protocols = [one.strip() for one in offered.split(",") if one.strip()]
        try:
            upstream = await self._client.ws_connect(
                self._url(request),
                protocols=protocols,
                headers={"Host": request.host},
                max_msg_size=0,
            )
        except aiohttp.WSServerHandshakeError as error:
            return web.Response(status=error.status)
        chosen = [upstream.protocol] if upstream.protocol else []
        downstream = web.WebSocketResponse(protocols=chosen, max_msg_size=0)
        await downstream.prepare(request)
        pumps = {
            asyncio.ensure_future(_pump(upstream, downstream)),
            asyncio.ensure_future(_pump(downstream, upstream)),
        }
        _, pending = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        await upstream.close()
        await downstream.close()
        for one in pending:
            one.cancel()
        return downstream

    def _url(self, request: web.BaseRequest) -> URL:
        """The unchanged URL, because the signature of a request covers it."""
        return URL(self._target + request.raw_path, encoded=True)


def _load_certificate() -> ssl.SSLContext:
    folder = Path(os.environ["ENTRA_TESTS_FOLDER"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


WebSocket = aiohttp.ClientWebSocketResponse | web.WebSocketResponse


async def _pump(source: WebSocket, sink: WebSocket) -> None:
    async for message in source:
        if message.type is aiohttp.WSMsgType.TEXT:
            await sink.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await sink.send_bytes(message.data)
    code = source.close_code
    if code and code not in {1005, 1006, 1015}:
        await sink.close(code=code)


def main() -> None:
    service, port, target, *identifiers = sys.argv[1:]
    chosen = [rights.ROLES[one] for one in identifiers]
    roles = chosen or rights.assigned_roles(read(FILES[service]))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(RightsProxy(service, target.rstrip("/"), roles).run(int(port)))


if __name__ == "__main__":
    main()
