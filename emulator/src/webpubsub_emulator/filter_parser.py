"""The grammar of the OData subset in the `filter` parameter: text to syntax tree.

https://learn.microsoft.com/azure/azure-web-pubsub/reference-odata-filter
Precedence: `not`, then comparisons and `in`, then `and`, then `or`. Syntax errors have the words
and positions of the OData library that the service uses.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_MAX_DEPTH = 100
_TOO_DEEP = "Recursion depth exceeded allowed limit."
_MAX_INT32 = 2**31 - 1
_COMPARISONS = ("eq", "ne", "gt", "ge", "lt", "le")
_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<open>')|(?P<number>-?[0-9][\w.]*)"
    r"|(?P<word>[^\W\d]\w*|\$\w*)|(?P<symbol>[(),\-*/=?.:;@\[\]{}])|(?P<invalid>\S)|$)"
)


class FilterSyntaxError(Exception):
    """The text is not a filter; the message says where."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant. `is_supported` is false for numbers that are not 32-bit integers."""

    text: str
    value: str | int | bool | None
    is_supported: bool = True


@dataclass(frozen=True, slots=True)
class Identifier:
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: Sequence["Node"]


@dataclass(frozen=True, slots=True)
class Not:
    operand: "Node"


@dataclass(frozen=True, slots=True)
class Comparison:
    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Logical:
    """Operands joined by `and` or by `or`."""

    operator: str
    operands: Sequence["Node"]


@dataclass(frozen=True, slots=True)
class In:
    """`left in groups` or `left in ('a', 'b')`."""

    left: "Node"
    right: "Node | list[Node]"


Node = Literal | Identifier | Call | Not | Comparison | Logical | In


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def parse_filter(text: str) -> Node:
    """Return the syntax tree; raises FilterSyntaxError."""
    return _Parser(text).parse()


def format_node(node: Node) -> str:
    """Write a part of a filter as error messages quote it."""
    match node:
        case Literal():
            return node.text
        case Identifier():
            return node.name
        case Call():
            return f"{node.name}({','.join(map(format_node, node.arguments))})"
        case Not():
            return f"not {_format_operand(node.operand)}"
        case Comparison():
            left, right = _format_operand(node.left), _format_operand(node.right)
            return f"{left} {node.operator} {right}"
        case Logical():
            return f" {node.operator} ".join(map(_format_operand, node.operands))
        case In():
            return f"{format_node(node.left)} in {_format_collection(node.right)}"


def _format_collection(collection: "Node | list[Node]") -> str:
    if isinstance(collection, list):
        return f"({','.join(map(format_node, collection))})"
    return format_node(collection)


def _format_operand(node: Node) -> str:
    text = format_node(node)
    return f"({text})" if isinstance(node, Not | Comparison | Logical | In) else text


class _Parser:
    """A recursive descent parser with one method for each level of precedence."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokenize(text)
        self._token = next(self._tokens)
        self._depth = 0

    def parse(self) -> Node:
        node = self._parse_or()
        if self._token.kind != "end":
            raise FilterSyntaxError(f"Syntax error at position {self._token.end}{self._place}.")
        return node

    @property
    def _place(self) -> str:
        return f" in '{self._text}'"

    def _advance(self) -> _Token:
        token = self._token
        if token.kind != "end":
            self._token = next(self._tokens)
        return token

    def _is_word(self, *words: str) -> bool:
        return self._token.kind == "word" and self._token.text.lower() in words

    def _is_symbol(self, symbol: str) -> bool:
        return self._token.kind == "symbol" and self._token.text == symbol

    def _parse_or(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise FilterSyntaxError(_TOO_DEEP)
        operands = [self._parse_and()]
        while self._is_word("or"):
            self._advance()
            operands.append(self._parse_and())
        self._depth -= 1
        return operands[0] if len(operands) == 1 else Logical("or", operands)

    def _parse_and(self) -> Node:
        operands = [self._parse_comparison()]
        while self._is_word("and"):
            self._advance()
            operands.append(self._parse_comparison())
        return operands[0] if len(operands) == 1 else Logical("and", operands)

    def _parse_comparison(self) -> Node:
        left = self._parse_not()
        chained = 0
        while self._is_word(*_COMPARISONS, "in"):
            chained += 1
            if chained > _MAX_DEPTH:
                raise FilterSyntaxError(_TOO_DEEP)
            operator = self._advance().text.lower()
            if operator == "in":
                left = In(left, self._parse_collection())
            else:
                left = Comparison(operator, left, self._parse_not())
        return left

    def _parse_collection(self) -> Node | list[Node]:
        if not self._is_symbol("("):
            return self._parse_primary()
        self._advance()
        return self._parse_list()

    def _parse_not(self) -> Node:
        """`not` binds tighter than a comparison: `not length(userId) gt 5` is a type error."""
        count = 0
        while self._is_word("not"):
            self._advance()
            count += 1
        operand = self._parse_primary()
        for _ in range(min(count, 2 - count % 2)):
            operand = Not(operand)
        return operand

    def _parse_primary(self) -> Node:
        token = self._token
        if token.kind == "string":
            self._advance()
            return Literal(token.text, token.text[1:-1].replace("''", "'"))
        if token.kind == "number":
            self._advance()
            return _read_number(token.text)
        if token.kind == "word":
            self._advance()
            return self._parse_word(token.text)
        if self._is_symbol("("):
            return self._parse_parentheses()
        raise FilterSyntaxError(f"Expression expected at position {token.start}{self._place}.")

    def _parse_word(self, word: str) -> Node:
        if self._is_symbol("("):
            self._advance()
            return Call(word.lower(), self._parse_list())
        constants = {"true": True, "false": False, "null": None}
        if word.lower() in constants:
            return Literal(word.lower(), constants[word.lower()])
        return Identifier(word)

    def _parse_parentheses(self) -> Node:
        self._advance()
        node = self._parse_or()
        if not self._is_symbol(")"):
            where = f"at position {self._token.start}{self._place}"
            raise FilterSyntaxError(f"')' or operator expected {where}.")
        self._advance()
        return node

    def _parse_list(self) -> list[Node]:
        """Read what is between parentheses, up to the closing one."""
        nodes: list[Node] = []
        while not self._is_symbol(")") or nodes:
            nodes.append(self._parse_or())
            if self._is_symbol(")"):
                break
            if not self._is_symbol(","):
                where = f"at position {self._token.start}{self._place}"
                raise FilterSyntaxError(f"')' or ',' expected {where}.")
            self._advance()
        self._advance()
        return nodes


def _tokenize(text: str) -> Iterator[_Token]:
    position = 0
    while match := _TOKEN.match(text, position):
        kind, position = match.lastgroup, match.end()
        if kind is None:
            break
        start = match.start(kind)
        if kind == "open":
            where = f"at position {len(text)} in '{text}'"
            raise FilterSyntaxError(f"There is an unterminated string literal {where}.")
        if kind == "invalid":
            where = f"at position {start} in '{text}'"
            character = match[kind]
            raise FilterSyntaxError(f"Syntax error: character '{character}' is not valid {where}.")
        yield _Token(kind, match[kind], start, position)
    yield _Token("end", "", len(text), len(text))


def _read_number(text: str) -> Literal:
    digits = text.removeprefix("-")
    # The length first: Python refuses to read a number of thousands of digits.
    if digits.isascii() and digits.isdigit() and len(digits) <= len(str(_MAX_INT32)):
        value = int(text)
        if -_MAX_INT32 - 1 <= value <= _MAX_INT32:
            return Literal(text, value)
    return Literal(text, None, is_supported=False)
