"""HTTP connections with the limits of Kestrel, the web server of the real host.

https://learn.microsoft.com/aspnet/core/fundamentals/servers/kestrel/options
"""

import asyncio
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.web_protocol import RequestHandler

from local.functions.connections import WorkerConnections

MAX_REQUEST_LINE_BYTES = 8192
MAX_HEADERS = 100
MAX_HEADERS_BYTES = 32768

# Beside the target the request line has a method, two spaces and "HTTP/1.1".
_REQUEST_LINE_EXTRA = len("  HTTP/1.1\r\n")
# Less data than this cannot exceed a limit.
_HARMLESS_BYTES = 7000


class Connection(RequestHandler):
    """One connection of a client, which the supervisor has open, too."""

    __slots__ = ("_connections", "_needs_check", "_slot")

    def __init__(self, server: "Server", connections: WorkerConnections) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # no log, as web.Server means it too
            auto_decompress=False,
            max_line_size=MAX_REQUEST_LINE_BYTES,
            max_field_size=MAX_HEADERS_BYTES,
            max_headers=MAX_HEADERS,
        )
        self._connections = connections
        self._slot = 0
        self._needs_check = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._slot = self._connections.open(transport.get_extra_info("socket"))
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.close(self._slot)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if len(data) > _HARMLESS_BYTES or not data.isascii():
            self._needs_check = True
        super().data_received(data)

    def begin_request(self, request: web.BaseRequest) -> web.Response | None:
        """Marks the connection as waiting. A response where the request is over a limit."""
        self._connections.is_waiting[self._slot] = 1
        return check_request(request) if self._needs_check else None

    def end_request(self) -> None:
        self._connections.is_waiting[self._slot] = 0

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The response to bytes that are no valid request: an empty one, as Kestrel's."""
        if not isinstance(exc, BadHttpMessage):
            return super().handle_error(request, status, exc, message)
        response = web.Response(status=_status_of(exc))
        response.force_close()
        return response


def _status_of(error: BadHttpMessage) -> int:
    if isinstance(error, LineTooLong):
        return 414 if error.args[1] == MAX_REQUEST_LINE_BYTES else 431
    return 431 if "Too many headers" in error.message else 400


def check_request(request: web.BaseRequest) -> web.Response | None:
    """The response to a request over a limit, or with bytes that are not UTF-8 in a header."""
    line_bytes = len(request.method) + len(request.raw_path) + _REQUEST_LINE_EXTRA
    if line_bytes > MAX_REQUEST_LINE_BYTES:
        return _refuse(414)
    headers_bytes = 0
    for name, value in request.raw_headers:
        headers_bytes += len(name) + len(value) + len(": \r\n")
        try:
            value.decode()
        except UnicodeDecodeError:
            return _refuse(400)
    return _refuse(431) if headers_bytes > MAX_HEADERS_BYTES else None


def _refuse(status: int) -> web.Response:
    response = web.Response(status=status)
    response.force_close()
    return response


class Server(web.Server):
    """Makes a Connection for each client."""

    def __init__(self, handler: Any, connections: WorkerConnections, body_limit: int) -> None:
        loop = asyncio.get_running_loop()
        make_request = partial(web.BaseRequest, loop=loop, client_max_size=body_limit)
        super().__init__(handler, request_factory=make_request)
        self._worker_connections = connections

    def __call__(self) -> Connection:
        return Connection(self, self._worker_connections)
