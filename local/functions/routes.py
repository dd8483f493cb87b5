"""Which function handles a request: the route templates of ASP.NET Core and Azure Functions.

    rooms/{room}/history      rooms/{page:int?}      hello/{name=you}      files/{*path}

Literals match in any case, a trailing slash does not matter, and a value that breaks its
constraint means that the route does not match at all.
"""

import re

from msgspec import Struct

from local.functions.constraints import Constraint, make_constraint


class Parameter(Struct, frozen=True):
    """One {name} of a template."""

    name: str
    constraints: tuple[Constraint, ...]
    default: str | None
    catch_all: bool
    optional: bool

    def pattern(self, group: str) -> str:
        return f"(?P<{group}>{'.*' if self.catch_all else '[^/]+'})"


class Route(Struct, frozen=True):
    """A template that matches paths; the groups g0, g1 ... are its parameters in order."""

    pattern: str
    parameters: tuple[Parameter, ...]

    def match(self, path: str) -> dict[str, str] | None:
        """The route values of a path (without its leading slash), or None if it does not match."""
        # Compiled at its first use: the first request waits for few of an app's patterns.
        found = re.fullmatch(self.pattern, path, re.IGNORECASE | re.DOTALL)
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


def parse_route(template: str) -> Route:
    """A route from its template. Raises ValueError, which names the problem."""
    if template.startswith(("/", "~")):
        raise ValueError(f"a route does not start with {template[0]!r}: {template!r}")
    parameters: list[Parameter] = []
    segments = [_Segment()]
    for piece in _pieces(template):
        if piece == "/":
            if not segments[-1].pattern:
                raise ValueError(f"a route has no empty segment: {template!r}")
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
    return Route(pattern, tuple(parameters))


_PIECE = re.compile(r"/|\{(?:[^{}]|\{\{|\}\})+\}|[^/{}]+")


def _pieces(template: str) -> list[str]:
    pieces = _PIECE.findall(template)
    if "".join(pieces) != template:
        raise ValueError(f"the braces do not match in the route {template!r}")
    return pieces


class _Segment:
    """The part of a template between two slashes."""

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
            make_constraint(one["name"], one["arguments"])
            for one in _CONSTRAINT.finditer(found["constraints"])
        ),
        default=found["default"],
        catch_all=bool(found["stars"]),
        optional=bool(found["optional"]),
    )
