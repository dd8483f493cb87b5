"""The emulator as a server: its endpoints, its sockets, and the work it repeats."""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypedDict, Unpack

import aiohttp
from aiohttp import web

from webpubsub_emulator.access_keys import (
    DEFAULT_ACCESS_KEY,
    AccessKeys,
    endpoint_host,
    format_connection_string,
)
from webpubsub_emulator.broadcast import ParallelSender
from webpubsub_emulator.clock import Clock
from webpubsub_emulator.connection import Connection
from webpubsub_emulator.control_endpoint import ControlEndpoint
from webpubsub_emulator.entra import DEFAULT_PRINCIPAL_ID, DEFAULT_TENANT_ID, LocalIssuer
from webpubsub_emulator.event_handlers import EventDispatcher
from webpubsub_emulator.faults import Faults
from webpubsub_emulator.hub import RECOVERY_TIMEOUT_SECONDS
from webpubsub_emulator.issuer_endpoint import IssuerEndpoint
from webpubsub_emulator.quota import Quota
from webpubsub_emulator.rest_endpoint import RestEndpoint, add_version_header
from webpubsub_emulator.rest_request import MAX_BODY_BYTES
from webpubsub_emulator.service import Service
from webpubsub_emulator.settings import InvalidSettingsError, Settings, load_settings
from webpubsub_emulator.traffic import Traffic
from webpubsub_emulator.upstream import Upstream, UpstreamTimeouts
from webpubsub_emulator.upstream_http import UpstreamHttp, open_session
from webpubsub_emulator.viewer_endpoint import ViewerEndpoint
from webpubsub_emulator.websocket import PING_INTERVAL_SECONDS, ClientEndpoint

logger = logging.getLogger(__name__)

_EXPIRE_INTERVAL_SECONDS = 0.2
_RELOAD_INTERVAL_SECONDS = 0.5
_LAST_EVENTS_TIMEOUT_SECONDS = 1.0
# Tokens with many groups and roles make long request lines.
_MAX_HEADER_LINE_BYTES = 64 * 1024
_LISTEN_BACKLOG = 4096


class Options(TypedDict, total=False):
    """What can be set beyond the service's own settings."""

    recovery_timeout: float
    """Seconds for which a reliable connection without a socket can be recovered."""
    timeouts: UpstreamTimeouts
    """Timeouts and retries of calls to event handlers."""
    quota: Quota
    """The limits of the Free tier; there are none by default."""
    strict: bool
    """Whether a failed event closes a JSON client, as the documentation says."""
    control: bool
    """Whether the control endpoint exists: /emulator/faults and others, for this machine only."""
    viewer: bool
    """Whether the traffic viewer exists, for this machine only."""
    allow_remote: bool
    """Whether control endpoint and viewer can be used from other machines, as in a container."""
    entra: bool
    """Whether there is a local issuer in place of Entra ID, whose tokens REST accepts."""
    tenant_id: str
    """The tenant of the local issuer."""
    principal_id: str
    """The subject of the managed identity's tokens."""
    allow_access_keys: bool
    """Whether REST accepts tokens made with an access key."""
    clock: Clock
    ping_interval: float
    """Seconds between two WebSocket pings."""


