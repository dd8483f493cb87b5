"""Cities and weather reports in one format, whichever provider they come from."""

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from msgspec import Struct

from realtime.messages import format_timestamp
from realtime.providers.http_client import ProviderError, parse_number

CITY_NAME = re.compile(r"[^\W\d_][\w .'-]{0,79}")
"""Letters of any script with spaces, dots, quotes and hyphens. It goes into a provider's query."""

MAX_CONDITION_CHARACTERS = 100

logger = logging.getLogger(__name__)

Coordinates = tuple[float, float]
"""Latitude and longitude in degrees."""

Report = dict[str, Any]
"""`temperature_c`, `humidity_percent`, `wind_kph`, `condition`, `code` and `observed_at`."""


class City(Struct, frozen=True):
    """A city of the setting; without coordinates it is looked up by its name."""

    name: str
    coordinates: Coordinates | None = None


class WeatherProvider(Protocol):
    """A source of reports. One city uses up `seconds_per_city` of the provider's free terms."""

    source: str
    title: str
    seconds_per_city: float

    async def fetch_reports(self, cities: Sequence[City]) -> dict[str, Report]:
        """The reports of the cities that the provider knows. Raises ProviderError if of none."""
        ...


def parse_cities(text: str) -> list[City]:
    """The cities of `WEATHER_CITIES`: `Berlin,Oslo@59.91:10.75`. Invalid names are left out."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    named = {city.name: city for city in map(_parse_city, parts) if CITY_NAME.fullmatch(city.name)}
    if len(named) < len(parts):
        logger.warning("WEATHER_CITIES has %s entries, but %s cities.", len(parts), len(named))
    return list(named.values())


def _parse_city(text: str) -> City:
    name, _, place = text.partition("@")
    latitude, longitude = map(parse_number, [*place.split(":"), "", ""][:2])
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return City(name.strip())
    return City(name.strip(), (latitude, longitude))


def parse_report(
    *,
    temperature: object,
    humidity: object,
    wind: object,
    code: object,
    condition: object,
    observed: object,
) -> Report | None:
    """A report from a provider's values, or None without a temperature or a time.

    `observed` is in seconds since 1970.
    """
    degrees, time, condition_code = map(parse_number, (temperature, observed, code))
    if degrees is None or time is None or not 0 < time < 1e11:
        return None
    text = condition[:MAX_CONDITION_CHARACTERS] if isinstance(condition, str) else None
    return {
        "temperature_c": degrees,
        "humidity_percent": parse_number(humidity),
        "wind_kph": parse_number(wind),
        "condition": text,
        "code": None if condition_code is None else int(condition_code),
        "observed_at": format_timestamp(datetime.fromtimestamp(time, UTC)),
    }


def require_reports(reports: Mapping[str, Report | None]) -> dict[str, Report]:
    """The reports that are not None. Raises ProviderError if there is none."""
    usable = {name: report for name, report in reports.items() if report}
    if not usable:
        raise ProviderError("sent a response without a temperature")
    return usable
