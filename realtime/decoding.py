"""Decodes the JSON that clients, servers and Web PubSub send."""

from itertools import chain
from typing import Any, TypeVar

import msgspec

from realtime.errors import ApiError

T = TypeVar("T")

MAX_JSON_DEPTH = 100
"""How deep objects and arrays are nested. Encoding and comparing deeper ones could fail later."""


def decode(body: bytes, kind: type[T]) -> T:
    """A struct from JSON. Raises ApiError that names the invalid field."""
    try:
        decoded = msgspec.json.decode(body, type=kind)
        _check_depth(body)
    except msgspec.ValidationError as error:
        raise ApiError("invalid_request", f"{error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ApiError("bad_json", "The body is not valid JSON.") from None
    return decoded


def _check_depth(body: bytes) -> None:
    if body.count(b"{") + body.count(b"[") <= MAX_JSON_DEPTH:
        return
    containers: list[Any] = [msgspec.json.decode(body)]
    for _ in range(MAX_JSON_DEPTH):
        members = chain.from_iterable(
            one.values() if isinstance(one, dict) else one for one in containers
        )
        containers = [one for one in members if isinstance(one, dict | list)]
        if not containers:
            return
    raise ApiError("bad_json", f"Objects and arrays are nested deeper than {MAX_JSON_DEPTH}.")
