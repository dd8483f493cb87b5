"""Types of JSON, from the model classes of Microsoft's Python libraries.

Two generators make the libraries: AutoRest models have `_attribute_map`, TypeSpec models have
annotated `rest_field` members.
"""

import enum
import importlib
import inspect
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Type:
    """A type of JSON. `kind` is object, map, array, string, integer, number, boolean or any."""

    kind: str
    fields: dict[str, "Field"] = field(default_factory=dict, hash=False)
    item: "Type | None" = None  # of an array or a map
    values: tuple[str, ...] = ()  # the known values of a string, if it has a fixed set


@dataclass(frozen=True)
class Field:
    """A member of an object. `source` is its type, or a function that derives it from a value."""

    source: "Type | Callable[[Any], Type]"
    read_only: bool = False
    required: bool = False

    def type(self, value: Any) -> Type:
        return self.source(value) if callable(self.source) else self.source


def model_type(cls: Any, body: Any) -> Type:
    """The type of a model class, or of the subclass that the body's discriminator names."""
    if hasattr(cls, "_attribute_map"):
        return _autorest(_subtype(cls, body))
    return _typespec(cls)


def _subtype(cls: Any, body: Any) -> Any:
    for name, classes in getattr(cls, "_subtype_map", {}).items():
        key = cls._attribute_map[name]["key"].replace("\\.", ".")
        chosen = classes.get(body.get(key)) if isinstance(body, dict) else None
        if chosen:
            return getattr(importlib.import_module(cls.__module__), chosen)
    return cls


# --- models with _attribute_map ---------------------------------------------------------------

_SCALARS = {
    "str": "string", "int": "integer", "float": "number", "bool": "boolean", "object": "any",
    "iso-8601": "string", "duration": "string", "date": "string", "rfc-1123": "string",
    "long": "integer", "bytearray": "string",
}  # fmt: skip


_COLLECTIONS = {"[": "array", "{": "map"}


@cache
def _autorest(cls: Any) -> Type:
    """`key` is a path in the JSON: properties.accessPolicies."""
    top = Type("object")
    for name, attribute in cls._attribute_map.items():
        path = [
            part.replace("\0", ".") for part in attribute["key"].replace("\\.", "\0").split(".")
        ]
        rules = getattr(cls, "_validation", {}).get(name, {})
        where = top
        for part in path[:-1]:
            inner = where.fields.get(part)
            if inner is None:
                inner = where.fields[part] = Field(Type("object"))
            where = inner.source
        where.fields[path[-1]] = Field(
            _autorest_type(attribute["type"], cls, name),
            read_only=rules.get("readonly", False),
            required=rules.get("required", False),
        )
    return top


def _autorest_type(text: str, cls: Any, name: str) -> Any:
    if text[0] in _COLLECTIONS:
        return _collection(_COLLECTIONS[text[0]], _autorest_type(text[1:-1], cls, name))
    if text in _SCALARS:
        return Type(_SCALARS[text], values=_documented_values(cls, name) if text == "str" else ())
    model = getattr(importlib.import_module(cls.__module__), text, None)
    if model is None:
        return Type("any")
    return lambda value: model_type(model, value)


def _documented_values(cls: Any, name: str) -> tuple[str, ...]:
    """The values that the documentation of a string lists as known."""
    text = re.sub(r"\s+", " ", cls.__doc__ or "")
    found = re.search(rf":(?:ivar|keyword|param) {name}: (.*?) :vartype", text)
    known = re.search(r"Known values are: (.*?)\.(?: |$)", found[1]) if found else None
    return tuple(re.findall(r'"([^"]+)"', known[1])) if known else ()


# --- models with rest_field -------------------------------------------------------------------


@cache
def _typespec(cls: Any) -> Type:
    top = Type("object")
    models = importlib.import_module(re.sub(r"\._models$", "", cls.__module__))
    for base in reversed(cls.__mro__):
        for name, annotation in inspect.get_annotations(base).items():
            rest = vars(vars(base).get(name)) if hasattr(vars(base).get(name), "__dict__") else {}
            if name.startswith("_") or "_visibility" not in rest:
                continue
            visibility = rest["_visibility"]
            kind, optional = _typespec_type(annotation, models)
            top.fields[rest["_rest_name_input"] or name] = Field(
                kind,
                read_only=visibility is not None and "create" not in visibility,
                required=not optional,
            )
    return top


def _typespec_type(annotation: Any, models: types.ModuleType) -> tuple[Any, bool]:
    """The type of an annotation, and whether None is allowed."""
    annotation = _evaluated(annotation, models)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Union or origin is types.UnionType:
        rest = [one for one in arguments if one is not type(None)]
        optional = len(rest) < len(arguments)
        kinds = [_evaluated(one, models) for one in rest]
        enums = [one for one in kinds if isinstance(one, type) and issubclass(one, enum.Enum)]
        if enums:
            return Type("string", values=tuple(one.value for one in enums[0])), optional
        return _typespec_type(kinds[0], models)[0], optional
    if origin in {list, dict}:
        kind = "array" if origin is list else "map"
        return _collection(kind, _typespec_type(arguments[-1], models)[0]), False
    if origin is typing.Literal:
        return Type(
            "string", values=tuple(str(getattr(one, "value", one)) for one in arguments)
        ), False
    return _typespec_scalar(annotation), False


def _typespec_scalar(annotation: Any) -> Any:
    kinds = {str: "string", int: "integer", float: "number", bool: "boolean"}
    if annotation in kinds:
        return Type(kinds[annotation])
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return Type("string", values=tuple(one.value for one in annotation))
    if isinstance(annotation, type) and "azure.mgmt" in annotation.__module__:
        return lambda value: model_type(annotation, value)
    return Type("any")


def _evaluated(annotation: Any, models: types.ModuleType) -> Any:
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        names = {**vars(typing), "_models": models, "datetime": importlib.import_module("datetime")}
        return eval(annotation, names)  # noqa: S307 - annotations of a pinned library
    return annotation


def _collection(kind: str, item: Any) -> Callable[[Any], Type]:
    """An array or a map. If the item type depends on a value, the first item of a list decides."""

    def resolve(value: Any) -> Type:
        first = next(iter(value), None) if isinstance(value, list) else None
        return Type(kind, item=item(first) if callable(item) else item)

    return resolve
