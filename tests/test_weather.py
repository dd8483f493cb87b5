"""The weather, and what a provider may do wrong without harm."""

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

from producers.provider import Pace, Unreachable, ask
from producers.provider import client as shared_client
from producers.weather import OpenMeteo, Reports, WeatherApi, cities
from realtime.messages import Frame, format_timestamp
from realtime.streams import Data, Stale
from tests import provider
from tests.provider import Provider

NOW = datetime(2026, 11, 21, 1, 40, tzinfo=UTC)  # ten minutes after what the provider observed
TEN_MINUTES = 600
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def sky() -> AsyncIterator[Provider]:
    async with provider.serving() as served:
        served.answers = {
            "/v1/forecast": provider.open_meteo,
            "/v1/search": provider.geocoding,
            "/v1/current.json": provider.weatherapi,
        }
        yield served


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=5) as client:
        yield client


def open_meteo(sky: Provider, client: httpx.AsyncClient, wished: str) -> Reports:
    source = OpenMeteo(client, sky.base, sky.base)
    return Reports(source, cities(wished), Pace(chance=lambda: 1.0))


def weatherapi(sky: Provider, client: httpx.AsyncClient, wished: str) -> Reports:
    source = WeatherApi(client, "s3cret", sky.base)
    return Reports(source, cities(wished), Pace(chance=lambda: 1.0))


def frame(data: Data) -> Frame:
    return Frame(
        "weather_update", "weather", 1, format_timestamp(NOW), stale=False, full=True, data=data
    )


async def data_of(reports: Reports, previous: Data | None, now: datetime) -> Data:
    """The fresh data of a tick that must not be stale."""
    said = await reports.tick(frame(previous) if previous else None, now)
    assert not isinstance(said, Stale), said
    return said


async def stale_data_of(reports: Reports, previous: Data | None, now: datetime) -> Data:
    said = await reports.tick(frame(previous) if previous else None, now)
    assert isinstance(said, Stale)
    assert said.data is not None
    assert "s3cret" not in said.reason
    return said.data


# --- the cities -----------------------------------------------------------------------------


def test_a_city_may_bring_its_place() -> None:
    named, placed = cities(" London , Århus@56.16:10.2 ")

    assert (named.name, named.place) == ("London", None)
    assert (placed.name, placed.place) == ("Århus", (56.16, 10.2))


@pytest.mark.parametrize(
    "wished", ["http://10.0.0.1/", "169.254.169.254", "../../etc", "x" * 1024, "a&key=b", "a\nb"]
)
async def test_what_is_no_city_is_never_asked_for(
    sky: Provider, client: httpx.AsyncClient, wished: str
) -> None:
    data = await data_of(open_meteo(sky, client, f"Berlin,{wished}"), None, NOW)

    assert [city["city"] for city in data["cities"]] == ["Berlin"]
    assert [call.query["name"] for call in sky.calls if "name" in call.query] == ["Berlin"]


def test_a_place_off_the_globe_is_looked_up_by_name_instead() -> None:
    assert [city.place for city in cities("Berlin@95:10,London@1:200,Bonn@x:y")] == [None] * 3


# --- the providers --------------------------------------------------------------------------


async def test_open_meteo_is_asked_once_for_all_cities(
    sky: Provider, client: httpx.AsyncClient
) -> None:
    data = await data_of(open_meteo(sky, client, "London,Oslo@60:10"), None, NOW)

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
    assert [call.path for call in sky.calls].count("/v1/forecast") == 1


async def test_a_city_is_looked_up_only_once(sky: Provider, client: httpx.AsyncClient) -> None:
    reports = open_meteo(sky, client, "London,Atlantis")

    data = await data_of(reports, None, NOW)
    await data_of(reports, data, NOW + MINUTE)

    assert [call.path for call in sky.calls] == [
        *["/v1/search"] * 2,
        *["/v1/forecast"] * 2,
    ]


async def test_weatherapi_is_asked_for_each_city_with_the_key(
    sky: Provider, client: httpx.AsyncClient
) -> None:
    data = await data_of(weatherapi(sky, client, "London,Berlin"), None, NOW)

    assert data["source"] == "weatherapi"
    assert data["cities"][0]["temperature_c"] == 9.4
    assert data["cities"][0]["condition"] == "Light rain"
    assert [call.query["key"] for call in sky.calls] == ["s3cret"] * 2


