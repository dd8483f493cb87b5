"""Checks the resources of a Bicep file against the types of Azure Resource Manager."""

from collections.abc import Iterator
from typing import Any

from tests.deployment.arm_models import Type
from tests.deployment.arm_types import PREVIEWS, model_version, resource_type
from tests.deployment.bicep import Choice, Expression, File, Resource

BICEP_MEMBERS = {"name", "parent", "scope", "dependsOn"}
"""Members of a resource in Bicep that are not in its JSON body."""


def find_errors(file: File) -> list[str]:
    """Every property that Azure would reject or ignore, with file and line."""
    return [
        f"{file.path.name}:{resource.line} {resource.type}: {error}"
        for resource in file.resources
        for error in _resource_errors(resource)
    ]


def count_properties(file: File) -> int:
    """The number of checked properties of a file."""
    return sum(_count(resource.body) for resource in file.resources if not resource.existing)


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return sum(1 + _count(one) for one in value.values())
    if isinstance(value, list):
        return sum(_count(one) for one in value)
    return 0


def _resource_errors(resource: Resource) -> Iterator[str]:
    kind = resource_type(resource.type, resource.body)
    if kind is None:
        yield "is not a type that the tests know; add its model to arm_types.MODELS"
        return
    if resource.type not in PREVIEWS:
        newest = model_version(resource.type, resource.body)
        if "preview" in resource.api_version:
            yield f"{resource.api_version} is not a stable API version"
        elif resource.api_version > newest:
            yield f"{resource.api_version} is newer than the model, which is of {newest}"
        elif int(newest[:4]) - int(resource.api_version[:4]) > 2:
            yield f"{resource.api_version} is more than two years older than {newest}"
    if not resource.existing:
        body = {name: value for name, value in resource.body.items() if name not in BICEP_MEMBERS}
        yield from _object_errors("", kind, body)


def _object_errors(path: str, kind: Type, value: dict[str, Any]) -> Iterator[str]:
    for name, field in kind.fields.items():
        if field.required and not field.read_only and name not in value:
            yield f"{path}{name} is required"
    for name, inner in value.items():
        if name not in kind.fields:
            yield f"{path}{name} does not exist"
        elif kind.fields[name].read_only:
            yield f"{path}{name} is read-only"
        else:
            yield from _value_errors(f"{path}{name}", kind.fields[name].type(inner), inner)


def _value_errors(path: str, kind: Type, value: Any) -> Iterator[str]:
    if isinstance(value, Choice):
        for one in value.values:
            yield from _value_errors(path, kind, one)
    elif isinstance(value, Expression) or value is None or kind.kind == "any":
        return
    elif isinstance(value, dict):
        yield from _dict_errors(path, kind, value)
    elif isinstance(value, list):
        if kind.kind != "array":
            yield f"{path} is an array; expected {kind.kind}"
        elif kind.item:
            for one in value:
                yield from _value_errors(f"{path}[]", kind.item, one)
    else:
        yield from _scalar_errors(path, kind, value)


def _dict_errors(path: str, kind: Type, value: dict[str, Any]) -> Iterator[str]:
    if kind.kind == "map" and kind.item:
        for one in value.values():
            yield from _value_errors(f"{path}{{}}", kind.item, one)
    elif kind.kind == "object":
        yield from _object_errors(f"{path}.", kind, value)
    elif kind.kind != "map":
        yield f"{path} is an object; expected {kind.kind}"


def _scalar_errors(path: str, kind: Type, value: Any) -> Iterator[str]:
    actual = {bool: "boolean", int: "integer", str: "string"}[type(value)]
    if actual != kind.kind and (actual, kind.kind) != ("integer", "number"):
        yield f"{path} is {actual}; expected {kind.kind}"
    elif kind.values and value not in kind.values:
        yield f"{path} is {value!r}; expected {' or '.join(kind.values)}"
