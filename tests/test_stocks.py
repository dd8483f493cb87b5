"""Stock prices: the simulator, and the providers within their free plans."""

import json
import math
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.stocks import StockQuotes, simulate
from realtime.messages import Frame, format_timestamp
from realtime.providers.quotes import Finnhub, TwelveData
from realtime.providers.throttle import Throttle
from realtime.streams import Data, Stale
from tests import provider
from tests.provider import Provider

NOW = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
TICK = int(NOW.timestamp())


def frame(data: Data, at: datetime = NOW) -> Frame:
    moment = format_timestamp(at)
    return Frame("stock_update", "stock-prices", TICK, moment, stale=False, full=True, data=data)


def walk(symbols: list[str], steps: int, start: datetime = NOW) -> list[Data]:
    """The data of consecutive seconds, each from the previous frame."""
    walked: list[Data] = []
    previous = None
    for second in range(steps):
        now = start + timedelta(seconds=second)
        walked.append(simulate(symbols, previous, int(now.timestamp()), now))
        previous = frame(walked[-1], now)
    return walked


# --- the simulator --------------------------------------------------------------------------


def test_the_same_tick_has_the_same_prices_in_another_process() -> None:
    here = walk(["AAPL", "ZZZZ"], 20)

    code = "import json, tests.test_stocks as t; print(json.dumps(t.walk(['AAPL', 'ZZZZ'], 20)))"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert json.loads(there.stdout) == here


def test_simulated_data_names_the_simulator_as_its_source() -> None:
    assert walk(["AAPL"], 1)[0]["source"] == "simulator"


def test_prices_continue_from_the_tick_before() -> None:
    prices = [data["symbols"]["TSLA"]["price"] for data in walk(["TSLA"], 200)]

    assert len(set(prices)) > 50
    assert all(abs(math.log(b / a)) < 0.005 for a, b in pairwise(prices))


def test_the_price_of_a_symbol_does_not_depend_on_the_other_symbols() -> None:
    alone, among = walk(["MSFT"], 30), walk(["AAPL", "MSFT", "NEW"], 30)

    assert [data["symbols"]["MSFT"] for data in alone] == [
        data["symbols"]["MSFT"] for data in among
    ]


def test_the_change_is_since_the_open() -> None:
    last = walk(["AMZN"], 300)[-1]["symbols"]["AMZN"]

    assert last["change"] == pytest.approx(last["price"] - last["open"], abs=0.006)
    assert last["change_percent"] == pytest.approx(100 * last["change"] / last["open"], abs=0.02)


def test_volume_grows_during_a_day_and_a_new_day_opens_with_the_last_price() -> None:
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    days = walk(["AAPL"], 20, start=midnight - timedelta(seconds=10))
    before, after = ([data["symbols"]["AAPL"] for data in half] for half in (days[:10], days[10:]))

    volumes = [one["volume"] for one in before]
    assert volumes == sorted(volumes)
    assert after[0]["open"] == before[-1]["price"]
    assert after[0]["volume"] < before[-1]["volume"]
    assert {one["open"] for one in after} == {before[-1]["price"]}


def test_prices_stay_plausible_for_20000_ticks() -> None:
    prices = [data["symbols"]["AAPL"]["price"] for data in walk(["AAPL"], 20_000)]

    assert 150 < min(prices) < max(prices) < 350


@given(st.text(min_size=1, max_size=12), st.integers(0, 2**40), st.floats(0.01, 1e6))
def test_any_symbol_at_any_tick_has_a_price(symbol: str, tick: int, price: float) -> None:
    last = {"price": price, "open": price, "change": 0.0, "change_percent": 0.0, "volume": 1}
    before = frame({"source": "simulator", "symbols": {symbol: last}})

    data = simulate([symbol], before, tick, NOW)["symbols"][symbol]

    assert data["price"] >= 0.01
    assert all(math.isfinite(value) for value in data.values())


# --- the providers --------------------------------------------------------------------------


@pytest.fixture
async def server() -> AsyncIterator[Provider]:
    async with provider.serve_provider() as served:
        served.responders = {"/quote": provider.twelve_data, "/api/v1/quote": provider.finnhub}
        yield served


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


def twelve_data(server: Provider, client: httpx.AsyncClient, *symbols: str) -> StockQuotes:
    return StockQuotes(
        TwelveData(client, "s3cret", server.base), symbols, Throttle(random_fraction=lambda: 1.0)
    )


def finnhub(server: Provider, client: httpx.AsyncClient, *symbols: str) -> StockQuotes:
    return StockQuotes(
        Finnhub(client, "s3cret", server.base), symbols, Throttle(random_fraction=lambda: 1.0)
    )


async def tick_fresh(quotes: StockQuotes, previous: Data | None, now: datetime) -> Data:
    """The data of a tick. Fails if it is stale."""
    result = await quotes.tick(frame(previous) if previous else None, now)
    assert not isinstance(result, Stale), result
    return result


