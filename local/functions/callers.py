"""Who may call a host on a developer's machine, where functions require no key.

Other web sites that the developer visits can send requests to localhost, and can let a name of
their own resolve to it (DNS rebinding). So the Host header must name this machine, and an Origin
must be that of this host, or be listed in `CORS`. The real host does not check this.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.hdrs import HOST, ORIGIN

from local.functions.cors import Cors, is_preflight

OWN_NAMES = {"localhost", "127.0.0.1", "[::1]"}
_WILDCARD_ADDRESSES = {"0.0.0.0", "::", "*"}  # noqa: S104 - compared, not bound
_CHECKED_HOSTS = 1024
"""How many allowed Host headers are cached."""


class Callers:
    """The host names that this host accepts, and the origins that may call it."""

    def __init__(self, address: str, more_names: Iterable[str], cors: Cors | None) -> None:
        self._names = {*OWN_NAMES, address.lower(), *(name.lower() for name in more_names)}
        self._takes_addresses = address in _WILDCARD_ADDRESSES
        self._cors = cors
        self._known: set[str] = set()  # Host headers that are allowed

    def find_problem(self, request: web.BaseRequest) -> str:
        """The reason for which a request is rejected, or an empty text."""
        host = request.headers.get(HOST, "")
        if host not in self._known:
            if not self._is_own_name(host):
                return f"This host accepts the name localhost, not {host!r}; see --allow-host."
            if len(self._known) < _CHECKED_HOSTS:
                self._known.add(host)
        origin = request.headers.get(ORIGIN)
        if origin is None or is_preflight(request) or self._is_allowed_origin(origin, host):
            return ""
        return f"Pages of {origin!r} may not call this host; list the origin in Host.CORS."

    def find_cross_site(self, request: web.BaseRequest) -> str:
        """The reason for which a request to an admin route is rejected: links are rejected, too."""
        site = request.headers.get("Sec-Fetch-Site", "none")
        if site in ("none", "same-origin") and not is_preflight(request):
            return self.find_problem(request)
        return "Admin routes cannot be called by other sites."

    def _is_own_name(self, host: str) -> bool:
        name = _without_port(host).lower()
        if name in self._names or "*" in self._names:
            return True
        return self._takes_addresses and _is_address(name.strip("[]"))

    def _is_allowed_origin(self, origin: str, host: str) -> bool:
        if self._cors is not None and self._cors.allows(origin):
            return True
        # A proxy in front may speak https, so the scheme is not compared.
        return urlsplit(origin).netloc.lower() == host.lower()


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
