"""Limits the emulator's own endpoints to this machine and to its own pages."""

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


def local_only(handle: Handle, *, allow_remote: bool = False) -> Handle:
    """Reject other machines, other host names and other origins.

    The host name is checked since a page of any site can let its own name point to 127.0.0.1.
    """

    async def check_and_handle(request: web.Request) -> web.StreamResponse:
        if not allow_remote and not (_is_loopback(request) and _is_local_host(request)):
            raise web.HTTPForbidden
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden
        return await handle(request)

    return check_and_handle


def _is_loopback(request: web.Request) -> bool:
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False


def _is_local_host(request: web.Request) -> bool:
    host = urlsplit(f"//{request.host}").hostname or ""
    return host == "localhost" or host.endswith(".localhost") or host in ("127.0.0.1", "::1")