@pytest.mark.parametrize(("make", "volume"), [(twelve_data, 12345), (finnhub, None)])
async def test_a_quote_has_the_price_and_the_change_since_the_open(
    server: Provider, client: httpx.AsyncClient, make: Any, volume: int | None
) -> None:
    quotes = make(server, client, "AAPL", "MSFT")

    data = await tick_fresh(quotes, None, NOW)

    assert data["source"] == quotes.provider.source
    assert data["symbols"]["AAPL"] == data["symbols"]["MSFT"]
    assert data["symbols"]["AAPL"] == {
        "price": 101.5,
        "open": 100.0,
        "change": 1.5,
        "change_percent": 1.5,
        "volume": volume,
        "read_at": "2026-11-20T15:30:00.000Z",
        "age_seconds": 0,
    }


async def test_twelve_data_sends_a_single_quote_without_its_symbol(
    server: Provider, client: httpx.AsyncClient
) -> None:
    data = await tick_fresh(twelve_data(server, client, "AAPL"), None, NOW)

    assert data["symbols"]["AAPL"]["price"] == 101.5


@pytest.mark.parametrize(("make", "calls_a_day"), [(twelve_data, 800), (finnhub, 86_400)])
async def test_a_tick_each_second_stays_within_the_free_terms(
    server: Provider, client: httpx.AsyncClient, make: Any, calls_a_day: int
) -> None:
    quotes = make(server, client, "AAPL", "MSFT", "TSLA")
    data = None

    for second in range(600):
        data = await tick_fresh(quotes, data, NOW + timedelta(seconds=second))

    requested = sum(len(call.query["symbol"].split(",")) for call in server.calls)
    assert 3 < requested <= calls_a_day * 600 / 86_400 + 3


async def test_between_two_calls_the_last_quote_is_repeated_with_its_age(
    server: Provider, client: httpx.AsyncClient
) -> None:
    quotes = twelve_data(server, client, "AAPL")
    first = await tick_fresh(quotes, None, NOW)

    later = await tick_fresh(quotes, first, NOW + timedelta(seconds=40))

    assert later["symbols"]["AAPL"] == {**first["symbols"]["AAPL"], "age_seconds": 40}
    assert len(server.calls) == 1


async def test_symbols_that_exceed_one_call_are_requested_in_rotation(
    server: Provider, client: httpx.AsyncClient
) -> None:
    names = [f"S{number}" for number in range(12)]
    quotes = twelve_data(server, client, *names)

    first = await tick_fresh(quotes, None, NOW)
    second = await tick_fresh(quotes, first, NOW + timedelta(seconds=8 * 108))

    unread = [name for name in names if first["symbols"][name]["price"] is None]
    assert len(unread) == 4
    assert all(second["symbols"][name]["price"] == 101.5 for name in names)
    assert set(unread) <= set(server.calls[1].query["symbol"].split(","))


@pytest.mark.parametrize("make", [twelve_data, finnhub])
async def test_an_unknown_symbol_has_no_values_and_the_others_are_fresh(
    server: Provider, client: httpx.AsyncClient, make: Any
) -> None:
    data = await tick_fresh(make(server, client, "AAPL", "NOPE"), None, NOW)

    assert data["symbols"]["AAPL"]["price"] == 101.5
    assert data["symbols"]["NOPE"]["price"] is None


async def test_a_simulated_price_is_never_published_as_a_providers(
    server: Provider, client: httpx.AsyncClient
) -> None:
    server.respond_to_all_with(provider.fail_with(500))
    simulated = simulate(["AAPL"], None, TICK, NOW)

    result = await finnhub(server, client, "AAPL").tick(frame(simulated), NOW)

    assert isinstance(result, Stale)
    assert result.data is not None
    assert result.data["symbols"]["AAPL"]["price"] is None


@pytest.mark.parametrize("make", [twelve_data, finnhub])
@pytest.mark.parametrize(
    "responder",
    [
        provider.fail_with(429),
        provider.fail_with(500),
        provider.respond_with({"code": 429, "message": "no credits left", "status": "error"}),
        provider.respond_with({}),
        provider.respond_with([1, 2]),
        provider.respond_with({"AAPL": {"close": "NaN", "open": "1"}, "c": "1e999", "o": 10**400}),
        provider.send_html,
        provider.send_ten_megabytes,
    ],
)
async def test_a_failed_call_repeats_the_last_quote_marked_stale(
    server: Provider, client: httpx.AsyncClient, make: Any, responder: provider.Responder
) -> None:
    quotes = make(server, client, "AAPL")
    good = await tick_fresh(quotes, None, NOW)
    server.respond_to_all_with(responder)

    result = await quotes.tick(frame(good), NOW + timedelta(hours=1))

    assert isinstance(result, Stale)
    assert result.data is not None
    assert result.data["symbols"]["AAPL"] == {**good["symbols"]["AAPL"], "age_seconds": 3600}
    assert "s3cret" not in result.reason
