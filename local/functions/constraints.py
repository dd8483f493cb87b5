"""The inline constraints of route templates, {page:int}, with ASP.NET Core's rules.

https://learn.microsoft.com/aspnet/core/fundamentals/routing#route-constraints
"""

import re
from collections.abc import Callable
from math import inf

from local.functions.dotnet import is_datetime, is_decimal, is_float, is_guid, is_integer

Constraint = Callable[[str], bool]


def make_constraint(name: str, arguments: str | None) -> Constraint:
    """The check that a value of the parameter must pass. Raises ValueError."""
    kind = name.lower()
    if arguments is None and kind in _PLAIN:
        return _PLAIN[kind]
    if arguments is not None and kind in _WITH_ARGUMENTS:
        values = [arguments] if kind == "regex" else [one.strip() for one in arguments.split(",")]
        try:
            return _WITH_ARGUMENTS[kind](*values)
        except (TypeError, ValueError, re.error) as error:
            raise ValueError(f"the route constraint {name}({arguments}): {error}") from error
    raise ValueError(f"there is no such route constraint: {name}")


def _is_int(value: str) -> bool:
    return is_integer(value, bits=32)


def _is_long(value: str) -> bool:
    return is_integer(value, bits=64)


def _length(low: float, high: float) -> Constraint:
    return lambda value: low <= len(value) <= high


def _number(low: float, high: float) -> Constraint:
    return lambda value: _is_long(value) and low <= int(value) <= high


def _regex(pattern: str) -> Constraint:
    search = re.compile(pattern, re.IGNORECASE).search
    return lambda value: search(value) is not None


_PLAIN: dict[str, Constraint] = {
    "int": _is_int,
    "long": _is_long,
    "bool": lambda value: value.strip().lower() in ("true", "false"),
    "guid": is_guid,
    "datetime": is_datetime,
    "decimal": is_decimal,
    "double": is_float,
    "float": is_float,
    "alpha": lambda value: value.isascii() and value.isalpha(),
    "required": bool,
}

_WITH_ARGUMENTS: dict[str, Callable[..., Constraint]] = {
    "length": lambda low, high=None: _length(int(low), int(high or low)),
    "minlength": lambda low: _length(int(low), inf),
    "maxlength": lambda high: _length(0, int(high)),
    "min": lambda low: _number(int(low), inf),
    "max": lambda high: _number(-inf, int(high)),
    "range": lambda low, high: _number(int(low), int(high)),
    "regex": _regex,
}
