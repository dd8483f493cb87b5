"""A running emulator, WebSocket clients, and an event handler for the tests."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import aiohttp
import webpubsub_emulator
from aiohttp import web
from azure.messaging.webpubsubservice import WebPubSubServiceClient
from webpubsub_emulator import Handler, Server, Settings
from webpubsub_emulator.upstream import UpstreamTimeouts

JSON = "json.webpubsub.azure.v1"
RELIABLE = "json.reliable.webpubsub.azure.v1"
HUB = "chat"
GROUP_ROLES = ("webpubsub.joinLeaveGroup", "webpubsub.sendToGroup")
TIMEOUT_SECONDS = 30.0
SHORT_TIMEOUTS = UpstreamTimeouts(retries=(0.01, 0.02, 0.03), total=5.0)


class ClientSocket:
    """One open WebSocket."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self.websocket = websocket
        self.connected: dict[str, Any] = {}

    @property
    def id(self) -> str:
        return str(self.connected["connectionId"])

    async def send(self, **message: Any) -> None:
        await self.websocket.send_str(json.dumps(message, ensure_ascii=False))

    async def receive(self) -> Any:
        """Receive a message: an object for JSON clients, else text or bytes."""
        message = await self.websocket.receive(TIMEOUT_SECONDS)
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
        if self.websocket.protocol in (JSON, RELIABLE):
            return json.loads(message.data)
        return message.data

    async def assert_no_message(self) -> None:
        """Assert that no message is pending: the response to a ping arrives first."""
        await self.send(type="ping")
        assert await self.receive() == {"type": "pong"}

    async def receive_close(self) -> tuple[int, str]:
        """Wait for the close frame. Returns its code and reason."""
        while True:
            message = await self.websocket.receive(TIMEOUT_SECONDS)
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data, message.extra or ""
            assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message

    async def close(self, code: int = 1000) -> None:
        await self.websocket.close(code=code)


class EventHandlerApp:
    """An event handler that records its requests and sends the responses that a test sets."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: asyncio.Queue[web.Request] = asyncio.Queue()
        self.validations = 0
        self.allowed_origin = "*"
        self.responses: dict[str, Callable[[web.Request], web.Response]] = {}

    async def receive(self, event: str) -> web.Request:
        """The next event of this name; others are skipped."""
        while True:
            request = await asyncio.wait_for(self.requests.get(), TIMEOUT_SECONDS)
            if request.headers["ce-eventName"] == event:
                return request

    async def handle(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            self.validations += 1
            return web.Response(headers={"WebHook-Allowed-Origin": self.allowed_origin})
        await request.read()
        self.requests.put_nowait(request)
        respond = self.responses.get(request.headers["ce-eventName"])
        return respond(request) if respond else web.Response(status=204)


class RunningEmulator:
    """A running emulator, with WebSocket, REST and SDK clients."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.http = http
        # An unreferenced client would be garbage-collected, which closes its socket.
        self._open: list[ClientSocket] = []

    def service(self, hub: str = HUB) -> WebPubSubServiceClient:
        return WebPubSubServiceClient.from_connection_string(
            self.server.connection_string, hub=hub, retry_total=0
        )

    def url(self, user: str | None = None, hub: str = HUB, **claims: Any) -> str:
        url: str = self.service(hub).get_client_access_token(user_id=user, **claims)["url"]
        return url

    async def connect(
        self,
        user: str | None = None,
        *,
        protocol: str | None = JSON,
        hub: str = HUB,
        query: str = "",
        **claims: Any,
    ) -> ClientSocket:
        """Connect a client; `roles` and `groups` are claims of its token."""
        return await self.open(self.url(user, hub, **claims) + query, protocol)

    async def open(self, url: str, protocol: str | None = JSON) -> ClientSocket:
        protocols = (protocol,) if protocol else ()
        # No limit in the client: the tests are about the emulator's limits.
        client = ClientSocket(await self.http.ws_connect(url, protocols=protocols, max_msg_size=0))
        self._open.append(client)
        if client.websocket.protocol in (JSON, RELIABLE):
            client.connected = await client.receive()
        return client

    async def reconnect(self, client: ClientSocket, **changed: str) -> ClientSocket:
        """Recover a reliable connection on a new socket."""
        query = {
            "awps_connection_id": client.id,
            "awps_reconnection_token": client.connected["reconnectionToken"],
        } | changed
        encoded = "&".join(f"{name}={value}" for name, value in query.items())
        return await self.open(f"{self.server.endpoint}/client/hubs/{HUB}?{encoded}", RELIABLE)

    async def drop_connections(self, **selection: str) -> None:
        """Abort sockets, and wait until the emulator has detected it."""
        self.server.drop_connections(**selection)

        async def is_detected() -> bool:
            return self.server.drop_connections(**selection) == 0

        await wait_until(is_detected)

    async def call(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the blocking SDK without blocking the emulator in this process."""
        return await asyncio.to_thread(call, *args, **kwargs)


@contextlib.asynccontextmanager
async def run_emulator(**options: Any) -> AsyncIterator[RunningEmulator]:
    """Start an emulator for one test."""
    options = {"timeouts": SHORT_TIMEOUTS} | options
    async with webpubsub_emulator.serve(**options) as server, aiohttp.ClientSession() as http:
        yield RunningEmulator(server, http)


@contextlib.asynccontextmanager
async def run_event_handler() -> AsyncIterator[EventHandlerApp]:
    """Start an event handler."""
    handler = EventHandlerApp()
    app = web.Application(client_max_size=32 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", handler.handle)
    async with serve_app(app) as url:
        handler.url = f"{url}/events"
        yield handler


@contextlib.asynccontextmanager
async def serve_app(app: web.Application, **options: Any) -> AsyncIterator[str]:
    runner = web.AppRunner(app, shutdown_timeout=0.1, **options)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def handler_settings(
    *urls: str,
    system: Sequence[str] = ("connect", "connected", "disconnected"),
    pattern: str = "*",
) -> Settings:
    return Settings({HUB: tuple(Handler(url, frozenset(system), pattern) for url in urls)})


async def wait_until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Check the condition until it is true. Raises TimeoutError."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await condition():  # noqa: ASYNC110 - the condition sends requests
            await asyncio.sleep(0.02)
