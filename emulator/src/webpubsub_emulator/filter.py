"""Whom a message is for: the OData subset of the `filter` parameter.

https://learn.microsoft.com/azure/azure-web-pubsub/reference-odata-filter
A filter is read once into a typed function of a connection, so every mistake shows while reading.
Precedence: `not`, then comparisons and `in`, then `and`, then `or`.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from webpubsub_emulator.hub import Connection

Predicate = Callable[[Connection], bool]
Evaluate = Callable[[Connection], Any]

STRING, INT, BOOL, NULL, GROUPS = "string", "int", "bool", "null", "collection"
_DEEPEST = 100
_LARGEST_INT = 2**63 - 1
_TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|(-?\d+)(?![\w.])|([A-Za-z_]\w*)|([(),])|(\S+))")


class InvalidFilterError(ValueError):
    """A filter that cannot be read; the text says which word is wrong."""


class _ProblemError(Exception):
    """What is wrong, before the filter it is wrong in is put in front."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A piece of a filter: what type it has, and its value for a connection."""

    type: str
    value: Evaluate


def compile_filter(text: str) -> Predicate:
    """Read a filter; raises InvalidFilterError."""
    try:
        return _Reader(text).read()
    except _ProblemError as problem:
        raise InvalidFilterError(f"Invalid syntax for '{text}': {problem}") from problem


class _Reader:
    """Reads a filter from left to right, one method for each level of precedence."""

    def __init__(self, text: str) -> None:
        self._tokens = deque([*_tokens(text), ""])
        self._depth = 0

    def read(self) -> Predicate:
        condition = _expect(self._either(), BOOL)
        if self._next:
            raise _ProblemError(f"Token '{self._next}' is not supported.")
        return condition.value

    @property
    def _next(self) -> str:
        return self._tokens[0]

    @property
    def _word(self) -> str:
        return self._tokens[0].lower()

    def _take(self, expected: str | None = None) -> str:
        token = self._next
        if expected is not None and token != expected:
            raise _ProblemError(f"Token '{token}' is not supported, expect '{expected}'.")
        if token:
            self._tokens.popleft()
        return token

    def _either(self) -> Expression:
        """`a or b`"""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _ProblemError(f"The filter is nested deeper than {_DEEPEST} levels.")
        parts = [self._both()]
        while self._word == "or":
            self._take()
            parts.append(self._both())
        self._depth -= 1
        return _joined(any, parts)

    def _both(self) -> Expression:
        """`a and b`"""
        parts = [self._comparison()]
        while self._word == "and":
            self._take()
            parts.append(self._comparison())
        return _joined(all, parts)

    def _comparison(self) -> Expression:
        left = self._negation()
        if self._word in _COMPARISONS:
            return _compared(self._take().lower(), left, self._negation())
        if self._word == "in":
            self._take()
            return self._membership(left)
        return left

    def _membership(self, left: Expression) -> Expression:
        """`x in ('a', 'b')` or `'a' in groups`"""
        if self._next != "(":
            collection = _expect(self._primary(), GROUPS)
            _expect(left, STRING, NULL)
            return Expression(BOOL, lambda c: left.value(c) in collection.value(c))
        self._take("(")
        members = [self._primary()]
        while self._next == ",":
            self._take()
            members.append(self._primary())
        self._take(")")
        for member in members:
            _check_comparable(left, member)
        return Expression(BOOL, lambda c: any(left.value(c) == m.value(c) for m in members))

    def _negation(self) -> Expression:
        """`not x` binds tighter than a comparison: `not length(userId) gt 5` is an error."""
        if self._word != "not":
            return self._primary()
        negate = False
        while self._word == "not":
            self._take()
            negate = not negate
        condition = _expect(self._primary(), BOOL)
        return Expression(BOOL, lambda c: condition.value(c) is not negate)

    def _primary(self) -> Expression:
        word = self._take()
        if word == "(":
            inner = self._either()
            self._take(")")
            return inner
        if word.startswith("'"):
            return _constant(STRING, word[1:-1].replace("''", "'"))
        if re.fullmatch(r"-?\d+", word):
            return _whole_number(word)
        name = word.lower()
        if name in _FUNCTIONS and self._next == "(":
            return self._call(name)
        if name in _WORDS:
            return _WORDS[name]
        raise _ProblemError(f"Token '{word}' is not supported.")

    def _call(self, name: str) -> Expression:
        function = _FUNCTIONS[name]
        self._take("(")
        arguments = [self._either()]
        while self._next == ",":
            self._take()
            arguments.append(self._either())
        self._take(")")
        if not len(function.takes) - function.optional <= len(arguments) <= len(function.takes):
            raise _ProblemError(f"Function '{name}' does not take {len(arguments)} arguments.")
        for argument, types in zip(arguments, function.takes, strict=False):
            _expect(argument, *types)
        return _called(function, arguments)


