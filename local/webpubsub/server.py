"""The emulator on the network: every listening socket and every outgoing HTTP call is here."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from local.webpubsub import knock, protocol, rest, tokens
from local.webpubsub.client import Client, RawMode
from local.webpubsub.faults import Fault, Faults
from local.webpubsub.hub import RETENTION_SECONDS, Connection, Hub
from local.webpubsub.names import is_hub
from local.webpubsub.outbox import WebSocketOutbox
from local.webpubsub.protocol import ProtocolError
from local.webpubsub.quota import Quota
from local.webpubsub.rest import RestAnswer, RestCall
from local.webpubsub.service import Service
from local.webpubsub.settings import InvalidSettingsError, Settings, load_settings
from local.webpubsub.tokens import Keys, TokenError
from local.webpubsub.upstream import LARGEST_ANSWER, Answer
from local.webpubsub.webhook import NotWelcomeError, Patience, UnreachableError, Webhook

logger = logging.getLogger(__name__)

LARGEST_MESSAGE = 1024 * 1024
_SWEEP_SECONDS = 0.2
_RELOAD_SECONDS = 0.5
_PING_SECONDS = 20.0
_FAREWELL_SECONDS = 5.0
# Tokens with many groups and roles make long request lines.
_LONGEST_LINE = 64 * 1024
_CLOSE_SECONDS = 5.0
_BACKLOG = 4096


class _RefusedError(Exception):
    """A client that stays outside; the reason is for the log."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Server:
    """A running emulator. `connection_string` is what an application needs to use it."""

    def __init__(
        self,
        keys: Keys,
        settings: Settings,
        http: aiohttp.ClientSession,
        endpoint: str,
        *,
        retention: float = RETENTION_SECONDS,
        patience: Patience | None = None,
        quota: Quota | None = None,
        strict: bool = False,
        admin: bool = False,
        clock: Callable[[], float] = time.monotonic,
        ping_seconds: float = _PING_SECONDS,
    ) -> None:
        self.endpoint = endpoint
        self.faults = Faults()
        self.service = Service(keys, farewell=self._farewell, clock=clock, retention=retention)
        self._keys = keys
        self._http = http
        self._quota = quota
        self._strict = strict
        self._ping_seconds = ping_seconds
        self._webhook = Webhook(
            self._call,
            settings,
            keys,
            tokens.host_of(endpoint),
            self.faults,
            patience=patience or Patience(),
            clock=clock,
        )
        self._outboxes: dict[WebSocketOutbox, Connection] = {}
        self.app = web.Application(client_max_size=rest.LARGEST_BODY)
        self.app.router.add_get("/client/hubs/{hub}", self._client)
        self.app.router.add_get("/client", self._client)
        self.app.router.add_get("/client/", self._client)
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

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    def configure(self, settings: Settings) -> None:
        """Change the event handlers; nobody is disconnected."""
        self._webhook.settings = settings

    def cut(self, *, hub: str | None = None, user_id: str | None = None) -> int:
        """Cut sockets as a bad network does: no close frame, no goodbye. Returns how many."""
        chosen = [
            outbox
            for outbox, connection in self._outboxes.items()
            if hub in (None, connection.hub) and user_id in (None, connection.user_id)
        ]
        for outbox in chosen:
            outbox.abort()
        return len(chosen)

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

    # The client's door

    async def _client(self, request: web.Request) -> web.StreamResponse:
        """Let a client in: who it is, what the application says, then the conversation."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=400)
        name = request.match_info.get("hub") or request.query.get("hub", "")
        if not is_hub(name):
            return _refuse(400, "the hub name is not valid")
        hub = self.service.hub(name)
        if "awps_connection_id" in request.query:
            return await self._come_back(request, hub)
        try:
            connection, mode, groups = await self._admit(request, name)
        except _RefusedError as refusal:
            return _refuse(refusal.status, str(refusal))
        return await self._converse(request, hub, connection, mode, groups)

    async def _admit(
        self, request: web.Request, hub: str
    ) -> tuple[Connection, RawMode, Sequence[str]]:
        """Who comes in, as what: the token says, the application may say otherwise."""
        if self._quota and not self._has_room(self._quota):
            raise _RefusedError(429, "the Free tier has no room for another connection today")
        token = knock.token(request.query, request.headers)
        try:
            visitor = tokens.read_client_token(token, self._keys, self._hosts(request), hub)
            mode = knock.raw_mode(request.query)
        except TokenError as error:
            raise _RefusedError(401, str(error)) from error
        except ValueError as error:
            raise _RefusedError(400, str(error)) from error
        connection = Connection(
            hub.lower(),
            user_id=visitor.user_id,
            protocol=knock.chosen(knock.offered(request.headers)),
            roles=visitor.roles,
        )
        offer = knock.offer(visitor.claims, request.query, request.headers)
        try:
            welcome = await self._webhook.connect(connection, offer)
        except NotWelcomeError as error:
            raise _RefusedError(
                error.status, "the application did not let the client in"
            ) from error
        connection.adopt(welcome.user_id, welcome.roles, welcome.subprotocol)
        return connection, mode, welcome.groups or visitor.groups

    async def _converse(
        self,
        request: web.Request,
        hub: Hub,
        connection: Connection,
        mode: RawMode,
        groups: Sequence[str],
    ) -> web.StreamResponse:
        websocket = await _accept(request, connection.protocol, self._ping_seconds)
        outbox = self._outbox(websocket, request, connection)
        hub.admit(connection, outbox, groups)
        logger.info("connection %s opened on hub %s", connection.id, hub.name)
        self._greet(connection)
        self._webhook.connected(connection)
        client = Client(hub, connection, self._webhook, mode, strict=self._strict)
        return await self._listen(websocket, outbox, hub, connection, client)

    async def _come_back(self, request: web.Request, hub: Hub) -> web.StreamResponse:
        """A reliable client returns. The answer is a close code: HTTP errors mean `try again`."""
        connection_id = request.query["awps_connection_id"]
        connection = hub.connections.get(connection_id)
        try:
            ticket = request.query.get("awps_reconnection_token", "")
            tokens.check_reconnection_token(ticket, self._keys, connection_id)
            if connection is None or not connection.is_reliable:
                raise TokenError("the connection is over")  # noqa: TRY301 - one place refuses
        except TokenError as error:
            logger.warning("recovery of connection %s refused: %s", connection_id, error)
            websocket = await _accept(
                request, knock.chosen(knock.offered(request.headers)), self._ping_seconds
            )
            await websocket.close(code=1008, message=b"The connection could not be recovered.")
            return websocket
        websocket = await _accept(request, connection.protocol, self._ping_seconds)
        outbox = self._outbox(websocket, request, connection)
        missed = hub.recover(connection, outbox)
        logger.info("connection %s recovered, %d messages again", connection.id, len(missed))
        # The JavaScript client resumes its streams only when it is told `connected` again.
        self._greet(connection)
        for frame in missed:
            outbox.send(frame)
        client = Client(hub, connection, self._webhook, strict=self._strict)
        return await self._listen(websocket, outbox, hub, connection, client)

    def _greet(self, connection: Connection) -> None:
        if not connection.is_raw:
            ticket = (
                tokens.reconnection_token(self._keys, connection.id)
                if connection.is_reliable
                else None
            )
            connection.tell(protocol.connected(connection.id, connection.user_id, ticket))

    async def _listen(
        self,
        websocket: web.WebSocketResponse,
        outbox: WebSocketOutbox,
        hub: Hub,
        connection: Connection,
        client: Client,
    ) -> web.WebSocketResponse:
        final, reason = False, ""
        try:
            while True:
                message = await websocket.receive()
                if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    await client.hear(message.data)
                    continue
                if message.type is aiohttp.WSMsgType.CLOSE:
                    final, reason = message.data == aiohttp.WSCloseCode.OK, message.extra or ""
                elif isinstance(message.data, aiohttp.WebSocketError):
                    final, reason = True, str(message.data)
                break
        except ProtocolError as error:
            if connection.outbox is outbox:
                hub.end(connection, error.code, str(error))
        finally:
            self._outboxes.pop(outbox, None)
            if connection.outbox is outbox:
                if connection.is_reliable and not final:
                    hub.detach(connection)
                else:
                    hub.forget(connection, reason)
        await outbox.closed()
        return websocket

    def _outbox(
        self, websocket: web.WebSocketResponse, request: web.Request, connection: Connection
    ) -> WebSocketOutbox:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client left while it came in")
        outbox = WebSocketOutbox(websocket, transport, self.faults, self._quota, self._overflow)
        self._outboxes[outbox] = connection
        return outbox

    def _overflow(self, outbox: WebSocketOutbox) -> None:
        connection = self._outboxes.get(outbox)
        if connection is not None and connection.outbox is outbox:
            hub = self.service.hub(connection.hub)
            hub.end(connection, 1008, "The outbound message queue is full.")

    def _has_room(self, quota: Quota) -> bool:
        return not quota.is_spent and quota.has_room_for(self.service.connection_count() + 1)

    def _farewell(self, connection: Connection, reason: str) -> None:
        logger.info("connection %s is over", connection.id)
        self._webhook.disconnected(connection, reason)

    def _hosts(self, request: web.Request) -> tuple[str, str]:
        """A token is for the address that was called, or for the one that was announced."""
        return request.host, self.endpoint.partition("://")[2]

    # The application's door

    async def _health(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's shape
        return web.Response()

    async def _rest(self, request: web.Request) -> web.Response:
        raw_path, _, query = request.raw_path.partition("?")
        try:
            token = request.headers.get("Authorization", "")
            tokens.check_rest_token(
                token.removeprefix("Bearer "), self._keys, self._hosts(request), raw_path
            )
        except TokenError as error:
            return _refuse(401, str(error))
        fault = self.faults.take("rest")
        if fault is not None:
            refusal = await _suffer(fault, request)
            if refusal is not None:
                return refusal
        if self._quota and raw_path.endswith(":send") and self._quota.is_spent:
            return _refuse(429, "the Free tier has no messages left today")
        if request.method == "POST" and request.content_length is None and request.can_read_body:
            return _response(rest.refusal(rest.bad_request("Invalid Content-Length header.")))
        call = RestCall(
            request.method,
            raw_path,
            query,
            tuple(request.headers.items()),
            await request.read(),
            f"{request.scheme}://{request.host}",
        )
        answer = rest.answer(self.service, call)
        if answer.status >= 400 and request.method != "HEAD":
            logger.warning("%s %s refused: %d", request.method, raw_path, answer.status)
        return _response(answer)

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
        for hub in tuple(self.service.hubs.values()):
            for connection in tuple(hub.connections.values()):
                hub.end(connection, 1001, "The emulator stops.")
        await asyncio.gather(*(outbox.closed() for outbox in tuple(self._outboxes)))
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
    **options: Any,
) -> AsyncIterator[Server]:
    """Run the emulator in this process; port 0 takes a free one.

    `settings` is a value or a file; a file is read again whenever it changes. `endpoint` is the
    address that applications use, if it is not http://localhost:port. The other options are
    those of Server: retention, patience, quota, strict, admin, clock,
    ping_seconds.
    """
    file = settings if isinstance(settings, Path) else None
    handlers = load_settings(file) if file else settings
    handlers = handlers if isinstance(handlers, Settings) else Settings()
    keys = Keys(access_key or handlers.access_key or tokens.DEFAULT_KEY, secondary_key)
    listeners = _listen_on(host, port)
    port = listeners[0].getsockname()[1]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
    ) as http:
        server = Server(keys, handlers, http, endpoint or f"http://localhost:{port}", **options)
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


async def _accept(
    request: web.Request, subprotocol: str | None, ping_seconds: float
) -> web.WebSocketResponse:
    websocket = web.WebSocketResponse(
        protocols=(subprotocol,) if subprotocol else (),
        # Squeezing would be done anew for each client, and the service does not do it either.
        compress=False,
        max_msg_size=LARGEST_MESSAGE,
        heartbeat=ping_seconds,
        timeout=_CLOSE_SECONDS,
    )
    await websocket.prepare(request)
    return websocket


def _refuse(status: int, reason: str) -> web.Response:
    """Say why in the log, not on the wire: the service answers with a bare status."""
    logger.warning("refused with %d: %s", status, reason)
    return web.Response(status=status)


def _response(answer: RestAnswer) -> web.Response:
    headers = {"x-ms-error-code": answer.error_code} if answer.error_code else None
    content_type = "application/json" if answer.body else None
    return web.Response(
        status=answer.status, body=answer.body, headers=headers, content_type=content_type
    )


async def _suffer(fault: Fault, request: web.Request) -> web.Response | None:
    """Do to a REST request what was ordered; None lets it go on."""
    if fault.action == "refuse":
        return _refuse(fault.status, "a fault was ordered")
    if fault.action == "drop":
        if request.transport is not None:
            request.transport.abort()
        return _refuse(fault.status, "a fault was ordered: dropped")
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
        response.headers["api-supported-versions"] = ", ".join(rest.API_VERSIONS)
