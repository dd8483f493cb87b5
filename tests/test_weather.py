"""The weather stream, and failures of its providers."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from producers.weather import WeatherReports
from realtime.messages import Frame, format_timestamp
from realtime.providers.http_client import ProviderError, fetch_json, provider_client
from realtime.providers.open_meteo import OpenMeteo
from realtime.providers.throttle import Throttle
from realtime.providers.weather_reports import parse_cities
from realtime.providers.weatherapi import WeatherApi
from realtime.streams import Data, Stale
from tests import provider
from tests.provider import Provider

NOW = datetime(2026, 11, 21, 1, 40, tzinfo=UTC)  # ten minutes after the observation of the provider
TEN_MINUTES = 600
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def server() -> AsyncIterator[Provider]:
    async with provider.serve_provider() as served:
        served.responders = {
            "/v1/forecast": provider.open_meteo,
            "/v1/search": provider.geocoding,
            "/v1/current.json": provider.weatherapi,
        }
        yield served


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


def open_meteo(server: Provider, client: httpx.AsyncClient, setting: str) -> WeatherReports:
    source = OpenMeteo(client, server.base, server.base)
    return WeatherReports(source, parse_cities(setting), Throttle(random_fraction=lambda: 1.0))


def weatherapi(server: Provider, client: httpx.AsyncClient, setting: str) -> WeatherReports:
    source = WeatherApi(client, "s3cret", server.base)
    return WeatherReports(source, parse_cities(setting), Throttle(random_fraction=lambda: 1.0))


def frame(data: Data) -> Frame:
    return Frame(
        "weather_update", "weather", 1, format_timestamp(NOW), stale=False, full=True, data=data
    )


async def tick_fresh(reports: WeatherReports, previous: Data | None, now: datetime) -> Data:
    """The data of a tick. Fails if it is stale."""
    result = await reports.tick(frame(previous) if previous else None, now)
    assert not isinstance(result, Stale), result
    return result


async def tick_stale(reports: WeatherReports, previous: Data | None, now: datetime) -> Data:
    result = await reports.tick(frame(previous) if previous else None, now)
    assert isinstance(result, Stale)
    assert result.data is not None
    assert "s3cret" not in result.reason
    return result.data


# --- the cities -----------------------------------------------------------------------------


def test_a_city_may_have_coordinates() -> None:
    named, placed = parse_cities(" London , Århus@56.16:10.2 ")

    assert (named.name, named.coordinates) == ("London", None)
    assert (placed.name, placed.coordinates) == ("Århus", (56.16, 10.2))


@pytest.mark.parametrize(
    "setting", ["http://10.0.0.1/", "169.254.169.254", "../../etc", "x" * 1024, "a&key=b", "a\nb"]
)
async def test_an_invalid_city_name_is_never_requested(
    server: Provider, client: httpx.AsyncClient, setting: str
) -> None:
    data = await tick_fresh(open_meteo(server, client, f"Berlin,{setting}"), None, NOW)

    assert [city["city"] for city in data["cities"]] == ["Berlin"]
    assert [call.query["name"] for call in server.calls if "name" in call.query] == ["Berlin"]


def test_a_city_with_invalid_coordinates_is_looked_up_by_name() -> None:
    assert [city.coordinates for city in parse_cities("Berlin@95:10,London@1:200,Bonn@x:y")] == [
        None
    ] * 3


# --- the providers --------------------------------------------------------------------------


async def test_open_meteo_is_called_once_for_all_cities(
    server: Provider, client: httpx.AsyncClient
) -> None:
    data = await tick_fresh(open_meteo(server, client, "London,Oslo@60:10"), None, NOW)

    assert data["source"] == "open-meteo"
    assert data["cities"][1] == {
        "city": "Oslo",
        "temperature_c": 15.0,
        "humidity_percent": 71.0,
        "wind_kph": 12.6,
        "condition": "Light rain",
        "code": 61,
        "observed_at": "2026-11-21T01:30:00.000Z",
        "stale": False,
        "age_seconds": TEN_MINUTES,
    }
    assert [call.path for call in server.calls].count("/v1/forecast") == 1


async def test_a_city_is_looked_up_only_once(server: Provider, client: httpx.AsyncClient) -> None:
    reports = open_meteo(server, client, "London,Atlantis")

    data = await tick_fresh(reports, None, NOW)
    await tick_fresh(reports, data, NOW + MINUTE)

    assert [call.path for call in server.calls] == [
        *["/v1/search"] * 2,
        *["/v1/forecast"] * 2,
    ]


async def test_weatherapi_is_called_for_each_city_with_the_key(
    server: Provider, client: httpx.AsyncClient
) -> None:
    data = await tick_fresh(weatherapi(server, client, "London,Berlin"), None, NOW)

    assert data["source"] == "weatherapi"
    assert data["cities"][0]["temperature_c"] == 9.4
    assert data["cities"][0]["condition"] == "Light rain"
    assert [call.query["key"] for call in server.calls] == ["s3cret"] * 2


async def test_at_most_four_calls_to_weatherapi_run_in_parallel(
    server: Provider, client: httpx.AsyncClient
) -> None:
    running, max_running = 0, 0
    report = provider.weatherapi

    async def count(request: Any) -> Any:
        nonlocal running, max_running
        running += 1
        max_running = max(max_running, running)
        await asyncio.sleep(0.02)
        running -= 1
        return report(request)

    server.handle_with = count
    reports = weatherapi(server, client, ",".join(f"City {letter}" for letter in "abcdefghij"))

    await tick_stale(reports, None, NOW)

    assert max_running == 4


@pytest.mark.parametrize("make", [open_meteo, weatherapi])
async def test_a_tick_each_minute_stays_within_the_free_terms(
    server: Provider, client: httpx.AsyncClient, make: Any
) -> None:
    reports = make(server, client, "London,Berlin,New York")
    data, requests = None, 0

    for minute in range(120):
        if reports.throttle.is_ready(NOW + minute * MINUTE):
            requests += len(reports.cities)
        data = await tick_fresh(reports, data, NOW + minute * MINUTE)

    allowed = 10_000 / 1440 if make is open_meteo else 100_000 / (31 * 1440)
    assert 0 < requests <= 120 * allowed + len(reports.cities)


# --- failures -------------------------------------------------------------------------------


async def test_an_unknown_city_is_listed_without_values(
    server: Provider, client: httpx.AsyncClient
) -> None:
    data = await tick_fresh(weatherapi(server, client, "London,Atlantis"), None, NOW)

    london, atlantis = data["cities"]
    assert london["stale"] is False
    assert atlantis["stale"] is True
    assert atlantis["temperature_c"] is None
    assert atlantis["age_seconds"] is None


async def test_a_failed_city_keeps_its_last_values_and_the_others_are_fresh(
    server: Provider, client: httpx.AsyncClient
) -> None:
    reports = weatherapi(server, client, "London,Berlin")
    good = await tick_fresh(reports, None, NOW)

    def only_london(request: Any) -> Any:
        return provider.weatherapi(request) if request.query["q"] == "London" else broken(request)

    broken = provider.fail_with(500)
    server.responders["/v1/current.json"] = only_london
    later = await tick_fresh(reports, good, NOW + 60 * MINUTE)

    london, berlin = later["cities"]
    assert (london["stale"], berlin["stale"]) == (False, True)
    assert berlin["temperature_c"] == 9.4
    assert berlin["age_seconds"] == TEN_MINUTES + 3600


async def test_without_any_response_every_city_is_listed_as_stale(
    server: Provider, client: httpx.AsyncClient
) -> None:
    server.responders = {}

    data = await tick_stale(open_meteo(server, client, "London,Oslo@60:10"), None, NOW)

    assert [city["city"] for city in data["cities"]] == ["London", "Oslo"]
    assert all(city["stale"] and city["temperature_c"] is None for city in data["cities"])


UNUSABLE_RESPONSES = {
    "429": provider.fail_with(429),
    "500": provider.fail_with(500),
    "an error with status 200": provider.respond_with({"error": True, "reason": "limit exceeded"}),
    "another error with status 200": provider.respond_with(
        {"error": {"code": 2007, "message": "quota"}}
    ),
    "an empty object": provider.respond_with({}),
    "an empty list": provider.respond_with([]),
    "text where numbers belong": provider.respond_with(
        {"current": {"temp_c": "warm", "time": "now"}}
    ),
    "a time beyond all calendars": provider.respond_with(
        {"current": {"temp_c": 1, "temperature_2m": 1, "time": 1e18, "last_updated_epoch": 1e18}}
    ),
    "html": provider.send_html,
    "ten megabytes": provider.send_ten_megabytes,
}


@pytest.mark.parametrize("make", [open_meteo, weatherapi])
@pytest.mark.parametrize("responder", UNUSABLE_RESPONSES.values(), ids=UNUSABLE_RESPONSES.keys())
async def test_a_failed_call_repeats_the_last_values_with_their_age(
    server: Provider, client: httpx.AsyncClient, make: Any, responder: provider.Responder
) -> None:
    reports = make(server, client, "London")
    good = await tick_fresh(reports, None, NOW)
    server.respond_to_all_with(responder)

    data = await tick_stale(reports, good, NOW + 60 * MINUTE)

    old = good["cities"][0]
    assert data["cities"] == [{**old, "stale": True, "age_seconds": TEN_MINUTES + 3600}]


@pytest.mark.parametrize("make", [open_meteo, weatherapi])
async def test_a_call_to_a_slow_provider_times_out(server: Provider, make: Any) -> None:
    server.delay = 30

    async with httpx.AsyncClient(timeout=0.3) as client, asyncio.timeout(25):
        data = await tick_stale(make(server, client, "London"), None, NOW)

    assert data["cities"][0]["stale"]


async def test_an_unreachable_provider_makes_the_data_stale(client: httpx.AsyncClient) -> None:
    nowhere = Provider(base="http://127.0.0.1:9")

    data = await tick_stale(open_meteo(nowhere, client, "London"), None, NOW)

    assert data["cities"][0]["stale"]


async def test_a_redirect_to_another_host_is_not_followed(
    server: Provider, client: httpx.AsyncClient
) -> None:
    async with provider.serve_provider() as other:
        server.respond_to_all_with(provider.redirect_to(f"{other.base}/v1/current.json"))

        await tick_stale(weatherapi(server, client, "London"), None, NOW)

        assert other.calls == []


async def test_the_provider_client_follows_no_redirect(server: Provider) -> None:
    async with provider.serve_provider() as other:
        server.responders = {"/": provider.redirect_to(other.base)}

        with pytest.raises(ProviderError, match="HTTP 302"):
            await fetch_json(provider_client(), server.base, {})

        assert other.calls == []
    await provider_client().aclose()
    provider_client.cache_clear()


async def test_a_response_of_more_than_a_megabyte_is_not_read(
    server: Provider, client: httpx.AsyncClient
) -> None:
    server.responders = {"/": provider.send_ten_megabytes}

    with pytest.raises(ProviderError, match="more than 1000000 bytes"):
        await fetch_json(client, server.base, {})


async def test_a_city_is_fresh_again_after_a_successful_call(
    server: Provider, client: httpx.AsyncClient
) -> None:
    reports = open_meteo(server, client, "London")
    good = await tick_fresh(reports, None, NOW)
    server.respond_to_all_with(provider.fail_with(500))
    stale = await tick_stale(reports, good, NOW + MINUTE)
    server.responders = {"/v1/forecast": provider.open_meteo}

    fresh = await tick_fresh(reports, stale, NOW + 2 * MINUTE)

    assert fresh["cities"][0]["stale"] is False


# --- throttling -----------------------------------------------------------------------------------


async def test_failing_calls_are_repeated_with_backoff(
    server: Provider, client: httpx.AsyncClient
) -> None:
    reports = open_meteo(server, client, "London@51:0")
    server.respond_to_all_with(provider.fail_with(500))

    for second in range(3600):
        await tick_stale(reports, None, NOW + timedelta(seconds=second))
    failed = len(server.calls)
    server.responders = {"/v1/forecast": provider.open_meteo}
    data = await tick_fresh(reports, None, NOW + timedelta(seconds=3600 + 900))

    assert 5 < failed < 15
    assert data["cities"][0]["stale"] is False


async def test_retry_after_is_obeyed(server: Provider, client: httpx.AsyncClient) -> None:
    reports = open_meteo(server, client, "London@51:0")
    server.responders = {"/v1/forecast": provider.fail_with(429, Retry_After="120")}
    await tick_stale(reports, None, NOW)

    await tick_stale(reports, None, NOW + timedelta(seconds=119))
    assert len(server.calls) == 1

    await tick_stale(reports, None, NOW + timedelta(seconds=120))
    assert len(server.calls) == 2


# --- the key --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "responder",
    [provider.weatherapi, provider.fail_with(401), provider.send_html],
    ids=["200", "401", "html"],
)
async def test_the_key_is_in_no_log_no_error_and_no_telemetry(
    server: Provider, caplog: pytest.LogCaptureFixture, responder: provider.Responder
) -> None:
    caplog.set_level(logging.DEBUG)
    spans = InMemorySpanExporter()
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    HTTPXClientInstrumentor().instrument(tracer_provider=tracing)
    server.responders = {"/v1/current.json": responder}

    try:
        result = await _fetch_and_describe(WeatherApi(provider_client(), "s3cret", server.base))
    finally:
        HTTPXClientInstrumentor().uninstrument()
        await provider_client().aclose()
        provider_client.cache_clear()

    assert server.calls[0].query["key"] == "s3cret"
    recorded = [span.to_json() for span in spans.get_finished_spans()]
    assert "s3cret" not in "\n".join([result, caplog.text, *recorded])


async def _fetch_and_describe(source: WeatherApi) -> str:
    try:
        return repr(await source.fetch_reports(parse_cities("London")))
    except ProviderError as problem:
        return f"{problem!r} {problem.__cause__!r}"