@dataclass(frozen=True, slots=True)
class _Function:
    """A function of the language; `on_null` is its value when an argument is null."""

    gives: str
    takes: Sequence[tuple[str, ...]]
    do: Callable[..., Any]
    on_null: Any = None
    optional: int = 0


def _substring(text: str, start: int, length: int | None = None) -> str | None:
    """Out of range gives null, not an error: a filter must not fail for some people only."""
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


def _constant(type_: str, value: object) -> Expression:
    return Expression(type_, lambda _: value)


_WORDS = {
    "true": _constant(BOOL, True),  # noqa: FBT003 - a value
    "false": _constant(BOOL, False),  # noqa: FBT003 - a value
    "null": _constant(NULL, None),
    "userid": Expression(STRING, lambda c: c.user_id),
    "connectionid": Expression(STRING, lambda c: c.id),
    "protocol": Expression(STRING, lambda c: c.protocol),
    "groups": Expression(GROUPS, lambda c: c.groups),
}


def _called(function: _Function, arguments: Sequence[Expression]) -> Expression:
    def value(connection: Connection) -> Any:
        values = [argument.value(connection) for argument in arguments]
        return function.on_null if None in values else function.do(*values)

    return Expression(function.gives, value)


def _compared(operator: str, left: Expression, right: Expression) -> Expression:
    compare = _COMPARISONS[operator]
    if operator in ("eq", "ne"):
        _check_comparable(left, right)
        return Expression(BOOL, lambda c: compare(left.value(c), right.value(c)))
    _expect(left, INT, NULL)
    _expect(right, INT, NULL)

    def value(connection: Connection) -> bool:
        a, b = left.value(connection), right.value(connection)
        return a is not None and b is not None and compare(a, b)

    return Expression(BOOL, value)


def _joined(how: Callable[[Iterator[bool]], bool], parts: Sequence[Expression]) -> Expression:
    """Both sides are always checked; only then the first one may decide alone."""
    if len(parts) == 1:
        return parts[0]
    for part in parts:
        _expect(part, BOOL)
    return Expression(BOOL, lambda c: how(part.value(c) for part in parts))


def _check_comparable(left: Expression, right: Expression) -> None:
    if GROUPS in (left.type, right.type):
        raise _ProblemError(f"Type '{GROUPS}' cannot be compared.")
    if NULL not in (left.type, right.type):
        _expect(right, left.type)


def _expect(expression: Expression, *types: str) -> Expression:
    if expression.type not in types:
        raise _ProblemError(f"Type '{expression.type}', expect '{types[0]}'.")
    return expression


def _whole_number(token: str) -> Expression:
    if len(token) > len(str(_LARGEST_INT)) or abs(int(token)) > _LARGEST_INT:
        raise _ProblemError(f"Token '{token}' is not supported.")
    return _constant(INT, int(token))


def _tokens(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text):
        if match[5] is not None:
            raise _ProblemError(f"Token '{match[5]}' is not supported.")
        yield match[0].strip()
