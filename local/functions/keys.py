"""Function keys and the master key, with `--enable-auth`.

A key is sent in the header x-functions-key, else in the query value `code`, in any case.
"""

import hmac

from aiohttp import web
from azure.functions import AuthLevel
from msgspec import Struct

from local.functions.requests import read_query


class Keys(Struct, frozen=True):
    """Without keys, everything is open."""

    function: str | None = None
    master: str | None = None

    def open(self, request: web.BaseRequest, level: AuthLevel) -> bool:
        """Whether the request may call a function of that level; admin routes are ADMIN."""
        if self.function is None or self.master is None or level == AuthLevel.ANONYMOUS:
            return True
        given = _given_key(request).encode(errors="surrogateescape")  # may be no text
        is_master = hmac.compare_digest(given, self.master.encode())
        is_function = hmac.compare_digest(given, self.function.encode())
        return is_master or (is_function and level != AuthLevel.ADMIN)


def _given_key(request: web.BaseRequest) -> str:
    if key := request.headers.get("x-functions-key"):
        return key
    query = {name.lower(): value for name, value in read_query(request).items()}
    return query.get("code", "")
