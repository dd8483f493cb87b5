"""The emulator on the network: every listening socket and every outgoing HTTP call is here."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TypedDict, Unpack

import aiohttp
from aiohttp import web

from webpubsub_emulator import rest_api, tokens
from webpubsub_emulator.cloud_events import LARGEST_ANSWER, Answer
from webpubsub_emulator.event_handlers import Patience, UnreachableError, Webhook
from webpubsub_emulator.faults import Fault, Faults
from webpubsub_emulator.hub import RETENTION_SECONDS, Connection
from webpubsub_emulator.quota import Quota
from webpubsub_emulator.rest_request import (
    API_VERSIONS,
    LARGEST_BODY,
    RestAnswer,
    RestCall,
    bad_request,
    refusal,
    too_large,
)
from webpubsub_emulator.service import Service
from webpubsub_emulator.settings import InvalidSettingsError, Settings, load_settings
from webpubsub_emulator.tokens import Keys, TokenError
from webpubsub_emulator.websocket import PING_SECONDS, ClientDoor, refuse

logger = logging.getLogger(__name__)

_SWEEP_SECONDS = 0.2
_RELOAD_SECONDS = 0.5
_FAREWELL_SECONDS = 1.0
# Tokens with many groups and roles make long request lines.
_LONGEST_LINE = 64 * 1024
# Express and uvicorn hang up after 5 idle seconds; a post must not meet that moment.
_KEEPALIVE_SECONDS = 3.0
_BACKLOG = 4096


class Options(TypedDict, total=False):
    """What can be ordered beyond the service's own settings."""

    retention: float
    """Seconds for which a lost reliable client is waited for."""
    patience: Patience
    """Deadlines and retries of calls to event handlers."""
    quota: Quota
    """Limits of the Free tier; without one there are none."""
    strict: bool
    """A failed event costs a JSON client its connection, as the documentation has it."""
    admin: bool
    """Open /emulator/faults and /emulator/cut to this machine."""
    clock: Callable[[], float]
    ping_seconds: float


