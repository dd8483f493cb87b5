"""Reads Bicep files as data: parameters, outputs, modules and resources with their properties."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import tree_sitter
import tree_sitter_bicep

from local.parts import ROOT

INFRA = ROOT / "infra"
FILES = sorted(INFRA.glob("*.bicep"))


@dataclass(frozen=True)
class Expression:
    """A value that is known only during a deployment."""

    text: str


@dataclass(frozen=True)
class Choice:
    """The values of a conditional expression."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Resource:
    """A resource of a file. `type` is the full type, that of a nested resource too."""

    symbol: str
    type: str
    api_version: str
    existing: bool
    body: dict[str, Any]
    line: int


@dataclass(frozen=True)
class Parameter:
    name: str
    type: str
    has_default: bool
    default: str
    decorators: dict[str, str] = field(hash=False, default_factory=dict)


@dataclass(frozen=True)
class Module:
    symbol: str
    path: str
    arguments: dict[str, Any]


class File:
    """One Bicep file, from its path or from changed text."""

    def __init__(self, path: Path, text: str | None = None) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8") if text is None else text
        self.root = _parser().parse(self.text.encode()).root_node

    @property
    def parameters(self) -> list[Parameter]:
        found = []
        decorators: dict[str, str] = {}
        for node in self.root.children:
            if node.type == "decorators":
                decorators = _decorators(node)
                continue
            if node.type == "parameter_declaration":
                # param <name> <type> [= <default>]
                named = node.named_children
                default = _text(named[2]) if len(named) > 2 else ""
                has_default = any(child.type == "=" for child in node.children)
                found.append(
                    Parameter(_text(named[0]), _text(named[1]), has_default, default, decorators)
                )
            decorators = {}
        return found

    @property
    def variables(self) -> list[str]:
        nodes = _nodes(self.root, "variable_declaration")
        return [_text(node.named_children[0]) for node in nodes]

    @property
    def outputs(self) -> list[str]:
        nodes = _nodes(self.root, "output_declaration")
        return [_text(node.named_children[0]) for node in nodes]

    @property
    def modules(self) -> list[Module]:
        found = []
        for node in _nodes(self.root, "module_declaration"):
            symbol, path = node.named_children[:2]
            body = _body(node)
            found.append(Module(_text(symbol), _text(path)[1:-1], body.get("params", {})))
        return found

    @property
    def resources(self) -> list[Resource]:
        return list(_resources(self.root, ""))

    def resource(self, symbol: str) -> Resource:
        return next(one for one in self.resources if one.symbol == symbol)

    @property
    def literals(self) -> dict[str, str]:
        """Variables that are one string."""
        found = {}
        for node in _nodes(self.root, "variable_declaration"):
            value = _value(node.named_children[1])
            if isinstance(value, str):
                found[_text(node.named_children[0])] = value
        return found


@cache
def read(name: str) -> File:
    """A file of infra/ by its name without the suffix."""
    return File(INFRA / f"{name}.bicep")


def seed_error(name: str, right: str, wrong: str) -> File:
    """A file of infra/ in which a text is replaced."""
    path = INFRA / f"{name}.bicep"
    text = path.read_text(encoding="utf-8")
    assert right in text
    return File(path, text.replace(right, wrong))


def loop_values(file: File, resource: Resource) -> list[Any]:
    """The literal values of the loop that declares a resource."""
    for node in _nodes(file.root, "resource_declaration"):
        if _text(node.named_children[0]) == resource.symbol:
            loop = next(_nodes(node, "for_statement"))
            values = _value(next(child for child in loop.children if child.type == "array"))
            names = file.literals
            return [
                names.get(one.text, one) if isinstance(one, Expression) else one for one in values
            ]
    raise AssertionError(f"{resource.symbol} is not in {file.path.name}")


def _resources(node: tree_sitter.Node, parent: str) -> Iterator[Resource]:
    for child in node.children:
        if child.type != "resource_declaration":
            yield from _resources(child, parent)
            continue
        symbol, declared = child.named_children[:2]
        kind, _, version = _text(declared)[1:-1].partition("@")
        if "/" not in kind or (parent and "." not in kind.partition("/")[0]):
            outer, _, outer_version = parent.partition("@")
            kind, version = f"{outer}/{kind}", version or outer_version
        yield Resource(
            _text(symbol), kind, version,
            any(word.type == "existing" for word in child.children),
            _body(child), child.start_point[0] + 1,
        )  # fmt: skip
        yield from _resources(child, f"{kind}@{version}")


def _body(node: tree_sitter.Node) -> dict[str, Any]:
    """The object of a declaration, also behind a condition or in a loop."""
    for child in node.children:
        if child.type == "object":
            return _object(child)
        if child.type in {"if_statement", "for_statement"}:
            return _body(child)
    return {}


def _object(node: tree_sitter.Node) -> dict[str, Any]:
    found = {}
    for one in node.children:
        if one.type == "object_property" and one.named_children[0].type != "resource_declaration":
            key, value = one.named_children[0], one.named_children[-1]
            found[_text(key).strip("'")] = _value(value)
    return found


def _value(node: tree_sitter.Node) -> Any:
    """A Python value, or an Expression when it is known only during a deployment."""
    kind, text = node.type, _text(node)
    if kind == "object":
        return _object(node)
    if kind == "array":
        return [_value(one) for one in node.named_children if one.type != "comment"]
    if kind == "string" and not any(True for _ in _nodes(node, "interpolation")):
        return text.strip("'")
    if kind == "string":
        return Expression(text)
    if kind == "number":
        return int(text)
    if kind == "boolean":
        return text == "true"
    if kind == "null":
        return None
    if kind == "ternary_expression":
        return Choice(tuple(_value(one) for one in node.named_children[1:]))
    return Expression(text)


def _decorators(node: tree_sitter.Node) -> dict[str, str]:
    calls = list(_nodes(node, "call_expression"))
    outer = [one for one in calls if one.parent is not None and one.parent.type == "decorator"]
    return {_text(one.named_children[0]): _text(one.named_children[1]) for one in outer}


def _nodes(node: tree_sitter.Node, kind: str) -> Iterator[tree_sitter.Node]:
    if node.type == kind:
        yield node
    for child in node.children:
        yield from _nodes(child, kind)


def _text(node: tree_sitter.Node) -> str:
    assert node.text is not None
    return node.text.decode()


def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))
