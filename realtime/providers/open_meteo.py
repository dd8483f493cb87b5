"""Weather reports of open-meteo.com, which needs no key."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from realtime.providers.http_client import (
    MAX_CONCURRENT_REQUESTS,
    ProviderError,
    fetch_json,
    parse_number,
)
from realtime.providers.weather_reports import (
    City,
    Coordinates,
    Report,
    parse_report,
    require_reports,
)

if TYPE_CHECKING:
    import httpx


class OpenMeteo:
    """Free: 10,000 cities a day, for non-commercial use; one request has all cities.

    https://open-meteo.com/en/docs. Required credit: weather data by Open-Meteo.com, CC BY 4.0.
    """

    source = "open-meteo"
    title = "Open-Meteo"
    seconds_per_city = 86_400 / 9_600

    def __init__(
        self,
        client: "httpx.AsyncClient",
        base_url: str = "https://api.open-meteo.com",
        geocoding_url: str = "https://geocoding-api.open-meteo.com",
    ) -> None:
        self._client, self._base_url, self._geocoding_url = client, base_url, geocoding_url
        self._coordinates: dict[str, Coordinates | None] = {}
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)

    async def fetch_reports(self, cities: Sequence[City]) -> dict[str, Report]:
        places = await self._locate_cities(cities)
        if not places:
            raise ProviderError("knows none of the cities")
        response = await fetch_json(
            self._client,
            f"{self._base_url}/v1/forecast",
            {
                "latitude": ",".join(str(latitude) for latitude, _ in places.values()),
                "longitude": ",".join(str(longitude) for _, longitude in places.values()),
                "current": "temperature_2m,relative_humidity_2m,weather_code,wind_speed_10m",
                "timeformat": "unixtime",
            },
        )
        forecasts = response if isinstance(response, list) else [response]
        if len(forecasts) != len(places):
            raise ProviderError("sent a response in another format")
        return require_reports(dict(zip(places, map(_parse_forecast, forecasts), strict=True)))

    async def _locate_cities(self, cities: Sequence[City]) -> dict[str, Coordinates]:
        results = await asyncio.gather(*map(self._locate_city, cities), return_exceptions=True)
        errors = [one for one in results if isinstance(one, BaseException)]
        if errors and len(errors) == len(results):
            raise errors[0]
        located = zip(cities, results, strict=True)
        return {city.name: place for city, place in located if isinstance(place, tuple)}

    async def _locate_city(self, city: City) -> Coordinates | None:
        """The city's coordinates. Each name is looked up once, also one that does not exist."""
        if city.coordinates or city.name in self._coordinates:
            return city.coordinates or self._coordinates[city.name]
        async with self._slots:
            response = await fetch_json(
                self._client, f"{self._geocoding_url}/v1/search", {"name": city.name, "count": "1"}
            )
        if not isinstance(response, dict) or response.get("error"):
            raise ProviderError("sent a response in another format")
        self._coordinates[city.name] = _parse_coordinates(response)
        return self._coordinates[city.name]


def _parse_coordinates(response: dict[str, Any]) -> Coordinates | None:
    results = response.get("results")
    first = results[0] if isinstance(results, list) and results else None
    if not isinstance(first, dict):
        return None
    latitude, longitude = parse_number(first.get("latitude")), parse_number(first.get("longitude"))
    return None if latitude is None or longitude is None else (latitude, longitude)


def _parse_forecast(forecast: Any) -> Report | None:
    current = forecast.get("current") if isinstance(forecast, dict) else None
    if not isinstance(current, dict):
        return None
    code = parse_number(current.get("weather_code"))
    return parse_report(
        temperature=current.get("temperature_2m"),
        humidity=current.get("relative_humidity_2m"),
        wind=current.get("wind_speed_10m"),
        code=code,
        condition=CONDITIONS.get(-1 if code is None else int(code)),
        observed=current.get("time"),
    )


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
"""The WMO weather codes that Open-Meteo sends."""
