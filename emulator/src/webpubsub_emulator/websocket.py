"""The client WebSocket endpoint: authentication, recovery, the message loop and the end."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

import aiohttp
from aiohttp import web

from webpubsub_emulator import handshake, server_messages, tokens
from webpubsub_emulator.ack_poller import AckPoller
from webpubsub_emulator.ack_reader import READ_BUFFER_BYTES, AckReader
from webpubsub_emulator.client_messages import ClientMessageHandler, RawMode
from webpubsub_emulator.connection import Connection
from webpubsub_emulator.event_handlers import ConnectRejectedError, EventDispatcher
from webpubsub_emulator.faults import Faults
from webpubsub_emulator.frame_writer import WebSocketFrameWriter, find_descriptor
from webpubsub_emulator.hub import Hub
from webpubsub_emulator.names import is_valid_hub
from webpubsub_emulator.protocol import ProtocolError
from webpubsub_emulator.quota import Quota
from webpubsub_emulator.service import Service
from webpubsub_emulator.tokens import ClientIdentity, TokenError
from webpubsub_emulator.traffic import Traffic, record_received

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 1024 * 1024
PING_INTERVAL_SECONDS = 20.0
MAX_TOKEN_BYTES = 4096
_CLOSE_TIMEOUT_SECONDS = 5.0
_SHUTDOWN_TIMEOUT_SECONDS = 1.0


class _RejectedError(Exception):
    """A client that is not accepted; the message is for the log."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ClientEndpoint:
    """Accepts clients, reads their messages, and keeps the writer of each."""

    def __init__(
        self,
        service: Service,
        events: EventDispatcher,
        faults: Faults,
        quota: Quota | None,
        traffic: Traffic,
        *,
        strict: bool,
        ping_interval: float,
    ) -> None:
        self._service = service
        self._events = events
        self._faults = faults
        self._quota = quota
        self._traffic = traffic
        self._strict = strict
        self._ping_interval = ping_interval
        self._connections: dict[WebSocketFrameWriter, Connection] = {}
        self._read_buffer = memoryview(bytearray(READ_BUFFER_BYTES))
        self._poller = AckPoller(traffic)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Handle one upgrade request until its WebSocket is closed."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=400)
        name = request.match_info.get("hub") or request.query.get("hub", "")
        if not is_valid_hub(name):
            return reject(400, "the hub name is not valid")
        hub = self._service.hub(name)
        if "awps_connection_id" in request.query:
            return await self._recover(request, hub)
        try:
            connection, mode, groups = await self._authenticate(request, name)
        except _RejectedError as rejection:
            self._traffic.record(
                "rejected", hub=name, status=rejection.status, failure=str(rejection)
            )
            return reject(rejection.status, str(rejection))
        return await self._serve(request, hub, connection, mode, groups)

    async def _authenticate(
        self, request: web.Request, hub: str
    ) -> tuple[Connection, RawMode, Sequence[str]]:
        """Create the connection from the token and the response to the connect event."""
        if self._quota and not self._has_capacity(self._quota):
            raise _RejectedError(429, "the Free tier's connections or messages are used up")
        try:
            identity = self._read_identity(request, hub)
            mode = handshake.read_raw_mode(request.query)
        except TokenError as error:
            raise _RejectedError(401, str(error)) from error
        except ValueError as error:
            raise _RejectedError(400, str(error)) from error
        subprotocols = handshake.read_subprotocols(request.headers)
        connection = Connection(
            hub.lower(),
            user_id=identity.user_id,
            protocol=handshake.select_subprotocol(subprotocols),
            roles=identity.roles,
        )
        connect_request = handshake.build_connect_request(
            identity.claims or {}, request.query, request.headers
        )
        try:
            response = await self._events.send_connect(connection, connect_request)
        except ConnectRejectedError as error:
            raise _RejectedError(error.status, "the event handler rejected the client") from error
        connection.apply_connect_response(response.user_id, response.roles, response.subprotocol)
        return connection, mode, response.groups or identity.groups

    def _read_identity(self, request: web.Request, hub: str) -> ClientIdentity:
        token = handshake.read_token(request.query, request.headers)
        if not token and self._events.settings.allows_anonymous(hub):
            return ClientIdentity()
        if len(token) > MAX_TOKEN_BYTES:
            logger.warning(
                "a client token has %d bytes; Azure rejects requests with one above %d",
                *(len(token), MAX_TOKEN_BYTES),
            )
        hosts = self._service.accepted_hosts(request.host)
        now = self._service.clock.time()
        return tokens.read_client_token(token, self._service.keys, hosts, hub, now)

    async def _serve(
        self,
        request: web.Request,
        hub: Hub,
        connection: Connection,
        mode: RawMode,
        groups: Sequence[str],
    ) -> web.StreamResponse:
        websocket = await self._accept(request, connection.protocol)
        writer = self._create_writer(websocket, request, connection)
        hub.add_connection(connection, writer, groups)
        logger.info("connection %s opened on hub %s", connection.id, hub.name)
        self._send_connected(connection)
        self._events.send_connected(connection)
        handler = ClientMessageHandler(hub, connection, self._events, mode, strict=self._strict)
        return await self._read_messages(websocket, writer, hub, connection, handler)

    async def _recover(self, request: web.Request, hub: Hub) -> web.StreamResponse:
        """Attach a reliable client to its connection.

        A failure is a close code, since clients take an HTTP error for a reason to try again.
        """
        connection = self._find_recoverable(request, hub)
        subprotocols = handshake.read_subprotocols(request.headers)
        offered = handshake.select_subprotocol(subprotocols)
        websocket = await self._accept(request, connection.protocol if connection else offered)
        # The recovery timeout may have passed during the handshake.
        if connection is None or connection.id not in hub.connections:
            await websocket.close(code=1008, message=b"The connection could not be recovered.")
            return websocket
        writer = self._create_writer(websocket, request, connection)
        frames = hub.recover(connection, writer)
        logger.info("connection %s recovered, %d messages replayed", connection.id, len(frames))
        # The JavaScript client resumes its streams only after another `connected` message.
        self._send_connected(connection)
        for frame in frames:
            writer.send(frame)
        handler = ClientMessageHandler(hub, connection, self._events, strict=self._strict)
        return await self._read_messages(websocket, writer, hub, connection, handler)

    def _find_recoverable(self, request: web.Request, hub: Hub) -> Connection | None:
        """Return the connection that the request may recover."""
        connection_id = request.query["awps_connection_id"]
        token = request.query.get("awps_reconnection_token", "")
        failure = "the connection does not exist any more"
        connection = hub.connections.get(connection_id)
        try:
            tokens.check_reconnection_token(
                token, self._service.keys, connection_id, self._service.clock.time()
            )
        except TokenError as error:
            connection, failure = None, str(error)
        if connection is None or not connection.is_reliable:
            logger.warning("recovery of connection %s rejected: %s", connection_id, failure)
            self._traffic.record(
                "rejected", hub=hub.name, connection=connection_id, status=1008, failure=failure
            )
            return None
        return connection

    def _send_connected(self, connection: Connection) -> None:
        if connection.is_raw:
            return
        token = None
        if connection.is_reliable:
            now = self._service.clock.time()
            token = tokens.create_reconnection_token(self._service.keys, connection.id, now)
        frame = server_messages.connected(connection.id, connection.user_id, token)
        connection.send_frame(frame)

    async def _read_messages(
        self,
        websocket: web.WebSocketResponse,
        writer: WebSocketFrameWriter,
        hub: Hub,
        connection: Connection,
        handler: ClientMessageHandler,
    ) -> web.WebSocketResponse:
        is_final, reason = False, ""
        try:
            message = await websocket.receive()
            while message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                if self._traffic.is_watched:
                    record_received(self._traffic, connection, message.data)
                await handler.handle(message.data)
                message = await websocket.receive()
            is_final, reason = _describe_end(message)
        except ProtocolError as error:
            if connection.writer is writer:
                detail = str(error.__cause__ or "")
                hub.close(connection, error.code, str(error), log_detail=detail)
        finally:
            self._connections.pop(writer, None)
            if connection.writer is writer:
                if connection.is_reliable and not is_final:
                    hub.detach(connection)
                else:
                    hub.remove_connection(connection, reason)
        await writer.wait_closed()
        return websocket

    async def _accept(self, request: web.Request, subprotocol: str | None) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(
            protocols=(subprotocol,) if subprotocol else (),
            # Compression would run once for each client, and the service has none either.
            compress=False,
            # aiohttp refuses a message of exactly this size.
            max_msg_size=MAX_MESSAGE_BYTES + 1,
            heartbeat=self._ping_interval,
            timeout=_CLOSE_TIMEOUT_SECONDS,
        )
        await websocket.prepare(request)
        return websocket

    def _create_writer(
        self, websocket: web.WebSocketResponse, request: web.Request, connection: Connection
    ) -> WebSocketFrameWriter:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client disconnected during the handshake")
        writer = WebSocketFrameWriter(
            websocket,
            transport,
            connection,
            self._faults,
            self._quota,
            self._traffic,
            self._close_overflowing,
        )
        self._connections[writer] = connection
        buffer, inner = connection.replay_buffer, transport.get_protocol()
        if buffer is not None and isinstance(inner, asyncio.Protocol):
            reader = AckReader(inner, self._read_buffer, buffer.acknowledge, self._traffic)
            descriptor = find_descriptor(transport)
            if descriptor is not None and self._poller.is_supported:
                reader.use_poller(self._poller, transport, descriptor)
            transport.set_protocol(reader)
        return writer

    def _close_overflowing(self, writer: WebSocketFrameWriter) -> None:
        connection = self._connections.get(writer)
        if connection is not None and connection.writer is writer:
            hub = self._service.hub(connection.hub)
            hub.close(connection, 1008, "The outbound message queue is full.")

    def _has_capacity(self, quota: Quota) -> bool:
        connections = self._service.connection_count() + 1
        return not quota.is_exhausted and quota.allows_connections(connections)

    def drop_connections(self, hub: str | None, user_id: str | None) -> int:
        """Abort the sockets of a hub, of a user, or all of them; return how many they were."""
        writers = [
            writer
            for writer, connection in self._connections.items()
            if hub in (None, connection.hub) and user_id in (None, connection.user_id)
        ]
        for writer in writers:
            writer.abort()
        return len(writers)

    async def close(self) -> None:
        """Close all connections, and abort those whose client does not answer in time."""
        for hub in tuple(self._service.hubs.values()):
            for connection in tuple(hub.connections.values()):
                hub.close(connection, 1001, "The emulator stops.")
        writers = tuple(self._connections)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SHUTDOWN_TIMEOUT_SECONDS):
                await asyncio.gather(*(writer.wait_closed() for writer in writers))
        for writer in writers:
            writer.abort()
        self._poller.close()


def _describe_end(message: aiohttp.WSMessage) -> tuple[bool, str]:
    """Return whether the end is final for a reliable client, too, and its reason."""
    if message.type is aiohttp.WSMsgType.CLOSE:
        return message.data == aiohttp.WSCloseCode.OK, message.extra or ""
    if isinstance(message.data, aiohttp.WebSocketError):
        return True, str(message.data)
    return False, "PingTimeout" if isinstance(message.data, TimeoutError) else ""


def reject(status: int, reason: str) -> web.Response:
    """Log the reason; the response has only the status, as the service's."""
    logger.warning("rejected with %d: %s", status, reason)
    return web.Response(status=status)
