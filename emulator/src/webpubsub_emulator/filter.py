"""Filters: the `filter` parameter as a predicate on connections.

https://learn.microsoft.com/azure/azure-web-pubsub/reference-odata-filter
A filter is compiled once into typed functions, so every mistake shows before anything is sent.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from webpubsub_emulator.connection import Connection
from webpubsub_emulator.filter_parser import (
    Call,
    Comparison,
    FilterSyntaxError,
    Identifier,
    In,
    Literal,
    Logical,
    Node,
    Not,
    format_node,
    parse_filter,
)

Predicate = Callable[[Connection], bool]
Evaluate = Callable[[Connection], Any]

STRING, INT, BOOL, NULL, GROUPS = "string", "int", "bool", "null", "collection"


class InvalidFilterError(ValueError):
    """A filter that cannot be used; the message names the part and what is wrong with it."""

    def __init__(self, part: str, problem: str) -> None:
        super().__init__(f"Invalid syntax for '{part}': {problem}")


class _UnsupportedError(Exception):
    """A part that the language does not have; the enclosing expression is named in the error."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled part of a filter: its type, and its value for a connection."""

    type: str
    value: Evaluate


def compile_filter(text: str) -> Predicate:
    """Compile a filter; raises InvalidFilterError."""
    try:
        node = parse_filter(text)
        return _require(_compile(node), node, BOOL).value
    except (FilterSyntaxError, _UnsupportedError) as error:
        raise InvalidFilterError(text, str(error)) from error


def _compile(node: Node) -> Expression:
    match node:
        case Literal():
            return _compile_literal(node)
        case Identifier():
            return _compile_identifier(node)
        case Not():
            operand = _require(_compile(node.operand), node, BOOL)
            return Expression(BOOL, lambda c: not operand.value(c))
    try:
        match node:
            case Logical():
                return _compile_logical(node)
            case Comparison():
                return _compile_comparison(node)
            case In():
                return _compile_in(node)
            case Call():
                return _compile_call(node)
    except _UnsupportedError as error:
        raise InvalidFilterError(format_node(node), str(error)) from error


def _compile_literal(node: Literal) -> Expression:
    if not node.is_supported:
        raise _UnsupportedError(f"Token '{node.text}' is not supported.")
    types: dict[type, str] = {str: STRING, bool: BOOL, int: INT}
    return Expression(types.get(type(node.value), NULL), lambda _: node.value)


def _compile_identifier(node: Identifier) -> Expression:
    if node.name.lower() not in _PROPERTIES:
        raise _UnsupportedError(f"Token '{node.name}' is not supported.")
    return _PROPERTIES[node.name.lower()]


def _compile_logical(node: Logical) -> Expression:
    """Compile all operands, so their types are checked even where the first one decides."""
    operands = [_require(_compile(operand), node, BOOL) for operand in node.operands]
    combine = _LOGICAL[node.operator]
    return Expression(BOOL, lambda c: combine(operand.value(c) for operand in operands))


def _compile_comparison(node: Comparison) -> Expression:
    compare = _COMPARISONS[node.operator]
    left, right = _compile(node.left), _compile(node.right)
    if node.operator in ("eq", "ne"):
        _require_comparable(left, right, node)
        return Expression(BOOL, lambda c: compare(left.value(c), right.value(c)))
    _require(left, node, INT, NULL)
    _require(right, node, INT, NULL)

    def evaluate(connection: Connection) -> bool:
        a, b = left.value(connection), right.value(connection)
        return a is not None and b is not None and compare(a, b)

    return Expression(BOOL, evaluate)


def _compile_in(node: In) -> Expression:
    left = _compile(node.left)
    if isinstance(node.right, list):
        members = [_compile(member) for member in node.right]
        for member in members:
            _require_comparable(left, member, node)
        return Expression(BOOL, lambda c: any(left.value(c) == m.value(c) for m in members))
    collection = _require(_compile(node.right), node, GROUPS)
    _require(left, node, STRING, NULL)
    return Expression(BOOL, lambda c: left.value(c) in collection.value(c))


def _compile_call(node: Call) -> Expression:
    function = _FUNCTIONS.get(node.name)
    if function is None:
        raise _UnsupportedError(f"Token '{format_node(node)}' is not supported.")
    count = len(node.arguments)
    if not len(function.parameters) - function.optional <= count <= len(function.parameters):
        raise _UnsupportedError(f"Invalid token '{format_node(node)}'.")
    arguments = [
        _require(_compile(argument), node, *types)
        for argument, types in zip(node.arguments, function.parameters, strict=False)
    ]

    def evaluate(connection: Connection) -> Any:
        values = [argument.value(connection) for argument in arguments]
        return function.on_null if None in values else function.apply(*values)

    return Expression(function.returns, evaluate)


@dataclass(frozen=True, slots=True)
class _Function:
    """A function of the language; `on_null` is its value when an argument is null."""

    returns: str
    parameters: Sequence[tuple[str, ...]]
    apply: Callable[..., Any]
    on_null: Any = None
    optional: int = 0


def _substring(text: str, start: int, length: int | None = None) -> str | None:
    """Out of range is null and no error: a filter must not fail for some connections only."""
    end = len(text) if length is None else start + length
    return text[start:end] if 0 <= start <= end <= len(text) else None


_TEXT = (STRING, NULL)
_FUNCTIONS = {
    "length": _Function(INT, [(STRING, NULL, GROUPS)], len),
    "tolower": _Function(STRING, [_TEXT], str.lower),
    "toupper": _Function(STRING, [_TEXT], str.upper),
    "trim": _Function(STRING, [_TEXT], str.strip),
    "concat": _Function(STRING, [_TEXT, _TEXT], str.__add__),
    "substring": _Function(STRING, [_TEXT, (INT,), (INT,)], _substring, optional=1),
    "contains": _Function(BOOL, [_TEXT, _TEXT], str.__contains__, on_null=False),
    "startswith": _Function(BOOL, [_TEXT, _TEXT], str.startswith, on_null=False),
    "endswith": _Function(BOOL, [_TEXT, _TEXT], str.endswith, on_null=False),
    "indexof": _Function(INT, [_TEXT, _TEXT], str.find, on_null=-1),
}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
}
_LOGICAL: dict[str, Callable[[Iterator[bool]], bool]] = {"and": all, "or": any}
_PROPERTIES = {
    "userid": Expression(STRING, lambda c: c.user_id),
    "connectionid": Expression(STRING, lambda c: c.id),
    "protocol": Expression(STRING, lambda c: c.protocol),
    "groups": Expression(GROUPS, lambda c: c.groups),
}


def _require_comparable(left: Expression, right: Expression, node: Node) -> None:
    if GROUPS in (left.type, right.type):
        raise InvalidFilterError(format_node(node), f"Type '{GROUPS}' cannot be compared.")
    if NULL not in (left.type, right.type):
        _require(right, node, left.type)


def _require(expression: Expression, node: Node, *types: str) -> Expression:
    """Return the expression if it has one of the types; `node` is named in the error."""
    if expression.type not in types:
        problem = f"Type '{expression.type}', expect '{types[0]}'."
        raise InvalidFilterError(format_node(node), problem)
    return expression
