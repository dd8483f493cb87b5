"""Weather reports of weatherapi.com, which needs a key."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from realtime.providers.http_client import MAX_CONCURRENT_REQUESTS, ProviderError, fetch_json
from realtime.providers.weather_reports import City, Report, parse_report, require_reports

if TYPE_CHECKING:
    import httpx


class WeatherApi:
    """Free: 100,000 requests a month, one city each. The key is part of the URL."""

    source = "weatherapi"
    title = "WeatherAPI"
    seconds_per_city = 31 * 86_400 / 100_000

    def __init__(
        self, client: "httpx.AsyncClient", key: str, base_url: str = "https://api.weatherapi.com"
    ) -> None:
        self._client, self._key, self._base_url = client, key, base_url
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)

    async def fetch_reports(self, cities: Sequence[City]) -> dict[str, Report]:
        results = await asyncio.gather(*map(self._fetch_report, cities), return_exceptions=True)
        errors = [one for one in results if isinstance(one, BaseException)]
        if errors and len(errors) == len(results):
            raise errors[0]
        reports = zip(cities, results, strict=True)
        return require_reports({city.name: one for city, one in reports if isinstance(one, dict)})

    async def _fetch_report(self, city: City) -> Report | None:
        place = "{},{}".format(*city.coordinates) if city.coordinates else city.name
        async with self._slots:
            response = await fetch_json(
                self._client,
                f"{self._base_url}/v1/current.json",
                {"key": self._key, "q": place, "aqi": "no"},
            )
        current = response.get("current") if isinstance(response, dict) else None
        if not isinstance(current, dict):
            raise ProviderError("sent a response in another format")
        condition = current.get("condition")
        condition = condition if isinstance(condition, dict) else {}
        return parse_report(
            temperature=current.get("temp_c"),
            humidity=current.get("humidity"),
            wind=current.get("wind_kph"),
            code=condition.get("code"),
            condition=condition.get("text"),
            observed=current.get("last_updated_epoch"),
        )
