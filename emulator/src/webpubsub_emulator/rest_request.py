"""One REST request and what may come of it: parameters, answers, and errors with a code."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from urllib.parse import parse_qsl

from webpubsub_emulator import tokens

API_VERSIONS = ("2021-10-01", "2022-11-01", "2023-07-01", "2024-01-01", "2024-12-01")
LARGEST_BODY = 1024 * 1024


class RestError(Exception):
    """An answer that is no success; `code` is for programs, the text for people."""

    def __init__(self, status: int, code: str, message: str, target: str = "Request") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.target = target


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """What goes back to the application. `reason` is for the log, and names nobody."""

    status: int
    body: bytes = b""
    error_code: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class RestCall:
    """One request. `path` holds the decoded segments, `origin` is scheme and host as called."""

    method: str
    raw_path: str
    query_string: str = ""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    origin: str = "http://localhost"
    values: dict[str, str] = field(default_factory=dict)

    @cached_property
    def path(self) -> tuple[str, ...]:
        return tuple(tokens.decode_path(part) for part in self.raw_path.split("/")[1:])

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query_string, keep_blank_values=True)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.query if key.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    def whole_number(self, name: str, least: int, most: int | None = None) -> int | None:
        text = self.one(name)
        if text is None:
            return None
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
        if number < least or (most is not None and number > most):
            raise bad_request(f"{name} is not a whole number from {least} to {most}", name)
        return number

    def header(self, name: str) -> str | None:
        return next((v for key, v in self.headers if key.lower() == name.lower()), None)


def refusal(error: RestError) -> RestAnswer:
    body = {"code": error.code, "message": str(error), "target": error.target}
    # What was not found may be a person; the code says enough about it.
    reason = "" if error.status == HTTPStatus.NOT_FOUND else str(error)
    return RestAnswer(error.status, json.dumps(body).encode(), error.code, reason)


def too_large() -> RestError:
    return RestError(413, "Error.RequestTooLarge", f"The body is over {LARGEST_BODY} bytes.")


def bad_request(message: str, target: str = "Request") -> RestError:
    return RestError(400, "Error.BadRequest", message, target)