async def test_weatherapi_calls_run_side_by_side_but_never_more_than_four(
    sky: Provider, client: httpx.AsyncClient
) -> None:
    running, most = 0, 0
    report = provider.weatherapi

    async def count(request: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return report(request)

    sky.handle_with = count
    reports = weatherapi(sky, client, ",".join(f"City {letter}" for letter in "abcdefghij"))

    await stale_data_of(reports, None, NOW)

    assert most == 4


@pytest.mark.parametrize("make", [open_meteo, weatherapi])
async def test_a_month_of_minutes_stays_within_the_free_terms(
    sky: Provider, client: httpx.AsyncClient, make: Any
) -> None:
    reports = make(sky, client, "London,Berlin,New York")
    data, asked = None, 0

    for minute in range(120):
        if reports.pace.ready(NOW + minute * MINUTE):
            asked += len(reports.cities)
        data = await data_of(reports, data, NOW + minute * MINUTE)

    allowed = 10_000 / 1440 if make is open_meteo else 100_000 / (31 * 1440)
    assert 0 < asked <= 120 * allowed + len(reports.cities)


# --- failures -------------------------------------------------------------------------------


async def test_a_city_that_nobody_knows_is_listed_without_values(
    sky: Provider, client: httpx.AsyncClient
) -> None:
    data = await data_of(weatherapi(sky, client, "London,Atlantis"), None, NOW)

    london, atlantis = data["cities"]
    assert london["stale"] is False
    assert atlantis["stale"] is True
    assert atlantis["temperature_c"] is None
    assert atlantis["age_seconds"] is None


async def test_one_failing_city_keeps_its_last_values_while_the_others_are_fresh(
    sky: Provider, client: httpx.AsyncClient
) -> None:
    reports = weatherapi(sky, client, "London,Berlin")
    good = await data_of(reports, None, NOW)

    def only_london(request: Any) -> Any:
        return provider.weatherapi(request) if request.query["q"] == "London" else broken(request)

    broken = provider.fails(500)
    sky.answers["/v1/current.json"] = only_london
    later = await data_of(reports, good, NOW + 60 * MINUTE)

    london, berlin = later["cities"]
    assert (london["stale"], berlin["stale"]) == (False, True)
    assert berlin["temperature_c"] == 9.4
    assert berlin["age_seconds"] == TEN_MINUTES + 3600


async def test_where_nothing_was_ever_reached_every_city_is_listed_and_stale(
    sky: Provider, client: httpx.AsyncClient
) -> None:
    sky.answers = {}

    data = await stale_data_of(open_meteo(sky, client, "London,Oslo@60:10"), None, NOW)

    assert [city["city"] for city in data["cities"]] == ["London", "Oslo"]
    assert all(city["stale"] and city["temperature_c"] is None for city in data["cities"])


ANSWERS_NOBODY_WANTS = {
    "429": provider.fails(429),
    "500": provider.fails(500),
    "an error with status 200": provider.says({"error": True, "reason": "limit exceeded"}),
    "another error with status 200": provider.says({"error": {"code": 2007, "message": "quota"}}),
    "an empty object": provider.says({}),
    "an empty list": provider.says([]),
    "text where numbers belong": provider.says({"current": {"temp_c": "warm", "time": "now"}}),
    "a time beyond all calendars": provider.says(
        {"current": {"temp_c": 1, "temperature_2m": 1, "time": 1e18, "last_updated_epoch": 1e18}}
    ),
    "html": provider.sends_html,
    "ten megabytes": provider.sends_ten_megabytes,
}


@pytest.mark.parametrize("make", [open_meteo, weatherapi])
@pytest.mark.parametrize("answer", ANSWERS_NOBODY_WANTS.values(), ids=ANSWERS_NOBODY_WANTS.keys())
async def test_a_provider_that_fails_leaves_the_last_values_with_their_age(
    sky: Provider, client: httpx.AsyncClient, make: Any, answer: provider.Answer
) -> None:
    reports = make(sky, client, "London")
    good = await data_of(reports, None, NOW)
    sky.answer_all(answer)

    data = await stale_data_of(reports, good, NOW + 60 * MINUTE)

    old = good["cities"][0]
    assert data["cities"] == [{**old, "stale": True, "age_seconds": TEN_MINUTES + 3600}]


@pytest.mark.parametrize("make", [open_meteo, weatherapi])
async def test_a_provider_that_hangs_is_left_alone_in_time(sky: Provider, make: Any) -> None:
    sky.delay = 30

    async with httpx.AsyncClient(timeout=0.3) as client, asyncio.timeout(10):
        data = await stale_data_of(make(sky, client, "London"), None, NOW)

    assert data["cities"][0]["stale"]


async def test_a_provider_that_nobody_serves_is_only_stale(client: httpx.AsyncClient) -> None:
    nowhere = Provider(base="http://127.0.0.1:9")

    data = await stale_data_of(open_meteo(nowhere, client, "London"), None, NOW)

    assert data["cities"][0]["stale"]


async def test_a_redirect_to_another_host_is_not_followed(
    sky: Provider, client: httpx.AsyncClient
) -> None:
    async with provider.serving() as other:
        sky.answer_all(provider.redirects_to(f"{other.base}/v1/current.json"))

        await stale_data_of(weatherapi(sky, client, "London"), None, NOW)

        assert other.calls == []


async def test_the_shared_client_follows_no_redirect_either(sky: Provider) -> None:
    async with provider.serving() as other:
        sky.answers = {"/": provider.redirects_to(other.base)}

        with pytest.raises(Unreachable, match="HTTP 302"):
            await ask(shared_client(), sky.base, {})

        assert other.calls == []
    await shared_client().aclose()
    shared_client.cache_clear()


async def test_more_than_a_megabyte_is_not_even_read(
    sky: Provider, client: httpx.AsyncClient
) -> None:
    sky.answers = {"/": provider.sends_ten_megabytes}

    with pytest.raises(Unreachable, match="more than 1000000 bytes"):
        await ask(client, sky.base, {})


async def test_a_city_read_again_is_fresh_again(sky: Provider, client: httpx.AsyncClient) -> None:
    reports = open_meteo(sky, client, "London")
    good = await data_of(reports, None, NOW)
    sky.answer_all(provider.fails(500))
    stale = await stale_data_of(reports, good, NOW + MINUTE)
    sky.answers = {"/v1/forecast": provider.open_meteo}

    fresh = await data_of(reports, stale, NOW + 2 * MINUTE)

    assert fresh["cities"][0]["stale"] is False


# --- pace -----------------------------------------------------------------------------------


async def test_a_failing_provider_is_asked_ever_more_seldom_and_then_again(
    sky: Provider, client: httpx.AsyncClient
) -> None:
    reports = open_meteo(sky, client, "London@51:0")
    sky.answer_all(provider.fails(500))

    for second in range(3600):
        await stale_data_of(reports, None, NOW + timedelta(seconds=second))
    failed = len(sky.calls)
    sky.answers = {"/v1/forecast": provider.open_meteo}
    data = await data_of(reports, None, NOW + timedelta(seconds=3600 + 900))

    assert 5 < failed < 15
    assert data["cities"][0]["stale"] is False


async def test_a_provider_that_says_when_to_come_back_is_obeyed(
    sky: Provider, client: httpx.AsyncClient
) -> None:
    reports = open_meteo(sky, client, "London@51:0")
    sky.answers = {"/v1/forecast": provider.fails(429, Retry_After="120")}
    await stale_data_of(reports, None, NOW)

    await stale_data_of(reports, None, NOW + timedelta(seconds=119))
    assert len(sky.calls) == 1

    await stale_data_of(reports, None, NOW + timedelta(seconds=120))
    assert len(sky.calls) == 2


# --- the key --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [provider.weatherapi, provider.fails(401), provider.sends_html],
    ids=["well", "401", "html"],
)
async def test_the_key_is_in_no_log_no_error_and_no_telemetry(
    sky: Provider, caplog: pytest.LogCaptureFixture, answer: provider.Answer
) -> None:
    caplog.set_level(logging.DEBUG)
    spans = InMemorySpanExporter()
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    HTTPXClientInstrumentor().instrument(tracer_provider=tracing)
    sky.answers = {"/v1/current.json": answer}

    try:
        said = await _said(WeatherApi(shared_client(), "s3cret", sky.base))
    finally:
        HTTPXClientInstrumentor().uninstrument()
        await shared_client().aclose()
        shared_client.cache_clear()

    assert sky.calls[0].query["key"] == "s3cret"
    told = [span.to_json() for span in spans.get_finished_spans()]
    assert "s3cret" not in "\n".join([said, caplog.text, *told])


async def _said(source: WeatherApi) -> str:
    try:
        return repr(await source.read(cities("London")))
    except Unreachable as problem:
        return f"{problem!r} {problem.__cause__!r}"
