"""A REST request, its parameters, its response, and errors with a code."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from urllib.parse import parse_qsl

from webpubsub_emulator import tokens

API_VERSIONS = ("2021-10-01", "2022-11-01", "2023-07-01", "2024-01-01", "2024-12-01")
MAX_BODY_BYTES = 1024 * 1024
MAX_INT32 = 2**31 - 1


class RestError(Exception):
    """A response that is no success; `code` is for programs, the message for people."""

    def __init__(self, status: int, code: str, message: str, target: str = "Request") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.target = target


@dataclass(frozen=True, slots=True)
class RestResponse:
    """The response to a request. `log_reason` contains no name of a user."""

    status: int
    body: bytes = b""
    error_code: str | None = None
    log_reason: str = ""


@dataclass(frozen=True)
class RestRequest:
    """One request. `origin` is scheme and host as they were called.

    `has_unknown_length` is set for a chunked body, which the service rejects.
    """

    method: str
    raw_path: str
    query_string: str = ""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    origin: str = "http://localhost"
    has_unknown_length: bool = False
    path_values: dict[str, str] = field(default_factory=dict)

    @cached_property
    def path(self) -> tuple[str, ...]:
        """The decoded segments, without the empty one of a trailing slash."""
        segments = self.raw_path.removesuffix("/").split("/")[1:]
        return tuple(tokens.decode_path(segment) for segment in segments)

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query_string, keep_blank_values=True)

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.query if key.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        """Return the first value of a parameter."""
        values = self.values(name)
        return values[0] if values else None

    def single_value(self, name: str) -> str | None:
        """Return the value of a parameter that must not be repeated or blank."""
        values = self.values(name)
        if len(values) > 1 or any(not value.strip() for value in values):
            raise bad_request(f"Invalid {name}.", name)
        return values[0] if values else None

    def integer(self, name: str, minimum: int, maximum: int = MAX_INT32) -> int | None:
        text = self.single_value(name)
        if text is None:
            return None
        digits = len(str(MAX_INT32))
        is_number = text.isascii() and text.isdigit() and len(text) <= digits
        if not is_number or not minimum <= int(text) <= maximum:
            raise bad_request(f"{name} is not an integer from {minimum} to {maximum}.", name)
        return int(text)

    def header(self, name: str) -> str | None:
        return next((v for key, v in self.headers if key.lower() == name.lower()), None)


def error_response(error: RestError) -> RestResponse:
    body = {"code": error.code, "message": str(error), "target": error.target}
    # What was not found may be a user; the code is enough for the log.
    log_reason = "" if error.status == HTTPStatus.NOT_FOUND else str(error)
    return RestResponse(error.status, json.dumps(body).encode(), error.code, log_reason)


def body_too_large() -> RestError:
    message = f"The body is larger than {MAX_BODY_BYTES} bytes."
    return RestError(413, "Error.RequestTooLarge", message)


def bad_request(message: str, target: str = "Request") -> RestError:
    return RestError(400, "Error.BadRequest", message, target)
