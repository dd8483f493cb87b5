"""Requests as the real host shows them to Python.

Header names are in lower case, repeated headers and query values are joined with commas, empty
query values are missing, names of query values are the same in any case, and a body counts only
with a Content-Length.
"""

from aiohttp import web
from azure.functions.meta import Datum

from local.functions.paths import decode_escapes


async def read_request(request: web.BaseRequest, route_values: dict[str, Datum]) -> Datum:
    """A request in the form that the SDK's converter takes."""
    headers: dict[str, Datum] = {}
    for name, value in request.headers.items():
        key = name.lower()
        if key in headers:
            value = f"{headers[key].value},{value}"
        headers[key] = Datum(value, "string")
    query = read_query(request) if "?" in request.raw_path else {}
    body = await request.read() if request.content_length else b""
    parts = {
        "method": Datum(request.method, "string"),
        "url": Datum(f"{request.scheme}://{request.host}{request.raw_path}", "string"),
        "headers": headers,
        "query": {name: Datum(value, "string") for name, value in query.items()},
        "params": route_values,
        "body": Datum(body, "bytes"),
    }
    return Datum(parts, "http")


def read_query(request: web.BaseRequest) -> dict[str, str]:
    """The query values by name, in the spelling of the first one."""
    spellings: dict[str, str] = {}
    query: dict[str, str] = {}
    for part in request.raw_path.partition("?")[2].partition("#")[0].split("&"):
        name, _, value = map(_decode, part.partition("="))
        if value:
            name = spellings.setdefault(name.lower(), name)
            query[name] = f"{query[name]},{value}" if name in query else value
    return query


def _decode(text: str) -> str:
    text = text.replace("+", " ")
    return decode_escapes(text) if "%" in text else text
