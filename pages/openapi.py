"""The OpenAPI document, generated from the declarations of the HTTP functions."""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from types import UnionType
from typing import Any

from msgspec import Struct

from pages.schemas import EXAMPLES, Schema, add_example, make_schemas
from realtime.errors import ERROR_CODES, ApiError
from realtime.http import Access, Endpoint, endpoints
from realtime.names import NAME_PATTERN


class ErrorDetail(Struct, frozen=True, omit_defaults=True):
    """A code for programs and a sentence for people.

    `retry` says whether the same request may succeed later, `retry_after_ms` when. For the code
    `conflict`, `revision` is the present revision of the message.
    """

    code: str
    message: str
    retry: bool
    retry_after_ms: int | None = None
    revision: int | None = None


class ErrorResponse(Struct, frozen=True):
    """The body of every error."""

    error: ErrorDetail


DESCRIPTION = """\
Rooms, direct messages, presence and streams of live data.

A browser calls `/api/negotiate`, opens the WebSocket at the returned `url`, and sends messages
there. The messages of the WebSocket are described in `docs/asyncapi.json`.
"""

TAGS = {
    Access.PUBLIC: "Everybody may call these.",
    Access.SESSION: "The caller proves an identity, with `Authorization: Bearer` and the `session` "
    "from negotiate or a token of the configured issuer. With App Service Authentication, the "
    "platform identifies the caller.",
    Access.SERVER: "For servers and operators: the call needs a function key.",
}

SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.PUBLIC: [],
    Access.SESSION: [{"session": []}],
    Access.SERVER: [{"key": []}],
}

SCHEMES = {
    "session": {
        "type": "http",
        "scheme": "bearer",
        "description": "The `session` of a guest from negotiate, or a token of the issuer.",
    },
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "x-functions-key",
        "description": "A function key; the query parameter `code` is accepted too.",
    },
}

NO_KEY = "- The function key is missing or wrong. The platform sends this without a body."


@cache
def document() -> Schema:
    """OpenAPI 3.1 of all documented HTTP functions that are declared at the first call."""
    schemas, components = _schemas()
    paths: dict[str, Schema] = {}
    for one in documented_endpoints():
        item = paths.setdefault(path(one), {})
        for method in one.methods:
            item[method.lower()] = _operation(one, method, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Townsquare",
            "version": "1",
            "summary": "Live rooms and live data for the browser.",
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The app that serves this document."}],
        "tags": [{"name": one.value, "description": text} for one, text in TAGS.items()],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SCHEMES},
    }


def documented_endpoints() -> list[Endpoint]:
    return [one for one in endpoints if one.documented]


def path(one: Endpoint) -> str:
    """A route as an OpenAPI path: without constraints, an optional part is left empty."""
    return "/" + re.sub(r"{\w+:[^{}]*\?}", "", one.route)


def operation_id(one: Endpoint, method: str) -> str:
    return one.name if len(one.methods) == 1 else f"{one.name}_{method.lower()}"


def _schemas() -> tuple[dict[Any, Schema], dict[str, Schema]]:
    """The schema of each request and response type, and the components to which they refer."""
    types = list(dict.fromkeys(part for one in _types() for part in _members_of(one)))
    made, components = make_schemas(types)
    schemas: dict[Any, Schema] = dict(zip(types, made, strict=True))
    for one in _types():
        if isinstance(one, UnionType):
            schemas[one] = {"anyOf": [schemas[part] for part in _members_of(one)]}
    return schemas, components


def _types() -> Iterator[Any]:
    yield ErrorResponse
    for one in documented_endpoints():
        yield from filter(None, (one.body, one.request, one.response))


def _members_of(kind: Any) -> tuple[Any, ...]:
    """The types of a union: a function may answer with one of several structs."""
    return kind.__args__ if isinstance(kind, UnionType) else (kind,)