class Server:
    """A running emulator. Applications use it by its `connection_string`."""

    def __init__(
        self,
        keys: AccessKeys,
        settings: Settings,
        session: aiohttp.ClientSession,
        endpoint: str,
        port: int,
        *,
        recovery_timeout: float = RECOVERY_TIMEOUT_SECONDS,
        timeouts: UpstreamTimeouts | None = None,
        quota: Quota | None = None,
        strict: bool = False,
        control: bool = False,
        viewer: bool = True,
        allow_remote: bool = False,
        entra: bool = False,
        tenant_id: str = DEFAULT_TENANT_ID,
        principal_id: str = DEFAULT_PRINCIPAL_ID,
        allow_access_keys: bool = True,
        clock: Clock | None = None,
        ping_interval: float = PING_INTERVAL_SECONDS,
    ) -> None:
        self.endpoint = endpoint
        self.port = port
        self.faults = Faults()
        self.clock = clock or Clock()
        self.traffic = Traffic(enabled=viewer)
        self._sender = ParallelSender(
            lambda: self.faults.frame_is_pending or self.traffic.is_watched or quota is not None
        )
        self.service = Service(
            keys,
            endpoint,
            on_removed=self._on_removed,
            clock=self.clock,
            recovery_timeout=recovery_timeout,
            traffic=self.traffic,
            send=self._sender.send,
        )
        self.issuer = (
            LocalIssuer(endpoint, self.clock.time, tenant_id=tenant_id, principal_id=principal_id)
            if entra or settings.needs_identity
            else None
        )
        upstream = Upstream(
            UpstreamHttp(session, quota).send,
            keys,
            endpoint_host(endpoint),
            self.faults,
            clock=self.clock.monotonic,
            timeouts=timeouts or UpstreamTimeouts(),
            traffic=self.traffic,
            issue_token=self.issuer.issue_for_handler if self.issuer else None,
        )
        self._events = EventDispatcher(upstream, settings)
        self._clients = ClientEndpoint(
            self.service,
            self._events,
            self.faults,
            quota,
            self.traffic,
            strict=strict,
            ping_interval=ping_interval,
        )
        rest = RestEndpoint(
            self.service,
            self.faults,
            quota,
            self.traffic,
            self.issuer,
            allow_access_keys=allow_access_keys,
        )
        self.app = web.Application(client_max_size=MAX_BODY_BYTES + 1)
        router = self.app.router
        for path in ("/client/hubs/{hub}", "/client/hubs/{hub}/", "/client", "/client/"):
            router.add_get(path, self._clients.handle)
        router.add_get("/api/health", self._get_health)
        router.add_route("*", "/api/hubs/{rest:.*}", rest.handle)
        if self.issuer is not None:
            IssuerEndpoint(self.issuer).add_routes(router)
        if control:
            ControlEndpoint(self).add_routes(router, allow_remote=allow_remote)
        if viewer:
            ViewerEndpoint(self.traffic, self.service).add_routes(router, allow_remote=allow_remote)
        self.app.on_response_prepare.append(add_version_header)
        self.app.on_shutdown.append(self._shut_down)

    @property
    def connection_string(self) -> str:
        return format_connection_string(self.endpoint, self.service.keys)

    @property
    def viewer_url(self) -> str | None:
        """The address of the traffic viewer."""
        return f"{self.endpoint}/viewer" if self.traffic.enabled else None

    def configure(self, settings: Settings) -> None:
        """Replace the event handlers without disconnecting clients."""
        if settings.needs_identity and self.issuer is None:
            raise InvalidSettingsError(
                "an event handler with Auth needs the local issuer: start with --entra"
            )
        self._events.configure(settings)

    def drop_connections(self, hub: str | None = None, user_id: str | None = None) -> int:
        """Abort the sockets of a hub, of a user, or all; return how many they were."""
        return self._clients.drop_connections(hub, user_id)

    def advance_clock(self, seconds: float) -> None:
        """Move the emulator's time forward; what has expired then ends at once."""
        self.clock.advance(seconds)
        self.service.expire()

    async def run_periodic_work(self, settings_file: Path | None) -> None:
        """End what has expired, and reload the settings file when it changes."""
        modified_at = _modified_at(settings_file)
        checked_at = time.monotonic()
        while True:
            await asyncio.sleep(_EXPIRE_INTERVAL_SECONDS)
            self.service.expire()
            if settings_file is None or time.monotonic() - checked_at < _RELOAD_INTERVAL_SECONDS:
                continue
            checked_at = time.monotonic()
            if _modified_at(settings_file) != modified_at:
                modified_at = _modified_at(settings_file)
                self._reload(settings_file)

    def _reload(self, settings_file: Path) -> None:
        try:
            self.configure(load_settings(settings_file))
        except InvalidSettingsError as error:
            logger.warning("the settings stay unchanged: %s", error)
        else:
            logger.info("settings reloaded from %s", settings_file)

    def _on_removed(self, connection: Connection, reason: str) -> None:
        logger.info("connection %s ended", connection.id)
        self._events.send_disconnected(connection, reason)

    async def _get_health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _shut_down(self, _: web.Application) -> None:
        self.traffic.close()
        await self._clients.close()
        await self._events.finish(_LAST_EVENTS_TIMEOUT_SECONDS)
        self._sender.close()


@contextlib.asynccontextmanager
async def serve(
    *,
    port: int = 0,
    host: str = "localhost",
    access_key: str | None = None,
    secondary_key: str | None = None,
    settings: Settings | Path | None = None,
    endpoint: str | None = None,
    tls: ssl.SSLContext | None = None,
    **options: Unpack[Options],
) -> AsyncIterator[Server]:
    """Run the emulator in this process; port 0 takes a free one.

    `settings` is a value or a file; a file is reloaded when it changes. `endpoint` is the address
    that applications use, if it is not http(s)://localhost:port.
    """
    settings_file = settings if isinstance(settings, Path) else None
    loaded = load_settings(settings_file) if settings_file else settings
    loaded = loaded if isinstance(loaded, Settings) else Settings()
    keys = AccessKeys(access_key or loaded.access_key or DEFAULT_ACCESS_KEY, secondary_key)
    sockets = _open_sockets(host, port)
    port = sockets[0].getsockname()[1]
    endpoint = endpoint or f"{'https' if tls else 'http'}://localhost:{port}"
    async with open_session() as session:
        server = Server(keys, loaded, session, endpoint.rstrip("/"), port, **options)
        runner = web.AppRunner(
            server.app,
            access_log=None,
            handler_cancellation=True,
            max_line_size=_MAX_HEADER_LINE_BYTES,
            max_field_size=_MAX_HEADER_LINE_BYTES,
            shutdown_timeout=1.0,
        )
        await runner.setup()
        work = asyncio.get_running_loop().create_task(server.run_periodic_work(settings_file))
        try:
            for opened in sockets:
                await web.SockSite(runner, opened, backlog=_LISTEN_BACKLOG, ssl_context=tls).start()
            yield server
        finally:
            work.cancel()
            await runner.cleanup()


def _open_sockets(host: str, port: int) -> list[socket.socket]:
    """Listen on both address families for `localhost`, where the machine has both."""
    if host != "localhost":
        return [_open_socket(host, port)]
    first = _open_socket("127.0.0.1", port)
    with contextlib.suppress(OSError):
        return [first, _open_socket("::1", first.getsockname()[1])]
    return [first]


def _open_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_LISTEN_BACKLOG)


def _modified_at(file: Path | None) -> int | None:
    try:
        return file.stat().st_mtime_ns if file else None
    except OSError:
        return None
