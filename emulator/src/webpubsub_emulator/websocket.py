"""The client's door: who may come in, the conversation, and every way in which it can end."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

import aiohttp
from aiohttp import web

from webpubsub_emulator import frames, handshake, tokens
from webpubsub_emulator.client_messages import Client, RawMode
from webpubsub_emulator.event_handlers import NotWelcomeError, Webhook
from webpubsub_emulator.faults import Faults
from webpubsub_emulator.frame_writer import WebSocketOutbox
from webpubsub_emulator.hub import Connection, Hub
from webpubsub_emulator.names import is_hub
from webpubsub_emulator.protocol import ProtocolError
from webpubsub_emulator.quota import Quota
from webpubsub_emulator.service import Service
from webpubsub_emulator.tokens import TokenError

logger = logging.getLogger(__name__)

LARGEST_MESSAGE = 1024 * 1024
PING_SECONDS = 20.0
_CLOSE_SECONDS = 5.0
_GOODBYE_SECONDS = 1.0


class _RefusedError(Exception):
    """A client that stays outside; the reason is for the log."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ClientDoor:
    """Lets clients in, listens to them, and knows the socket of each."""

    def __init__(
        self,
        service: Service,
        webhook: Webhook,
        faults: Faults,
        quota: Quota | None,
        *,
        strict: bool,
        ping_seconds: float,
    ) -> None:
        self._service = service
        self._webhook = webhook
        self._faults = faults
        self._quota = quota
        self._strict = strict
        self._ping_seconds = ping_seconds
        self._outboxes: dict[WebSocketOutbox, Connection] = {}

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Let a client in: who it is, what the application says, then the conversation."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=400)
        name = request.match_info.get("hub") or request.query.get("hub", "")
        if not is_hub(name):
            return refuse(400, "the hub name is not valid")
        hub = self._service.hub(name)
        if "awps_connection_id" in request.query:
            return await self._come_back(request, hub)
        try:
            connection, mode, groups = await self._admit(request, name)
        except _RefusedError as refusal:
            return refuse(refusal.status, str(refusal))
        return await self._converse(request, hub, connection, mode, groups)

    async def _admit(
        self, request: web.Request, hub: str
    ) -> tuple[Connection, RawMode, Sequence[str]]:
        """Who comes in, as what: the token says, the application may say otherwise."""
        if self._quota and not self._has_room(self._quota):
            raise _RefusedError(429, "the Free tier has no room for another connection today")
        token = handshake.token(request.query, request.headers)
        try:
            visitor = tokens.read_client_token(
                token, self._service.keys, self._service.hosts(request.host), hub
            )
            mode = handshake.raw_mode(request.query)
        except TokenError as error:
            raise _RefusedError(401, str(error)) from error
        except ValueError as error:
            raise _RefusedError(400, str(error)) from error
        connection = Connection(
            hub.lower(),
            user_id=visitor.user_id,
            protocol=handshake.chosen(handshake.offered(request.headers)),
            roles=visitor.roles,
        )
        offer = handshake.offer(visitor.claims, request.query, request.headers)
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
        websocket = await self._accept(request, connection.protocol)
        outbox = self._outbox(websocket, request, connection)
        hub.admit(connection, outbox, groups)
        logger.info("connection %s opened on hub %s", connection.id, hub.name)
        self._greet(connection)
        self._webhook.connected(connection)
        client = Client(hub, connection, self._webhook, mode, strict=self._strict)
        return await self._listen(websocket, outbox, hub, connection, client)

    async def _come_back(self, request: web.Request, hub: Hub) -> web.StreamResponse:
        """A reliable client returns. The answer is a close code: HTTP errors mean `try again`."""
        connection = self._lost(request, hub)
        offered = handshake.chosen(handshake.offered(request.headers))
        websocket = await self._accept(request, connection.protocol if connection else offered)
        # Its time may have run out during the handshake.
        if connection is None or connection.id not in hub.connections:
            await websocket.close(code=1008, message=b"The connection could not be recovered.")
            return websocket
        outbox = self._outbox(websocket, request, connection)
        missed = hub.recover(connection, outbox)
        logger.info("connection %s recovered, %d messages again", connection.id, len(missed))
        # The JavaScript client resumes its streams only when it is told `connected` again.
        self._greet(connection)
        for frame in missed:
            outbox.send(frame)
        client = Client(hub, connection, self._webhook, strict=self._strict)
        return await self._listen(websocket, outbox, hub, connection, client)

    def _lost(self, request: web.Request, hub: Hub) -> Connection | None:
        """The connection that this client lost, if its ticket is good and it is not too late."""
        connection_id = request.query["awps_connection_id"]
        ticket = request.query.get("awps_reconnection_token", "")
        try:
            tokens.check_reconnection_token(ticket, self._service.keys, connection_id)
        except TokenError as error:
            logger.warning("recovery of connection %s refused: %s", connection_id, error)
            return None
        connection = hub.connections.get(connection_id)
        if connection is None or not connection.is_reliable:
            logger.warning("recovery of connection %s refused: it is over", connection_id)
            return None
        return connection

    def _greet(self, connection: Connection) -> None:
        if not connection.is_raw:
            ticket = (
                tokens.reconnection_token(self._service.keys, connection.id)
                if connection.is_reliable
                else None
            )
            connection.tell(frames.connected(connection.id, connection.user_id, ticket))

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
            message = await websocket.receive()
            while message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                await client.hear(message.data)
                message = await websocket.receive()
            final, reason = _parting(message)
        except ProtocolError as error:
            if connection.outbox is outbox:
                hub.end(connection, error.code, str(error), detail=str(error.__cause__ or ""))
        finally:
            self._outboxes.pop(outbox, None)
            if connection.outbox is outbox:
                if connection.is_reliable and not final:
                    hub.detach(connection)
                else:
                    hub.forget(connection, reason)
        await outbox.closed()
        return websocket

    async def _accept(self, request: web.Request, subprotocol: str | None) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(
            protocols=(subprotocol,) if subprotocol else (),
            # Squeezing would be done anew for each client, and the service does not do it either.
            compress=False,
            max_msg_size=LARGEST_MESSAGE,
            heartbeat=self._ping_seconds,
            timeout=_CLOSE_SECONDS,
        )
        await websocket.prepare(request)
        return websocket

    def _outbox(
        self, websocket: web.WebSocketResponse, request: web.Request, connection: Connection
    ) -> WebSocketOutbox:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client left while it came in")
        outbox = WebSocketOutbox(websocket, transport, self._faults, self._quota, self._overflow)
        self._outboxes[outbox] = connection
        return outbox

    def _overflow(self, outbox: WebSocketOutbox) -> None:
        connection = self._outboxes.get(outbox)
        if connection is not None and connection.outbox is outbox:
            hub = self._service.hub(connection.hub)
            hub.end(connection, 1008, "The outbound message queue is full.")

    def _has_room(self, quota: Quota) -> bool:
        return not quota.is_spent and quota.has_room_for(self._service.connection_count() + 1)

    def cut(self, hub: str | None, user_id: str | None) -> int:
        """Cut the sockets of a hub or a user, or all of them."""
        chosen = [
            outbox
            for outbox, connection in self._outboxes.items()
            if hub in (None, connection.hub) and user_id in (None, connection.user_id)
        ]
        for outbox in chosen:
            outbox.abort()
        return len(chosen)

    async def close(self) -> None:
        """Say goodbye to everybody, wait for their answers a moment, then hang up."""
        for hub in tuple(self._service.hubs.values()):
            for connection in tuple(hub.connections.values()):
                hub.end(connection, 1001, "The emulator stops.")
        outboxes = tuple(self._outboxes)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await asyncio.gather(*(outbox.closed() for outbox in outboxes))
        for outbox in outboxes:
            outbox.abort()


def _parting(message: aiohttp.WSMessage) -> tuple[bool, str]:
    """How a socket ended: is that the end of a reliable client, too, and what was the reason?"""
    if message.type is aiohttp.WSMsgType.CLOSE:
        return message.data == aiohttp.WSCloseCode.OK, message.extra or ""
    if isinstance(message.data, aiohttp.WebSocketError):
        return True, str(message.data)
    return False, "PingTimeout" if isinstance(message.data, TimeoutError) else ""


def refuse(status: int, reason: str) -> web.Response:
    """Say why in the log, not on the wire: the service answers with a bare status."""
    logger.warning("refused with %d: %s", status, reason)
    return web.Response(status=status)
