"""The weather in a list of cities: of Open-Meteo without a key, or of weatherapi.com."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache

from msgspec import Struct, field

from realtime.messages import Frame
from realtime.providers.http_client import ProviderError, provider_client
from realtime.providers.open_meteo import OpenMeteo
from realtime.providers.throttle import Throttle
from realtime.providers.weather_reports import City, WeatherProvider, parse_cities
from realtime.providers.weatherapi import WeatherApi
from realtime.settings import settings
from realtime.streams import Data, Stale, Stream

UNREAD_REPORT: Data = dict.fromkeys(
    ("temperature_c", "humidity_percent", "wind_kph", "condition", "code", "observed_at")
)
"""A city whose weather no provider has sent yet."""


class WeatherReports(Struct):
    """The reports of a provider. A city that fails keeps its last values and their age."""

    provider: WeatherProvider
    cities: Sequence[City]
    throttle: Throttle = field(default_factory=Throttle)

    async def tick(self, previous: Frame | None, now: datetime) -> Data | Stale:
        last = _last_reports(self.provider.source, previous)
        requested = self.throttle.is_ready(now)
        fetched = await self._fetch_reports(now) if requested else {}
        data: Data = {
            "source": self.provider.source,
            "cities": [
                _make_entry(
                    city.name, fetched.get(city.name), last.get(city.name), now, requested=requested
                )
                for city in self.cities
            ],
        }
        reason = self.throttle.reason
        return Stale(data, f"{self.provider.title} {reason}") if reason else data

    async def _fetch_reports(self, now: datetime) -> dict[str, Data]:
        try:
            reports = await self.provider.fetch_reports(self.cities)
        except ProviderError as error:
            self.throttle.record_failure(now, error)
            return {}
        self.throttle.record_success(now, self.provider.seconds_per_city * len(self.cities))
        return reports


def _make_entry(
    name: str, fetched: Data | None, last: Data | None, now: datetime, *, requested: bool
) -> Data:
    """The new values of a city, or its last ones; stale after a request that failed."""
    stale = fetched is None and (requested or last is None or last["stale"])
    values = fetched or last or UNREAD_REPORT
    observed_at = values["observed_at"]
    age = observed_at and (now - datetime.fromisoformat(observed_at)).total_seconds()
    return {
        "city": name,
        **{key: values[key] for key in UNREAD_REPORT},
        "stale": stale,
        "age_seconds": age and max(0, round(age)),
    }


def _last_reports(source: str, previous: Frame | None) -> dict[str, Data]:
    """The values of each city in the previous frame, if it has the same source."""
    if previous is None or previous.data.get("source") != source:
        return {}
    return {city["city"]: city for city in previous.data["cities"]}


@cache
def weather_reports() -> WeatherReports:
    """The weather provider of this process."""
    provider: WeatherProvider = (
        WeatherApi(provider_client(), settings().weatherapi_key)
        if settings().weather_provider == "weatherapi"
        else OpenMeteo(provider_client())
    )
    return WeatherReports(provider, parse_cities(settings().weather_cities))


async def tick(previous: Frame | None, now: datetime) -> Data | Stale:
    return await weather_reports().tick(previous, now)


STREAM = Stream(
    name="weather",
    title="Weather",
    group="weather",
    description="Temperature, humidity, wind and sky in each city.",
    schedule="%WEATHER_SCHEDULE%",
    type="weather_update",
    tick=tick,
)
