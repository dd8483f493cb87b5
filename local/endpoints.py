"""HTTP functions: from a request on the socket to the words of the SDK, and back.

What the real host changes on the way is changed here too: header names become lower case, repeated
ones are joined, empty query values vanish, a body counts only with a Content-Length, a wrong method
is a 404, a failed function is an empty 500.
"""

import asyncio
import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from aiohttp import web
from azure.functions import AuthLevel
from azure.functions.meta import Datum
from multidict import CIMultiDict

from local.routes import Route, compile_route, decoded
from local.timers import Timer
from local.worker import Function, LoadError, Worker

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 100 * 1024 * 1024
# Which function answers is remembered for this many paths.
REMEMBERED_PATHS = 1024

Found = tuple["Endpoint", dict[str, Datum]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An HTTP function with what decides whether a request is for it."""

    function: Function
    template: str
    route: Route
    methods: frozenset[str]  # empty: all of them
    needs_key: bool

    @classmethod
    def of(cls, function: Function, prefix: str) -> "Endpoint":
        """The endpoint of a function; LoadError for a route that cannot be."""
        trigger = function.trigger
        template = "/".join(part for part in (prefix, trigger.route or function.name) if part)
        if template.split("/")[0].lower() in ("admin", "runtime"):
            raise LoadError(
                f"the function {function.name}: routes below admin and runtime are the host's"
            )
        try:
            route = compile_route(template)
        except ValueError as error:
            raise LoadError(f"the function {function.name}: {error}") from error
        return cls(
            function=function,
            template=template,
            route=route,
            methods=frozenset(str(method).upper() for method in trigger.methods or ()),
            needs_key=trigger.auth_level != AuthLevel.ANONYMOUS,
        )

    def match(self, method: str, path: str) -> dict[str, str] | None:
        if self.methods and method not in self.methods:
            return None
        return self.route.match(path)


@dataclass(frozen=True, slots=True)
class Cors:
    """Which pages of other origins may call, by the rule of ASP.NET Core's CORS middleware."""

    origins: frozenset[str]
    credentials: bool

    def preflight(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to a browser that asks first; no function ever sees that question."""
        asked = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or asked is None or "Origin" not in request.headers:
            return None
        response = web.Response(status=204)
        if self.admit(request, response):
            response.headers["Access-Control-Allow-Methods"] = asked
            if headers := request.headers.get("Access-Control-Request-Headers"):
                response.headers["Access-Control-Allow-Headers"] = headers
        return response

    def admit(self, request: web.BaseRequest, response: web.Response) -> bool:
        """Lets the page that asks read this response, if its origin may."""
        origin = request.headers.get("Origin")
        if origin is None or not self.origins & {origin, "*"}:
            return False
        anyone = "*" in self.origins
        response.headers["Access-Control-Allow-Origin"] = "*" if anyone else origin
        if self.credentials:
            response.headers["Access-Control-Allow-Credentials"] = "true"
        if len(self.origins) > 1:
            response.headers.add("Vary", "Origin")
        return True


class Front:
    """The host's front door: finds the function for a request and lets it answer."""

    def __init__(
        self,
        endpoints: list[Endpoint],
        timers: list[Timer],
        worker: Worker,
        custom_headers: Mapping[str, str],
        cors: Cors | None,
        key: str | None,
    ) -> None:
        self._endpoints = endpoints
        self._timers = {timer.name.lower(): timer for timer in timers}
        self._worker = worker
        self._custom_headers = custom_headers
        self._cors = cors
        self._key = key
        self._find = lru_cache(REMEMBERED_PATHS)(self._search)
        self._runs: set[asyncio.Task[None]] = set()

    def server(self) -> web.Server:
        """A server without a router of its own: routing is what this host is about."""
        request = partial(
            web.BaseRequest, loop=asyncio.get_running_loop(), client_max_size=MAX_BODY_BYTES
        )
        return web.Server(
            self.answer, request_factory=request, auto_decompress=False, access_log=None
        )

    async def answer(self, request: web.BaseRequest) -> web.Response:
        if self._cors and (preflight := self._cors.preflight(request)):
            return preflight
        response = await self._respond(request)
        for name, value in self._custom_headers.items():
            response.headers.setdefault(name, value)
        if self._cors:
            self._cors.admit(request, response)
        return response

    async def _respond(self, request: web.BaseRequest) -> web.Response:
        path = request.rel_url.raw_path[1:]
        found = self._find(request.method, path)
        if found is None:
            return self._own(request, path)
        endpoint, values = found
        if endpoint.needs_key and not self._opens(request):
            return web.Response(status=401)
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return web.Response(status=413)
        incoming = await _incoming(request, values)
        try:
            return _outgoing(await self._worker.answer(endpoint.function, incoming))
        except Exception:
            log.exception("the function %s failed", endpoint.function.name)
            return web.Response(status=500)

    def _search(self, method: str, path: str) -> Found | None:
        path = decoded(path)
        for endpoint in self._endpoints:
            if (values := endpoint.match(method, path)) is not None:
                return endpoint, {name: Datum(value, "string") for name, value in values.items()}
        return None

    def _opens(self, request: web.BaseRequest) -> bool:
        if self._key is None:
            return True
        given = request.headers.get("x-functions-key") or request.rel_url.query.get("code") or ""
        # A header may hold bytes that are no text.
        return hmac.compare_digest(given.encode(errors="surrogateescape"), self._key.encode())

    def _own(self, request: web.BaseRequest, path: str) -> web.Response:
        """What the host itself answers, where no function does."""
        if not path:
            return web.Response(text="The Functions host is up and running.")
        if path.lower() == "admin/host/ping":
            return web.Response()
        if request.method == "POST" and path.lower().startswith("admin/functions/"):
            return self._run_now(request, path.rpartition("/")[2].lower())
        return web.Response(status=404)

    def _run_now(self, request: web.BaseRequest, name: str) -> web.Response:
        if not self._opens(request):
            return web.Response(status=401)
        if name not in self._timers:
            return web.Response(status=404)
        run = asyncio.create_task(self._timers[name].run_once())
        self._runs.add(run)  # the loop itself holds a task only weakly
        run.add_done_callback(self._runs.discard)
        return web.Response(status=202)


async def _incoming(request: web.BaseRequest, values: dict[str, Datum]) -> Datum:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    params: dict[str, str] = {}
    for name, value in request.rel_url.query.items() if request.rel_url.raw_query_string else ():
        if value:
            params[name] = f"{params[name]},{value}" if name in params else value
    body = await request.read() if request.content_length else b""
    parts = {
        "method": Datum(request.method, "string"),
        "url": Datum(f"{request.scheme}://{request.host}{request.path_qs}", "string"),
        "headers": {name: Datum(value, "string") for name, value in headers.items()},
        "query": {name: Datum(value, "string") for name, value in params.items()},
        "params": values,
        "body": Datum(body, "bytes"),
    }
    return Datum(parts, "http")


def _outgoing(reply: Datum) -> web.Response:
    if reply.type == "string":
        return web.Response(text=reply.value)
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in reply.value["headers"].items():
        headers[name] = value.value  # the last of repeated ones stays, as in the real host
    for cookie in reply.value["cookies"] or ():
        for morsel in cookie.values():
            headers.add("Set-Cookie", morsel.OutputString())
    return web.Response(
        status=int(reply.value["status_code"].value),
        headers=headers,
        body=reply.value["body"].value,
    )