def _operation(one: Endpoint, method: str, schemas: dict[Any, Schema]) -> Schema:
    summary, _, description = one.description.partition("\n\n")
    operation: Schema = {
        "operationId": operation_id(one, method),
        "summary": " ".join(summary.split()),
        "tags": [one.access.value],
        "security": SECURITY[one.access],
        "parameters": [*_path_parameters(one), *_query_parameters(one, method)],
        "responses": {**_success(one, method, schemas), **_errors(one, schemas)},
    }
    if description:
        operation["description"] = description
    body = one.body or one.request
    if body and method != "GET":
        required = one.request is None
        operation["requestBody"] = {"required": required, "content": _json(schemas[body])}
    return operation


# --- parameters -----------------------------------------------------------------------------


def _path_parameters(one: Endpoint) -> Iterator[Schema]:
    for name in re.findall(r"{(\w+)}", one.route):
        schema = {"type": "string"}
        if name in {"room", "user_id"}:
            schema["pattern"] = f"^{NAME_PATTERN}$"
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "schema": schema,
            "example": str(EXAMPLES[name]),
        }


def _query_parameters(one: Endpoint, method: str) -> Iterator[Schema]:
    kind = one.query or (one.request if method == "GET" else None)
    if kind is None:
        return
    _, components = make_schemas([kind])
    component = components[kind.__name__]
    for name, schema in component["properties"].items():
        required = name in component.get("required", ())
        value = _query_value(schema)
        add_example(value, kind.__name__, name)
        if "enum" in value:
            value["examples"] = [value["default"]]
        yield {"name": name, "in": "query", "required": required, "schema": value}


def _query_value(schema: Schema) -> Schema:
    """The schema of a query value: it can be left out, but cannot be null or a list."""
    kinds = [one for one in schema.get("anyOf", ()) if one["type"] not in {"null", "array"}]
    if len(kinds) != 1:
        return schema
    return {**kinds[0], **({"default": schema["default"]} if schema.get("default") else {})}


# --- responses ------------------------------------------------------------------------------


def _success(one: Endpoint, method: str, schemas: dict[Any, Schema]) -> Schema:
    if one.response:
        return {"200": {"description": "Success.", "content": _json(schemas[one.response])}}
    if method == "OPTIONS":
        return {"204": {"description": "Success."}}
    content: Schema = {"application/json": {"schema": {}}}
    return {
        "200": {"description": "Success, with a message for the client.", "content": content},
        "204": {"description": "Success."},
    }


def _errors(one: Endpoint, schemas: dict[Any, Schema]) -> Schema:
    """The responses with an error status: each has its codes in the description and as examples.

    A raw function may send its usual struct with another status, as the health report does.
    """
    by_status: dict[int, list[str]] = {}
    for code in ERROR_CODES:
        if code in one.errors:
            by_status.setdefault(ERROR_CODES[code].status, []).append(code)
    responses = {str(status): _error(codes, schemas) for status, codes in by_status.items()}
    if one.raw and one.response:
        content = responses["503"]["content"]["application/json"]
        content["schema"] = {"anyOf": [schemas[one.response], schemas[ErrorResponse]]}
    if one.access is Access.SERVER:
        missing = responses.setdefault("401", {"description": ""})
        missing["description"] = "\n".join(filter(None, (missing["description"], NO_KEY)))
    return dict(sorted(responses.items()))


def _error(codes: Iterable[str], schemas: dict[Any, Schema]) -> Schema:
    listed = sorted(codes)
    return {
        "description": "\n".join(f"- `{code}`: {ERROR_CODES[code].meaning}" for code in listed),
        "content": {
            "application/json": {
                "schema": schemas[ErrorResponse],
                "examples": {code: {"value": _example(code)} for code in listed},
            }
        },
    }


def _example(code: str) -> Schema:
    error = ApiError(code, ERROR_CODES[code].meaning)
    return {"error": {"code": code, "message": error.message, "retry": error.retry}}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}
