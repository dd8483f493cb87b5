"""A desk to test the Web PubSub emulator on: a running emulator, browsers, and an application."""

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
from webpubsub_emulator.event_handlers import Patience

JSON = "json.webpubsub.azure.v1"
RELIABLE = "json.reliable.webpubsub.azure.v1"
HUB = "chat"
TALKER = ("webpubsub.joinLeaveGroup", "webpubsub.sendToGroup")
DEADLINE = 5.0
IMPATIENT = Patience(retries=(0.01, 0.02, 0.03), total=5.0)


class Clock:
    """A clock that the test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Browser:
    """One open WebSocket."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self.websocket = websocket
        self.connected: dict[str, Any] = {}

    @property
    def id(self) -> str:
        return str(self.connected["connectionId"])

    async def says(self, **message: Any) -> None:
        await self.websocket.send_str(json.dumps(message, ensure_ascii=False))

    async def hears(self) -> Any:
        """The next message: an object for JSON, else the text or the bytes as they came."""
        message = await self.websocket.receive(DEADLINE)
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
        if self.websocket.protocol in (JSON, RELIABLE):
            return json.loads(message.data)
        return message.data

    async def hears_nothing(self) -> None:
        """Nothing is on its way: a ping is answered first."""
        await self.says(type="ping")
        assert await self.hears() == {"type": "pong"}

    async def is_closed(self) -> tuple[int, str]:
        """Wait for the end; returns code and reason of the close frame."""
        while True:
            message = await self.websocket.receive(DEADLINE)
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data, message.extra or ""
            assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message

    async def leaves(self, code: int = 1000) -> None:
        await self.websocket.close(code=code)


class Application:
    """The event handler: notes what it is told and answers what the test wants."""

    def __init__(self) -> None:
        self.url = ""
        self.told: asyncio.Queue[web.Request] = asyncio.Queue()
        self.validations = 0
        self.allowed_origin = "*"
        self.answers: dict[str, Callable[[web.Request], web.Response]] = {}

    async def hears(self, event: str) -> web.Request:
        """The next event of this name; others are skipped."""
        while True:
            request = await asyncio.wait_for(self.told.get(), DEADLINE)
            if request.headers["ce-eventName"] == event:
                return request

    async def handle(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            self.validations += 1
            return web.Response(headers={"WebHook-Allowed-Origin": self.allowed_origin})
        await request.read()
        self.told.put_nowait(request)
        answer = self.answers.get(request.headers["ce-eventName"])
        return answer(request) if answer else web.Response(status=204)


class Desk:
    """A running emulator and the means to talk to it."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.http = http
        # A browser that nobody holds is collected, and its socket closed with it.
        self._open: list[Browser] = []

    def service(self, hub: str = HUB) -> WebPubSubServiceClient:
        return WebPubSubServiceClient.from_connection_string(
            self.server.connection_string, hub=hub, retry_total=0
        )

    def url(self, user: str | None = None, hub: str = HUB, **claims: Any) -> str:
        url: str = self.service(hub).get_client_access_token(user_id=user, **claims)["url"]
        return url

    async def enter(
        self,
        user: str | None = None,
        *,
        protocol: str | None = JSON,
        hub: str = HUB,
        query: str = "",
        **claims: Any,
    ) -> Browser:
        """Come in; `roles` and `groups` go into the token."""
        return await self.open(self.url(user, hub, **claims) + query, protocol)

    async def open(self, url: str, protocol: str | None = JSON) -> Browser:
        protocols = (protocol,) if protocol else ()
        # Without limits on the client's side: what is tested are the emulator's.
        browser = Browser(await self.http.ws_connect(url, protocols=protocols, max_msg_size=0))
        self._open.append(browser)
        if browser.websocket.protocol in (JSON, RELIABLE):
            browser.connected = await browser.hears()
        return browser

    async def come_back(self, browser: Browser, **changed: str) -> Browser:
        """Recover a reliable connection on a new socket."""
        query = {
            "awps_connection_id": browser.id,
            "awps_reconnection_token": browser.connected["reconnectionToken"],
        } | changed
        given = "&".join(f"{name}={value}" for name, value in query.items())
        return await self.open(f"{self.server.endpoint}/client/hubs/{HUB}?{given}", RELIABLE)

    async def cut(self, **whom: str) -> None:
        """Cut sockets, and wait until the emulator has noticed."""
        self.server.cut(**whom)

        async def is_noticed() -> bool:
            return self.server.cut(**whom) == 0

        await eventually(is_noticed)

    async def ask(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the blocking SDK without blocking the emulator in this process."""
        return await asyncio.to_thread(call, *args, **kwargs)


@contextlib.asynccontextmanager
async def desk(**options: Any) -> AsyncIterator[Desk]:
    """Start an emulator of its own for one test."""
    options = {"patience": IMPATIENT} | options
    async with webpubsub_emulator.serve(**options) as server, aiohttp.ClientSession() as http:
        yield Desk(server, http)


@contextlib.asynccontextmanager
async def application() -> AsyncIterator[Application]:
    """Start an event handler."""
    handler = Application()
    app = web.Application(client_max_size=32 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", handler.handle)
    async with listening(app) as url:
        handler.url = f"{url}/events"
        yield handler


@contextlib.asynccontextmanager
async def listening(app: web.Application, **options: Any) -> AsyncIterator[str]:
    runner = web.AppRunner(app, shutdown_timeout=0.1, **options)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def handled_by(
    *urls: str,
    system: Sequence[str] = ("connect", "connected", "disconnected"),
    pattern: str = "*",
) -> Settings:
    return Settings({HUB: tuple(Handler(url, frozenset(system), pattern) for url in urls)})


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask again until it is so, for as long as the deadline."""
    async with asyncio.timeout(DEADLINE):
        while not await condition():  # noqa: ASYNC110 - asks a server
            await asyncio.sleep(0.02)
