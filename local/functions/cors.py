"""Which other origins may call, by the rule of ASP.NET Core's CORS middleware.

Requests without an Origin are not changed. A preflight gets a 204, allowed or not, and reaches no
function.
"""

from aiohttp import web
from msgspec import Struct


class Cors(Struct, frozen=True):
    """The `CORS` and `CORSCredentials` of local.settings.json."""

    origins: frozenset[str]
    credentials: bool

    def answer_preflight(self, request: web.BaseRequest) -> web.Response | None:
        """The response to a preflight request of a browser, or None."""
        if not is_preflight(request):
            return None
        response = web.Response(status=204)
        if self.allow(request, response):
            method = request.headers["Access-Control-Request-Method"]
            response.headers["Access-Control-Allow-Methods"] = method
            if headers := request.headers.get("Access-Control-Request-Headers"):
                response.headers["Access-Control-Allow-Headers"] = headers
        return response

    def allow(self, request: web.BaseRequest, response: web.Response) -> bool:
        """Lets the calling page read the response, if its origin is listed."""
        origin = request.headers.get("Origin")
        if origin is None or not self.allows(origin):
            return False
        anyone = "*" in self.origins
        response.headers["Access-Control-Allow-Origin"] = "*" if anyone else origin
        if self.credentials:
            response.headers["Access-Control-Allow-Credentials"] = "true"
        if len(self.origins) > 1:
            response.headers.add("Vary", "Origin")
        return True

    def allows(self, origin: str) -> bool:
        return bool(self.origins & {origin, "*"})


def is_preflight(request: web.BaseRequest) -> bool:
    headers = request.headers
    return (
        request.method == "OPTIONS"
        and "Origin" in headers
        and "Access-Control-Request-Method" in headers
    )