class Server:
    """A running emulator. `connection_string` is what an application needs to use it."""

    def __init__(
        self,
        keys: Keys,
        settings: Settings,
        http: aiohttp.ClientSession,
        endpoint: str,
        port: int,
        *,
        retention: float = RETENTION_SECONDS,
        patience: Patience | None = None,
        quota: Quota | None = None,
        strict: bool = False,
        admin: bool = False,
        clock: Callable[[], float] = time.monotonic,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        self.endpoint = endpoint
        self.port = port
        self.faults = Faults()
        self.service = Service(
            keys, endpoint, farewell=self._farewell, clock=clock, retention=retention
        )
        self._keys = keys
        self._http = http
        self._quota = quota
        self._webhook = Webhook(
            self._call,
            settings,
            keys,
            tokens.host_of(endpoint),
            self.faults,
            patience=patience or Patience(),
            clock=clock,
        )
        self._door = ClientDoor(
            self.service,
            self._webhook,
            self.faults,
            quota,
            strict=strict,
            ping_seconds=ping_seconds,
        )
        self.app = web.Application(client_max_size=LARGEST_BODY + 1)
        self.app.router.add_get("/client/hubs/{hub}", self._door.enter)
        self.app.router.add_get("/client", self._door.enter)
        self.app.router.add_get("/client/", self._door.enter)
        self.app.router.add_get("/api/health", self._health)
        self.app.router.add_route("*", "/api/hubs/{rest:.*}", self._rest)
        if admin:
            self.app.router.add_post("/emulator/faults", self._order_fault)
            self.app.router.add_post("/emulator/cut", self._order_cut)
        self.app.on_response_prepare.append(_add_versions)
        self.app.on_shutdown.append(self._shut_down)

    @property
    def connection_string(self) -> str:
        return tokens.connection_string(self.endpoint, self._keys)

    def configure(self, settings: Settings) -> None:
        """Change the event handlers; nobody is disconnected."""
        self._webhook.configure(settings)

    def cut(self, *, hub: str | None = None, user_id: str | None = None) -> int:
        """Cut sockets as a bad network does: no close frame, no goodbye. Returns how many."""
        return self._door.cut(hub, user_id)

    async def watch(self, file: Path | None) -> None:
        """Everything that happens by the clock: time-outs, and a settings file that was edited."""
        seen = _edited_at(file)
        checked = time.monotonic()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self.service.sweep()
            if file is None or time.monotonic() - checked < _RELOAD_SECONDS:
                continue
            checked = time.monotonic()
            if _edited_at(file) != seen:
                seen = _edited_at(file)
                self._reload(file)

    def _reload(self, file: Path) -> None:
        try:
            self.configure(load_settings(file))
        except InvalidSettingsError as error:
            logger.warning("the settings stay as they were: %s", error)
        else:
            logger.info("settings reloaded from %s", file)

    def _farewell(self, connection: Connection, reason: str) -> None:
        logger.info("connection %s is over", connection.id)
        self._webhook.disconnected(connection, reason)

    # The application's door

    async def _health(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's shape
        return web.Response()

    async def _rest(self, request: web.Request) -> web.Response:
        raw_path, _, query = request.raw_path.partition("?")
        token = tokens.bearer(request.headers.get("Authorization", ""))
        hosts = self.service.hosts(request.host)
        try:
            tokens.check_rest_token(token, self._keys, hosts, raw_path)
        except TokenError as error:
            return refuse(401, str(error))
        fault = self.faults.take("rest")
        if fault is not None:
            suffered = await _suffer(fault, request)
            if suffered is not None:
                return suffered
        if self._quota and raw_path.endswith(":send") and self._quota.is_spent:
            return refuse(429, "the Free tier has no messages left today")
        if request.content_length is None and request.can_read_body:
            return _response(request, refusal(bad_request("Invalid Content-Length header.")))
        if (request.content_length or 0) > LARGEST_BODY:
            return _response(request, refusal(too_large()))
        call = RestCall(
            request.method,
            raw_path,
            query,
            tuple(request.headers.items()),
            await request.read(),
            f"{request.scheme}://{request.host}",
        )
        return _response(request, rest_api.answer(self.service, call))

    # Out to the application

    async def _call(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if self._quota:
            self._quota.spend(len(body))
        try:
            async with self._http.request(
                method, url, headers=headers, data=body or None, allow_redirects=False
            ) as response:
                answer = await _read_at_most(response, LARGEST_ANSWER + 1)
                return Answer(response.status, tuple(response.headers.items()), answer)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UnreachableError(type(error).__name__) from error

    # Trouble to order

    async def _order_fault(self, request: web.Request) -> web.Response:
        """POST /emulator/faults {"target", "action", "count"?, "seconds"?, "status"?}"""
        _only_from_here(request)
        try:
            self.faults.order(Fault(**await request.json()))
        except (TypeError, ValueError) as error:
            return web.Response(status=400, text=str(error))
        return web.Response(status=204)

    async def _order_cut(self, request: web.Request) -> web.Response:
        """POST /emulator/cut {"hub"?, "user_id"?}"""
        _only_from_here(request)
        try:
            count = self.cut(**(await request.json() if request.can_read_body else {}))
        except (TypeError, ValueError) as error:
            return web.Response(status=400, text=str(error))
        return web.json_response({"cut": count})

    async def _shut_down(self, app: web.Application) -> None:  # noqa: ARG002 - aiohttp's shape
        await self._door.close()
        await self._webhook.finish(_FAREWELL_SECONDS)


@contextlib.asynccontextmanager
async def serve(
    *,
    port: int = 0,
    host: str = "localhost",
    access_key: str | None = None,
    secondary_key: str | None = None,
    settings: Settings | Path | None = None,
    endpoint: str | None = None,
    **options: Unpack[Options],
) -> AsyncIterator[Server]:
    """Run the emulator in this process; port 0 takes a free one.

    `settings` is a value or a file; a file is read again whenever it changes. `endpoint` is the
    address that applications use, if it is not http://localhost:port.
    """
    file = settings if isinstance(settings, Path) else None
    handlers = load_settings(file) if file else settings
    handlers = handlers if isinstance(handlers, Settings) else Settings()
    keys = Keys(access_key or handlers.access_key or tokens.DEFAULT_KEY, secondary_key)
    listeners = _listen_on(host, port)
    port = listeners[0].getsockname()[1]
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_SECONDS)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
    ) as http:
        server = Server(
            keys, handlers, http, endpoint or f"http://localhost:{port}", port, **options
        )
        runner = web.AppRunner(
            server.app,
            access_log=None,
            handler_cancellation=True,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            shutdown_timeout=1.0,
        )
        await runner.setup()
        clock = asyncio.get_running_loop().create_task(server.watch(file))
        try:
            for listener in listeners:
                await web.SockSite(runner, listener, backlog=_BACKLOG).start()
            yield server
        finally:
            clock.cancel()
            await runner.cleanup()


def _listen_on(host: str, port: int) -> list[socket.socket]:
    """`localhost` means both families where the machine has both."""
    if host != "localhost":
        return [_bound(host, port)]
    first = _bound("127.0.0.1", port)
    with contextlib.suppress(OSError):
        return [first, _bound("::1", first.getsockname()[1])]
    return [first]


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)


def _response(request: web.Request, answer: RestAnswer) -> web.Response:
    # `No` is a normal answer to HEAD; any other refusal is worth a line.
    if answer.status >= 400 and request.method != "HEAD":
        place = "/".join(request.path.split("/")[:5])
        why = (answer.status, answer.error_code, answer.reason)
        logger.warning("%s %s refused: %d %s %s", request.method, place, *why)
    headers = {"x-ms-error-code": answer.error_code} if answer.error_code else None
    content_type = "application/json" if answer.body else None
    return web.Response(
        status=answer.status, body=answer.body, headers=headers, content_type=content_type
    )


async def _suffer(fault: Fault, request: web.Request) -> web.Response | None:
    """Do to a REST request what was ordered; None lets it go on."""
    if fault.action == "refuse":
        return refuse(fault.status, "a fault was ordered")
    if fault.action == "drop":
        if request.transport is not None:
            request.transport.abort()
        return refuse(fault.status, "a fault was ordered: dropped")
    await asyncio.sleep(fault.seconds)
    return None


def _only_from_here(request: web.Request) -> None:
    if not ipaddress.ip_address(request.remote or "0.0.0.0").is_loopback:  # noqa: S104 - unknown
        raise web.HTTPForbidden


def _edited_at(file: Path | None) -> int | None:
    try:
        return file.stat().st_mtime_ns if file else None
    except OSError:
        return None


async def _read_at_most(response: aiohttp.ClientResponse, size: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= size:
            response.close()
            break
    return bytes(body[:size])


async def _add_versions(request: web.Request, response: web.StreamResponse) -> None:
    if request.path.startswith("/api/"):
        response.headers["api-supported-versions"] = ", ".join(API_VERSIONS)
