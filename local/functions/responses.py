"""Responses as the real host sends what Python returned.

A body is sent in chunks, of repeated headers the last one is sent, and cookies are parsed and
serialized again. A header that HTTP cannot carry makes the response an empty 500.
"""

import re
from collections.abc import Iterator
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime
from http.cookies import Morsel
from urllib.parse import quote

from aiohttp import HttpVersion11, web
from aiohttp.hdrs import CONTENT_LENGTH
from azure.functions.meta import Datum
from multidict import CIMultiDict

_NO_BODY = (204, 205, 304)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


def make_response(request: web.BaseRequest, returned: Datum) -> web.Response:
    """The response to send. Raises ValueError for a header that HTTP cannot carry."""
    if returned.type == "string":
        response = web.Response(text=returned.value)
    else:
        parts = returned.value
        headers: CIMultiDict[str] = CIMultiDict()
        for name, datum in parts["headers"].items():
            value = datum.value
            if not (value.isascii() and value.isprintable()) or not _TOKEN.fullmatch(name):
                _check_header(name, value)
            headers[name] = value
        for cookie in parts["cookies"] or ():
            for morsel in cookie.values():
                headers.add("Set-Cookie", "; ".join(_cookie_parts(morsel)))
        status = int(parts["status_code"].value)
        body = b"" if status in _NO_BODY else parts["body"].value
        response = web.Response(status=status, headers=headers, body=body)
    if (
        response.body
        and request.version == HttpVersion11
        and CONTENT_LENGTH not in response.headers
    ):
        response.enable_chunked_encoding()
    return response


def _check_header(name: str, value: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header")
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError(f"the header {name} has characters that are not printable ASCII")


def _cookie_parts(morsel: "Morsel[str]") -> Iterator[str]:
    """The attributes in ASP.NET Core's order. A missing domain or path is written empty."""
    yield f"{morsel.key}={quote(morsel.value, safe='')}"
    if morsel["expires"]:
        expires = parsedate_to_datetime(str(morsel["expires"]).replace("-", " ")).astimezone(UTC)
        yield f"expires={format_datetime(expires, usegmt=True)}"
    if morsel["max-age"]:
        yield f"max-age={int(float(morsel['max-age']))}"
    yield f"domain={morsel['domain']}"
    yield f"path={morsel['path']}"
    if morsel["secure"]:
        yield "secure"
    if (same_site := str(morsel["samesite"]).lower()) in ("strict", "lax", "none"):
        yield f"samesite={same_site}"
    if morsel["httponly"]:
        yield "httponly"
