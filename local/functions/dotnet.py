"""Which texts .NET's TryParse accepts under the invariant culture, as route constraints use it.

Of DateTime's many formats these are known: year, month and day in the usual orders with numbers or
English names, a time of day with or without AM and PM, and an offset.
https://learn.microsoft.com/dotnet/standard/base-types/parsing-numeric
https://learn.microsoft.com/dotnet/standard/base-types/parsing-datetime
"""

import re
from datetime import date
from decimal import Decimal, InvalidOperation

MAX_DECIMAL = Decimal(79228162514264337593543950335)

_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*")
# NumberStyles.Number: a sign on either side, digits grouped by commas, a decimal point.
_NUMBER = re.compile(r"\s*[+-]?\s*(?P<digits>(?:[0-9][0-9,]*)?(?:\.[0-9]*)?)\s*[+-]?\s*")
# NumberStyles.Float with AllowThousands: an exponent, but no sign behind.
_FLOAT = re.compile(r"\s*[+-]?(?:[0-9][0-9,]*)?(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?\s*")
_FLOAT_NAMES = ("infinity", "-infinity", "+infinity", "∞", "-∞", "nan", "-nan", "+nan")
_GUID = re.compile(r"\s*(?:\{([^{}]*)\}|\(([^()]*)\)|(?P<bare>[^{}()]*?))\s*")
_GUID_DIGITS = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


def is_integer(text: str, bits: int) -> bool:
    limit = 2 ** (bits - 1)
    # A text this long does not fit into 64 bits.
    return _INTEGER.fullmatch(text) is not None and len(text) < 100 and -limit <= int(text) < limit


def is_decimal(text: str) -> bool:
    found = _NUMBER.fullmatch(text)
    if found is None or not any(one.isdigit() for one in found["digits"]):
        return False
    if text.strip()[0] in "+-" and text.strip()[-1] in "+-":
        return False
    try:
        return Decimal(found["digits"].replace(",", "")) <= MAX_DECIMAL
    except InvalidOperation:
        return False


def is_float(text: str) -> bool:
    if text.strip().lower() in _FLOAT_NAMES:
        return True
    mantissa = re.split("[eE]", text)[0]
    return _FLOAT.fullmatch(text) is not None and any(one.isdigit() for one in mantissa)


def is_guid(text: str) -> bool:
    """In the formats D, B and P, or N: 32 digits alone."""
    found = _GUID.fullmatch(text)
    if found is None:
        return False
    if found["bare"] is not None and re.fullmatch("[0-9a-fA-F]{32}", found["bare"]):
        return True
    digits = next(group for group in found.groups() if group is not None)
    return _GUID_DIGITS.fullmatch(digits) is not None


_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTH = "(?P<name>" + "|".join(f"{name}|{name[:3]}" for name in _MONTHS) + ")"
_WEEKDAY = r"(?:(?:mon|tue(?:s)?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?,?\s+)?"
_SEPARATOR = r"\s*[-/. ]\s*"
_YEAR, _MONTH_NUMBER, _DAY = r"(?P<year>\d{4})", r"(?P<month>\d{1,2})", r"(?P<day>\d{1,2})"
_SHORT_YEAR = r"(?P<year>\d{4}|\d{2})"
_DATES = [
    re.compile(_WEEKDAY + pattern)
    for pattern in (
        f"{_YEAR}{_SEPARATOR}{_MONTH_NUMBER}(?:{_SEPARATOR}{_DAY})?",
        f"{_MONTH_NUMBER}{_SEPARATOR}{_DAY}{_SEPARATOR}{_SHORT_YEAR}",
        f"{_MONTH_NUMBER}{_SEPARATOR}{_DAY}",
        f"{_MONTH_NUMBER}{_SEPARATOR}{_YEAR}",
        rf"{_DAY}[-/ ]{_MONTH}(?:,?[-/ ]{_SHORT_YEAR})?",
        rf"{_MONTH}[-/ ]{_DAY}(?:,?[-/ ]\s*{_YEAR})?",
        rf"{_MONTH},?[-/ ]{_YEAR}",
        rf"{_YEAR}[-/ ]{_MONTH}(?:[-/ ]{_DAY})?",
    )
]
_TIME = re.compile(
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})(?:\.\d+)?)?)?"
    r"(?:\s*(?P<half>[ap]\.?m?\.?))?(?:\s*(?P<zone>z|gmt|[+-]\d{1,2}(?::?\d{2})?))?"
)


def is_datetime(text: str) -> bool:
    """A date, a time of day, or both."""
    text = text.strip().lower()
    if _is_date(text) or _is_time(text):
        return True
    return any(
        _is_date(text[: place.start()].rstrip()) and _is_time(text[place.end() :].lstrip())
        for place in re.finditer(r"t(?=\d)|\s+", text)
    )


def _is_date(text: str) -> bool:
    for pattern in _DATES:
        if (found := pattern.fullmatch(text)) is not None:
            parts = found.groupdict()
            name = parts.get("name")
            month = 1 + [one[:3] for one in _MONTHS].index(name[:3]) if name else parts["month"]
            year, day = int(parts.get("year") or 2000), int(parts.get("day") or 1)
            try:
                date(year + 2000 if year < 100 else year, int(month), day)
            except ValueError:
                continue
            return True
    return False


def _is_time(text: str) -> bool:
    found = _TIME.fullmatch(text)
    if found is None or not (found["minute"] or found["half"]):
        return False
    hours = 12 if found["half"] else 23
    return (
        int(found["hour"]) <= hours
        and int(found["minute"] or 0) <= 59
        and int(found["second"] or 0) <= 59
    )
