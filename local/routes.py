"""Which function answers a request: the route templates of ASP.NET Core and Azure Functions.

    rooms/{room}/history      rooms/{page:int?}      hello/{name=you}      files/{*path}

Literals match in any case, a trailing slash does not matter, and a value that breaks its
constraint means that the route does not match at all.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from math import inf
from urllib.parse import unquote
from uuid import UUID

Constraint = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One {name} of a template."""

    name: str
    constraints: tuple[Constraint, ...]
    default: str | None
    catch_all: bool
    optional: bool

    def pattern(self, group: str) -> str:
        return f"(?P<{group}>{'.*' if self.catch_all else '[^/]+'})"


@dataclass(frozen=True, slots=True)
class Route:
    """A template made ready to match paths; the groups g0, g1 ... are its parameters in order."""

    pattern: re.Pattern[str]
    parameters: tuple[Parameter, ...]

    def match(self, path: str) -> dict[str, str] | None:
        """The route values of a path (without its leading slash), or None when it does not fit."""
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        values = {}
        for index, parameter in enumerate(self.parameters):
            value = found[f"g{index}"] or parameter.default
            if value:
                if not all(allows(value) for allows in parameter.constraints):
                    return None
                values[parameter.name] = value
        return values


def compile_route(template: str) -> Route:
    """A route from its template; ValueError says what is wrong with it."""
    if template.startswith(("/", "~")):
        raise ValueError(f"a route does not start with {template[0]!r}: {template!r}")
    parameters: list[Parameter] = []
    segments = [_Segment()]
    for piece in _pieces(template):
        if piece == "/":
            segments.append(_Segment())
        elif piece.startswith("{"):
            parameter = _parameter(piece[1:-1])
            segments[-1].add(
                parameter.pattern(f"g{len(parameters)}"), absent=_may_be_absent(parameter)
            )
            parameters.append(parameter)
        else:
            segments[-1].add(re.escape(piece), absent=False)
    catches_all = bool(parameters) and parameters[-1].catch_all
    pattern = _joined(segments) + ("" if catches_all else "/?")
    return Route(re.compile(pattern, re.IGNORECASE | re.DOTALL), tuple(parameters))


def decoded(path: str) -> str:
    """A path as routes see it: percent-decoded, but for a slash, which stays inside its segment."""
    if "%" not in path:
        return path
    return "%2F".join(unquote(part) for part in re.split("%2[Ff]", path))


_PIECE = re.compile(r"/|\{(?:[^{}]|\{\{|\}\})+\}|[^/{}]+")


def _pieces(template: str) -> list[str]:
    pieces = _PIECE.findall(template)
    if "".join(pieces) != template:
        raise ValueError(f"the braces do not match in the route {template!r}")
    return pieces


class _Segment:
    """What stands between two slashes of a template."""

    def __init__(self) -> None:
        self.pattern = ""
        self.may_be_absent = False

    def add(self, pattern: str, *, absent: bool) -> None:
        self.may_be_absent = absent and not self.pattern
        self.pattern += pattern


def _joined(segments: list[_Segment]) -> str:
    """One pattern of all segments; those that may be absent are nested from the last one in."""
    required = len(segments)
    while required and segments[required - 1].may_be_absent:
        required -= 1
    tail = ""
    for index in range(len(segments) - 1, required - 1, -1):
        slash = "/" if index else ""
        tail = f"(?:{slash}{segments[index].pattern}{tail})?"
    return "/".join(segment.pattern for segment in segments[:required]) + tail


def _may_be_absent(parameter: Parameter) -> bool:
    return parameter.optional or parameter.catch_all or parameter.default is not None


_PARAMETER = re.compile(
    r"(?P<stars>\*{0,2})(?P<name>[^*:=?/]+)(?P<constraints>(?::\w+(?:\(.*\))?)*?)"
    r"(?P<optional>\??)(?:=(?P<default>.*))?"
)
_CONSTRAINT = re.compile(r":(?P<name>\w+)(?:\((?P<arguments>.*?)\)(?=:\w|$))?")


def _parameter(text: str) -> Parameter:
    text = text.replace("{{", "{").replace("}}", "}")
    found = _PARAMETER.fullmatch(text)
    if found is None:
        raise ValueError(f"{{{text}}} is not a route parameter")
    return Parameter(
        name=found["name"],
        constraints=tuple(
            _constraint(one["name"], one["arguments"])
            for one in _CONSTRAINT.finditer(found["constraints"])
        ),
        default=found["default"],
        catch_all=bool(found["stars"]),
        optional=bool(found["optional"]),
    )


def _constraint(name: str, arguments: str | None) -> Constraint:
    kind = name.lower()
    if arguments is None and kind in _PLAIN_CONSTRAINTS:
        return _PLAIN_CONSTRAINTS[kind]
    if arguments is not None and kind in _CONSTRAINTS_WITH_ARGUMENTS:
        values = [arguments] if kind == "regex" else [one.strip() for one in arguments.split(",")]
        try:
            return _CONSTRAINTS_WITH_ARGUMENTS[kind](*values)
        except (TypeError, ValueError, re.error) as error:
            raise ValueError(f"the route constraint {name}({arguments}): {error}") from error
    raise ValueError(f"there is no such route constraint: {name}")


def _parses(convert: Callable[[str], object]) -> Constraint:
    def allows(value: str) -> bool:
        try:
            convert(value)
        except ValueError:
            return False
        return True

    return allows


def _integer(low: int, high: int) -> Constraint:
    # int() alone would also take "1_000".
    written = re.compile(r"\s*[+-]?[0-9]+\s*")
    return lambda value: written.fullmatch(value) is not None and low <= int(value) <= high


_INT, _LONG = _integer(-(2**31), 2**31 - 1), _integer(-(2**63), 2**63 - 1)


def _length(low: float, high: float) -> Constraint:
    return lambda value: low <= len(value) <= high


def _number(low: float, high: float) -> Constraint:
    return lambda value: _LONG(value) and low <= int(value) <= high


def _regex(pattern: str) -> Constraint:
    search = re.compile(pattern, re.IGNORECASE).search
    return lambda value: search(value) is not None


_PLAIN_CONSTRAINTS: dict[str, Constraint] = {
    "int": _INT,
    "long": _LONG,
    "bool": lambda value: value.strip().lower() in ("true", "false"),
    "guid": _parses(UUID),
    "datetime": _parses(datetime.fromisoformat),
    "decimal": _parses(float),
    "double": _parses(float),
    "float": _parses(float),
    "alpha": lambda value: value.isascii() and value.isalpha(),
    "required": bool,
}

_CONSTRAINTS_WITH_ARGUMENTS: dict[str, Callable[..., Constraint]] = {
    "length": lambda low, high=None: _length(int(low), int(high or low)),
    "minlength": lambda low: _length(int(low), inf),
    "maxlength": lambda high: _length(0, int(high)),
    "min": lambda low: _number(int(low), inf),
    "max": lambda high: _number(-inf, int(high)),
    "range": lambda low, high: _number(int(low), int(high)),
    "regex": _regex,
}
