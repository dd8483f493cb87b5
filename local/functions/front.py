"""Handles HTTP requests: finds the function of each one and calls it."""

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import cast

from aiohttp import web
from azure.functions import AuthLevel
from azure.functions.meta import Datum
from msgspec import Struct, field

from local.functions.admin import Admin, respond_at_root
from local.functions.callers import Callers
from local.functions.concurrency import Concurrency, TooManyRequests
from local.functions.cors import Cors
from local.functions.declarations import Endpoint
from local.functions.keys import Keys
from local.functions.paths import normalize_path
from local.functions.protocol import Connection
from local.functions.requests import read_request
from local.functions.responses import make_response
from local.functions.worker import Worker

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 100 * 1024 * 1024
# For how many paths the function is cached.
REMEMBERED_PATHS = 1024

Found = tuple[Endpoint, dict[str, Datum]]


class Front(Struct, dict=True):
    """What the handling of a request depends on."""

    endpoints: list[Endpoint]
    worker: Worker
    admin: Admin
    keys: Keys
    callers: Callers
    concurrency: Concurrency
    custom_headers: Mapping[str, str] = field(default_factory=dict)
    cors: Cors | None = None

    def __post_init__(self) -> None:
        self._find = lru_cache(REMEMBERED_PATHS)(self._search)

    async def respond(self, request: web.BaseRequest) -> web.Response:
        """The response to any request."""
        connection = cast("Connection", request.protocol)
        if (response := connection.begin_request(request)) is not None:
            return response
        try:
            if self.cors and (response := self.cors.answer_preflight(request)):
                return response
            if problem := self.callers.find_problem(request):
                return web.Response(status=403, text=problem)
            response = await self._respond(request)
        finally:
            connection.end_request()
        for name, value in self.custom_headers.items():
            response.headers.setdefault(name, value)
        if self.cors:
            self.cors.allow(request, response)
        return response

    async def _respond(self, request: web.BaseRequest) -> web.Response:
        raw_path = request.rel_url.raw_path
        if "%00" in raw_path:
            return web.Response(status=400)
        found = self._find(request.method, raw_path)
        if found is None:
            return await self._respond_without_function(request, normalize_path(raw_path))
        endpoint, route_values = found
        if not self.keys.open(request, endpoint.level):
            return web.Response(status=401)
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return web.Response(status=413)
        try:
            if not self.concurrency.try_acquire():
                await self.concurrency.wait()
        except TooManyRequests:
            return web.Response(status=429)
        try:
            incoming = await read_request(request, route_values)
            return make_response(request, await self.worker.respond(endpoint.function, incoming))
        except Exception:
            name = endpoint.function.name
            log.exception("the function %s failed", name, extra={"function_name": name})
            return web.Response(status=500)
        finally:
            self.concurrency.release()

    def _search(self, method: str, raw_path: str) -> Found | None:
        path = normalize_path(raw_path)
        for endpoint in self.endpoints:
            if (values := endpoint.match(method, path)) is not None:
                return endpoint, {name: Datum(value, "string") for name, value in values.items()}
        return None

    async def _respond_without_function(self, request: web.BaseRequest, path: str) -> web.Response:
        if not path:
            return respond_at_root()
        if path.lower().partition("/")[0] != "admin":
            return web.Response(status=404)
        if problem := self.callers.find_cross_site(request):
            return web.Response(status=403, text=problem)
        is_ping = path.lower() == "admin/host/ping"
        if not is_ping and not self.keys.open(request, AuthLevel.ADMIN):
            return web.Response(status=401)
        return await self.admin.respond(request, path)
