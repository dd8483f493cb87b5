"""The HTTP functions as an OpenAPI document, made from nothing but their declarations."""

import inspect
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from realtime.answers import Access, Endpoint, endpoints

Schema = dict[str, Any]


class Problem(Struct, frozen=True, omit_defaults=True):
    """Why something was refused: a code for programs, a sentence for people.

    `retry` tells whether the same request may succeed later, `retry_after_ms` when.
    """

    code: str
    message: str
    retry: bool
    retry_after_ms: int | None = None


class Error(Struct, frozen=True):
    """What every refusal looks like."""

    error: Problem


SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.OPEN: [],
    Access.WHO: [{"session": []}],
    Access.KEY: [{"key": []}],
}

SCHEMES = {
    "session": {
        "type": "http",
        "scheme": "bearer",
        "description": "The `session` that negotiate gave to a guest, or a token of the issuer.",
    },
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "x-functions-key",
        "description": "A function key; in the query it is called `code`.",
    },
}


@cache
def document() -> Schema:
    """OpenAPI 3.1 of all HTTP functions that are declared when it is first asked for."""
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
            "description": "What is said over the socket is told in docs/asyncapi.json.",
        },
        "tags": [{"name": access.value} for access in Access],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": SCHEMES},
    }


def path(one: Endpoint) -> str:
    """A route in OpenAPI's words: constraints are the platform's, an optional part stays empty."""
    return "/" + re.sub(r"{\w+:[^{}]*\?}", "", one.route)


def _schemas() -> tuple[dict[Any, Schema], dict[str, Schema]]:
    """The schema of each type that a function reads or answers, and the components they name."""
    types = list(dict.fromkeys(_types()))
    schemas, components = shapes(types)
    return dict(zip(types, schemas, strict=True)), components


def shapes(types: Iterable[Any]) -> tuple[tuple[Schema, ...], dict[str, Schema]]:
    """The schemas of types, and those that they name.

    Python before 3.13 leaves the indentation in docstrings; here a description has none.
    """
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    for component in components.values():
        if "description" in component:
            component["description"] = inspect.cleandoc(component["description"])
    return schemas, components


def _types() -> Iterator[Any]:
    yield Error
    for one in endpoints:
        yield from filter(None, (one.body, one.asks, one.answer))


def _operation(one: Endpoint, method: str, schemas: dict[Any, Schema]) -> Schema:
    operation: Schema = {
        "operationId": one.name if len(one.methods) == 1 else f"{one.name}_{method.lower()}",
        "summary": one.meaning.partition("\n")[0],
        "tags": [one.access.value],
        "security": SECURITY[one.access],
        "parameters": [*_in_path(one), *_in_query(one, method)],
        "responses": {
            "200": _response("The answer.", [schemas[one.answer]] if one.answer else []),
            "default": _response("A refusal.", _refusals(one, schemas)),
        },
    }
    if one.access is Access.KEY:  # The platform says that, and says nothing more.
        operation["responses"]["401"] = {"description": "The function key is missing or wrong."}
    said = one.body or one.asks
    if said and method != "GET":
        required = one.asks is None
        operation["requestBody"] = {"required": required, "content": _json(schemas[said])}
    return operation


def _refusals(one: Endpoint, schemas: dict[Any, Schema]) -> list[Schema]:
    """The error object; a function that chooses its status may answer as usual with another one.

    What makes its own response and answers with files may refuse with a text.
    """
    if not one.whole:
        return [schemas[Error]]
    return [schemas[Error], schemas[one.answer]] if one.answer else []


def _in_path(one: Endpoint) -> Iterator[Schema]:
    for name in re.findall(r"{(\w+)}", one.route):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _in_query(one: Endpoint, method: str) -> Iterator[Schema]:
    kind = one.query or (one.asks if method == "GET" else None)
    if kind is None:
        return
    _, components = msgspec.json.schema_components([kind])
    shape = components[kind.__name__]
    for name, schema in shape["properties"].items():
        required = name in shape.get("required", ())
        yield {"name": name, "in": "query", "required": required, "schema": _given(schema)}


def _given(schema: Schema) -> Schema:
    """The schema of a value that is there: a query can leave one out, but has no null."""
    kinds = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return kinds[0] if len(kinds) == 1 else schema


def _response(meaning: str, schemas: Iterable[Schema]) -> Schema:
    found = list(schemas)
    if not found:
        return {"description": meaning}
    schema = found[0] if len(found) == 1 else {"anyOf": found}
    return {"description": meaning, "content": _json(schema)}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}
