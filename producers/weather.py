"""The weather in a list of cities: from Open-Meteo without a key, or from weatherapi.com."""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from producers.provider import AT_ONCE, Pace, Unreachable, ask, client, number
from realtime.messages import Frame, format_timestamp
from realtime.settings import settings
from realtime.streams import Data, Stale, Stream

if TYPE_CHECKING:
    import httpx

NAME = re.compile(r"[^\W\d_][\w .'-]{0,79}")
"""A city: letters of any script, and what stands between them. It goes into a provider's query."""

logger = logging.getLogger(__name__)

Place = tuple[float, float]
"""Latitude and longitude, in degrees."""


@dataclass(frozen=True)
class City:
    """A city of the setting; `place` is None where it has to be looked up by name."""

    name: str
    place: Place | None = None


def cities(text: str) -> list[City]:
    """The cities of `WEATHER_CITIES`: `Berlin,Oslo@59.91:10.75`. What is no name is left out."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    named = {city.name: city for city in map(_city, parts) if NAME.fullmatch(city.name)}
    if len(named) < len(parts):
        logger.warning("WEATHER_CITIES has %s entries, but %s cities.", len(parts), len(named))
    return list(named.values())


def _city(text: str) -> City:
    name, _, at = text.partition("@")
    latitude, longitude = map(number, [*at.split(":"), "", ""][:2])
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return City(name.strip())
    return City(name.strip(), (latitude, longitude))


# --- the providers --------------------------------------------------------------------------


class WeatherProvider(Protocol):
    """Who knows the weather. `rest` is the seconds of silence that one city costs."""

    source: str
    rest: float

    async def read(self, cities: Sequence[City]) -> dict[str, Data]:
        """The cities that could be read, or Unreachable where none could."""
        ...


class OpenMeteo:
    """open-meteo.com, without a key: 10,000 cities a day; one call for all of them.

    https://open-meteo.com/en/docs, credit: weather data by Open-Meteo.com, CC BY 4.0
    """

    source = "open-meteo"
    rest = 86_400 / 9_600

    def __init__(
        self,
        client: "httpx.AsyncClient",
        base: str = "https://api.open-meteo.com",
        geocoding: str = "https://geocoding-api.open-meteo.com",
    ) -> None:
        self._client, self._base, self._geocoding = client, base, geocoding
        self._places: dict[str, Place | None] = {}
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def read(self, cities: Sequence[City]) -> dict[str, Data]:
        places = await self._all_places(cities)
        if not places:
            raise Unreachable("no city was found")
        answer = await ask(
            self._client,
            f"{self._base}/v1/forecast",
            {
                "latitude": ",".join(str(latitude) for latitude, _ in places.values()),
                "longitude": ",".join(str(longitude) for _, longitude in places.values()),
                "current": "temperature_2m,relative_humidity_2m,weather_code,wind_speed_10m",
                "timeformat": "unixtime",
            },
        )
        reports = answer if isinstance(answer, list) else [answer]
        if len(reports) != len(places):
            raise Unreachable("an answer of another shape")
        return _usable(dict(zip(places, map(_open_meteo, reports), strict=True)))

    async def _all_places(self, cities: Sequence[City]) -> dict[str, Place]:
        found = await asyncio.gather(*map(self._place, cities), return_exceptions=True)
        problems = [one for one in found if isinstance(one, BaseException)]
        if problems and len(problems) == len(found):
            raise problems[0]
        known = zip(cities, found, strict=True)
        return {city.name: place for city, place in known if isinstance(place, tuple)}

    async def _place(self, city: City) -> Place | None:
        """Where a city is. It is looked up once; one that nobody knows is not asked for again."""
        if city.place or city.name in self._places:
            return city.place or self._places[city.name]
        async with self._at_once:
            answer = await ask(
                self._client, f"{self._geocoding}/v1/search", {"name": city.name, "count": "1"}
            )
        if not isinstance(answer, dict) or answer.get("error"):
            raise Unreachable("an answer of another shape")
        self._places[city.name] = _found(answer)
        return self._places[city.name]


def _found(answer: Data) -> Place | None:
    results = answer.get("results")
    first = results[0] if isinstance(results, list) and results else None
    if not isinstance(first, dict):
        return None
    latitude, longitude = number(first.get("latitude")), number(first.get("longitude"))
    return None if latitude is None or longitude is None else (latitude, longitude)


def _open_meteo(report: Any) -> Data | None:
    current = report.get("current") if isinstance(report, dict) else None
    if not isinstance(current, dict):
        return None
    code = number(current.get("weather_code"))
    return _reading(
        temperature=current.get("temperature_2m"),
        humidity=current.get("relative_humidity_2m"),
        wind=current.get("wind_speed_10m"),
        code=code,
        condition=CONDITIONS.get(-1 if code is None else int(code)),
        observed=current.get("time"),
    )


class WeatherApi:
    """weatherapi.com, free: 100,000 cities a month, one a call; the key goes in the address."""

    source = "weatherapi"
    rest = 31 * 86_400 / 100_000

    def __init__(
        self, client: "httpx.AsyncClient", key: str, base: str = "https://api.weatherapi.com"
    ) -> None:
        self._client, self._key, self._base = client, key, base
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def read(self, cities: Sequence[City]) -> dict[str, Data]:
        answers = await asyncio.gather(*map(self._report, cities), return_exceptions=True)
        problems = [one for one in answers if isinstance(one, BaseException)]
        if problems and len(problems) == len(answers):
            raise problems[0]
        read = zip(cities, answers, strict=True)
        return _usable({city.name: one for city, one in read if isinstance(one, dict)})

    async def _report(self, city: City) -> Data | None:
        where = "{},{}".format(*city.place) if city.place else city.name
        async with self._at_once:
            answer = await ask(
                self._client,
                f"{self._base}/v1/current.json",
                {"key": self._key, "q": where, "aqi": "no"},
            )
        current = answer.get("current") if isinstance(answer, dict) else None
        if not isinstance(current, dict):
            raise Unreachable("an answer of another shape")
        condition = current.get("condition")
        condition = condition if isinstance(condition, dict) else {}
        return _reading(
            temperature=current.get("temp_c"),
            humidity=current.get("humidity"),
            wind=current.get("wind_kph"),
            code=condition.get("code"),
            condition=condition.get("text"),
            observed=current.get("last_updated_epoch"),
        )


def _reading(
    *,
    temperature: object,
    humidity: object,
    wind: object,
    code: object,
    condition: object,
    observed: object,
) -> Data | None:
    """A report in our words, or None where it has no temperature or no time."""
    degrees, at, kind = number(temperature), number(observed), number(code)
    if degrees is None or at is None or not 0 < at < 1e11:
        return None
    return {
        "temperature_c": degrees,
        "humidity_percent": number(humidity),
        "wind_kph": number(wind),
        "condition": condition[:100] if isinstance(condition, str) else None,
        "code": None if kind is None else int(kind),
        "observed_at": format_timestamp(datetime.fromtimestamp(at, UTC)),
    }


def _usable(readings: Mapping[str, Data | None]) -> dict[str, Data]:
    usable = {name: reading for name, reading in readings.items() if reading}
    if not usable:
        raise Unreachable("an answer without a temperature")
    return usable


CONDITIONS = {
    0: "Clear sky",
    1: "Mainly clear",
    2: "Partly cloudy",
    3: "Overcast",
    45: "Fog",
    48: "Rime fog",
    51: "Light drizzle",
    53: "Drizzle",
    55: "Dense drizzle",
    56: "Light freezing drizzle",
    57: "Freezing drizzle",
    61: "Light rain",
    63: "Rain",
    65: "Heavy rain",
    66: "Light freezing rain",
    67: "Freezing rain",
    71: "Light snow",
    73: "Snow",
    75: "Heavy snow",
    77: "Snow grains",
    80: "Light showers",
    81: "Showers",
    82: "Violent showers",
    85: "Light snow showers",
    86: "Snow showers",
    95: "Thunderstorm",
    96: "Thunderstorm with light hail",
    99: "Thunderstorm with hail",
}
"""The WMO weather codes that Open-Meteo uses."""


# --- the stream -----------------------------------------------------------------------------


@dataclass
class Reports:
    """The weather of a provider: a city that fails keeps its last values, and says how old."""

    provider: WeatherProvider
    cities: Sequence[City]
    pace: Pace = field(default_factory=Pace)

    async def tick(self, previous: Frame | None, now: datetime) -> Data | Stale:
        known = _known(self.provider.source, previous)
        asked = self.pace.ready(now)
        read = await self._read(now) if asked else {}
        data: Data = {
            "source": self.provider.source,
            "cities": [
                _told(city.name, read.get(city.name), known.get(city.name), now, asked=asked)
                for city in self.cities
            ],
        }
        return (
            Stale(data, f"{self.provider.source}: {self.pace.reason}") if self.pace.reason else data
        )

    async def _read(self, now: datetime) -> dict[str, Data]:
        try:
            read = await self.provider.read(self.cities)
        except Unreachable as problem:
            self.pace.failed(now, problem)
            return {}
        self.pace.worked(now, self.provider.rest * len(self.cities))
        return read


NEVER: Data = dict.fromkeys(
    ("temperature_c", "humidity_percent", "wind_kph", "condition", "code", "observed_at")
)
"""A city that no provider has ever told us of."""


def _told(name: str, read: Data | None, known: Data | None, now: datetime, *, asked: bool) -> Data:
    """What is said of a city: fresh values, or the last ones; stale once an asking failed."""
    stale = read is None and (asked or known is None or known["stale"])
    values = read or known or NEVER
    at = values["observed_at"]
    age = at and max(0, round((now - datetime.fromisoformat(at)).total_seconds()))
    return {"city": name, **{key: values[key] for key in NEVER}, "stale": stale, "age_seconds": age}


def _known(source: str, previous: Frame | None) -> dict[str, Data]:
    """The last values of each city, if they are of the same source."""
    if previous is None or previous.data.get("source") != source:
        return {}
    return {city["city"]: city for city in previous.data["cities"]}


@cache
def reports() -> Reports:
    """This process's provider."""
    chosen = settings()
    provider: WeatherProvider = (
        WeatherApi(client(), chosen.weatherapi_key)
        if chosen.weather_provider == "weatherapi"
        else OpenMeteo(client())
    )
    return Reports(provider, cities(chosen.weather_cities))


async def tick(previous: Frame | None, now: datetime) -> Data | Stale:
    return await reports().tick(previous, now)


STREAM = Stream(
    name="weather",
    title="Weather",
    group="weather",
    description="Temperature, humidity, wind and sky in each city.",
    schedule="%WEATHER_SCHEDULE%",
    type="weather_update",
    tick=tick,
)
