"""Finds undefined names in a Bicep file: symbols, functions and members of resources."""

from collections.abc import Iterator
from typing import Any

import tree_sitter

from tests.deployment.arm_types import response_type
from tests.deployment.bicep import File, Resource

FUNCTIONS = {
    "any", "array", "concat", "contains", "createArray", "createObject", "dateTimeAdd",
    "deployer", "deployment", "empty", "endsWith", "environment", "extensionResourceId", "filter",
    "first", "flatten", "format", "guid", "indexOf", "int", "intersection", "items", "join", "json",
    "last", "length", "list", "listKeys", "loadFileAsBase64", "loadJsonContent", "loadTextContent",
    "loadYamlContent", "map", "max", "min", "newGuid", "padLeft", "range", "reduce", "reference",
    "replace", "resourceGroup", "resourceId", "shallowMerge", "skip", "sort", "split", "startsWith",
    "string", "subscription", "subscriptionResourceId", "substring", "take", "tenant",
    "tenantResourceId", "toLower", "toObject", "toUpper", "trim", "union", "uniqueString", "uri",
    "utcNow",
}  # fmt: skip
"""learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-functions"""

DECORATORS = {
    "allowed", "batchSize", "description", "discriminator", "export", "maxLength", "maxValue",
    "metadata", "minLength", "minValue", "onlyIfNotExists", "retryOn", "sealed", "secure",
    "waitUntil",
}  # fmt: skip

COMMON_MEMBERS = {"id", "name", "type", "apiVersion"}

DECLARATIONS = {
    "parameter_declaration", "variable_declaration", "output_declaration", "resource_declaration",
    "module_declaration",
}  # fmt: skip


def find_name_errors(file: File) -> list[str]:
    """The undefined names of a file."""
    symbols = {one.name for one in file.parameters} | set(file.variables)
    symbols |= {one.symbol for one in file.resources} | {one.symbol for one in file.modules}
    return [
        *_undefined(file.root, symbols),
        *_unknown_members(file.root, {one.symbol: one for one in file.resources}),
    ]


def _undefined(node: tree_sitter.Node, symbols: set[str]) -> Iterator[str]:
    known = symbols | set(_bound_by(node))
    if node.type == "call_expression":
        name = _text(node.named_children[0])
        allowed = DECORATORS if node.parent and node.parent.type == "decorator" else FUNCTIONS
        if name not in allowed:
            yield f"line {_line(node)}: there is no function {name}"
    for child in node.children:
        if child.type == "identifier":
            name = _text(child)
            if not _is_declared_here(node, child) and name not in known:
                yield f"line {_line(child)}: there is no {name}"
        else:
            yield from _undefined(child, known)


def _is_declared_here(parent: tree_sitter.Node, node: tree_sitter.Node) -> bool:
    """Whether an identifier declares a name, or is a key, and is not a reference."""
    first = parent.named_children[0] == node
    if parent.type in DECLARATIONS | {"call_expression", "object_property", "lambda_expression"}:
        return first
    if parent.type == "for_statement":
        return first
    # In account::blobs the second name is that of a nested resource.
    return parent.type == "resource_expression" and not first


def _bound_by(node: tree_sitter.Node) -> Iterator[str]:
    if node.type == "for_statement":
        # for x in ..., or for (x, i) in ...
        variables = node.named_children[0]
        yield from map(_text, variables.named_children or [variables])
    if node.type == "lambda_expression":
        yield from (_text(one) for one in node.named_children[:-1])


def _unknown_members(node: tree_sitter.Node, resources: dict[str, Resource]) -> Iterator[str]:
    """Members of resources that their types do not have, also read-only ones."""
    is_inner = node.parent is not None and node.parent.type == "member_expression"
    if node.type == "member_expression" and not is_inner:
        root, *path = _chain(node)
        if root in resources and path and path[0] not in COMMON_MEMBERS:
            yield from _member_errors(resources[root], path, _line(node))
    for child in node.children:
        yield from _unknown_members(child, resources)


def _member_errors(resource: Resource, path: list[str], line: int) -> Iterator[str]:
    kind: Any = response_type(resource.type, resource.body)
    for depth, name in enumerate(path):
        if kind is None or kind.kind != "object":
            return
        if name not in kind.fields:
            where = ".".join([resource.symbol, *path[: depth + 1]])
            yield f"line {line}: {where} does not exist"
            return
        kind = kind.fields[name].type(None)


def _chain(node: tree_sitter.Node) -> list[str]:
    """The names of a.b.c; the first is empty if it is not a symbol."""
    inner = node.named_children[0]
    last = _text(node.named_children[-1])
    if inner.type == "member_expression":
        return [*_chain(inner), last]
    return [_text(inner) if inner.type == "identifier" else "", last]


def _line(node: tree_sitter.Node) -> int:
    return node.start_point[0] + 1


def _text(node: tree_sitter.Node) -> str:
    assert node.text is not None
    return node.text.decode()
