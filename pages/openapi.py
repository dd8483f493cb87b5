"""The OpenAPI document, generated from the declarations of the HTTP functions."""

import inspect
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from realtime.http import Access, Endpoint, endpoints

Schema = dict[str, Any]


class ErrorDetail(Struct, frozen=True, omit_defaults=True):
    """A code for programs and a sentence for people.

    `retry` says whether the same request may succeed later, `retry_after_ms` when.
    """

    code: str
    message: str
    retry: bool
    retry_after_ms: int | None = None


class ErrorResponse(Struct, frozen=True):
    """The body of every error."""

    error: ErrorDetail


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


@cache
def document() -> Schema:
    """OpenAPI 3.1 of all HTTP functions that are declared at the first call."""
    schemas, components = _schemas()
    paths: dict[str, Schema] = {}
    for one in endpoints:
        item = paths.setdefault(path(one), {})
        for method in one.methods:
            item[method.lower()] = _operation(one, method, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Townsquare",
            "version": "1",
            "summary": "Live rooms and live data.",
            "description": "The WebSocket messages are described in docs/asyncapi.json.",
        },
        "tags": [{"name": access.value} for access in Access],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SCHEMES},
    }


def path(one: Endpoint) -> str:
    """A route as an OpenAPI path: without constraints, an optional part is left empty."""
    return "/" + re.sub(r"{\w+:[^{}]*\?}", "", one.route)


def _schemas() -> tuple[dict[Any, Schema], dict[str, Schema]]:
    """The schema of each request and response type, and the components to which they refer."""
    types = list(dict.fromkeys(_types()))
    schemas, components = make_schemas(types)
    return dict(zip(types, schemas, strict=True)), components


def make_schemas(types: Iterable[Any]) -> tuple[tuple[Schema, ...], dict[str, Schema]]:
    """The schemas of types, and the components to which they refer.

    Python before 3.13 keeps the indentation of docstrings; a description has none.
    """
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    for component in components.values():
        if "description" in component:
            component["description"] = inspect.cleandoc(component["description"])
    return schemas, components


def _types() -> Iterator[Any]:
    yield ErrorResponse
    for one in endpoints:
        yield from filter(None, (one.body, one.request, one.response))


def _operation(one: Endpoint, method: str, schemas: dict[Any, Schema]) -> Schema:
    operation: Schema = {
        "operationId": one.name if len(one.methods) == 1 else f"{one.name}_{method.lower()}",
        "summary": one.description.partition("\n")[0],
        "tags": [one.access.value],
        "security": SECURITY[one.access],
        "parameters": [*_in_path(one), *_in_query(one, method)],
        "responses": {
            "200": _response("Success.", [schemas[one.response]] if one.response else []),
            "default": _response("Error.", _error_schemas(one, schemas)),
        },
    }
    if one.access is Access.SERVER:  # The platform answers this without a body.
        operation["responses"]["401"] = {"description": "The function key is missing or wrong."}
    body = one.body or one.request
    if body and method != "GET":
        required = one.request is None
        operation["requestBody"] = {"required": required, "content": _json(schemas[body])}
    return operation


def _error_schemas(one: Endpoint, schemas: dict[Any, Schema]) -> list[Schema]:
    """The error object; a raw function may send its usual struct with another status.

    A raw function that sends files may send an error as text.
    """
    if not one.raw:
        return [schemas[ErrorResponse]]
    return [schemas[ErrorResponse], schemas[one.response]] if one.response else []


def _in_path(one: Endpoint) -> Iterator[Schema]:
    for name in re.findall(r"{(\w+)}", one.route):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _in_query(one: Endpoint, method: str) -> Iterator[Schema]:
    kind = one.query or (one.request if method == "GET" else None)
    if kind is None:
        return
    _, components = msgspec.json.schema_components([kind])
    component = components[kind.__name__]
    for name, schema in component["properties"].items():
        required = name in component.get("required", ())
        yield {"name": name, "in": "query", "required": required, "schema": _without_null(schema)}


def _without_null(schema: Schema) -> Schema:
    """The schema of a query value: it can be left out but cannot be null."""
    kinds = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return kinds[0] if len(kinds) == 1 else schema


def _response(description: str, schemas: Iterable[Schema]) -> Schema:
    found = list(schemas)
    if not found:
        return {"description": description}
    schema = found[0] if len(found) == 1 else {"anyOf": found}
    return {"description": description, "content": _json(schema)}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}
