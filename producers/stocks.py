"""Stock prices: a simulator that needs nothing, or a real provider at the pace it allows."""

import asyncio
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from producers.provider import AT_ONCE, Pace, Unreachable, ask, client, number
from realtime.messages import Frame, format_timestamp
from realtime.settings import settings
from realtime.streams import Data, Stale, Stream

if TYPE_CHECKING:
    import httpx

# --- the simulator --------------------------------------------------------------------------

KNOWN = {"AAPL": 230.0, "GOOGL": 180.0, "MSFT": 430.0, "AMZN": 210.0, "TSLA": 340.0}
"""Where a known symbol begins its walk; any other begins where its name puts it."""

SWING = 0.0004
"""The standard deviation of one step, as a part of the price: lively, and 2 % in an hour."""

PULL = 0.0005
"""How strongly a price is drawn to where it began, so that a walk of weeks stays plausible."""

SHARES = 400
"""Shares traded in one step, on average."""

QUIET = 0.3
"""How often a symbol is not traded in a step, and so has not changed."""


def simulate(symbols: Sequence[str], previous: Frame | None, tick: int, now: datetime) -> Data:
    """The next step of every symbol's walk: the same on every instance for the same tick."""
    known = _known("simulator", previous)
    new_day = previous is not None and previous.timestamp[:10] != format_timestamp(now)[:10]
    return {
        "source": "simulator",
        "symbols": {
            symbol: step(symbol, known.get(symbol), tick, new_day=new_day) for symbol in symbols
        },
    }


def step(symbol: str, before: Mapping[str, Any] | None, tick: int, *, new_day: bool) -> Data:
    """One step of one walk. A day opens with the price that the day before ended with."""
    chance = random.Random(f"{symbol}:{tick}")
    if before and not new_day and chance.random() < QUIET:
        return dict(before)
    home = KNOWN.get(symbol) or random.Random(symbol).uniform(20, 500)
    last = before["price"] if before else home
    drift = PULL * math.log(home / last)
    price = max(0.01, round(last * math.exp(drift + chance.gauss(0, SWING)), 2))
    opened = before["open"] if before and not new_day else round(last, 2)
    traded = before["volume"] if before and not new_day else 0
    return {**_since(opened, price), "volume": traded + int(chance.expovariate(1 / SHARES))}


def _since(opened: float, price: float) -> Data:
    return {
        "price": price,
        "open": opened,
        "change": round(price - opened, 2) + 0.0,  # never -0.0
        "change_percent": round(100 * (price / opened - 1), 2) + 0.0,
    }


# --- the providers --------------------------------------------------------------------------


class QuoteProvider(Protocol):
    """Who knows real prices. `rest` is the seconds of silence that one symbol costs."""

    source: str
    batch: int
    rest: float

    async def read(self, symbols: Sequence[str]) -> dict[str, Data]:
        """The symbols that could be read, or Unreachable where none could."""
        ...


class TwelveData:
    """twelvedata.com, free: 800 symbols a day, 8 a minute; numbers come as text."""

    source = "twelvedata"
    batch = 8
    rest = 86_400 / 800

    def __init__(
        self, client: "httpx.AsyncClient", key: str, base: str = "https://api.twelvedata.com"
    ) -> None:
        self._client, self._key, self._base = client, key, base

    async def read(self, symbols: Sequence[str]) -> dict[str, Data]:
        answer = await ask(
            self._client,
            f"{self._base}/quote",
            {"symbol": ",".join(symbols)},
            {"Authorization": f"apikey {self._key}"},
        )
        if not isinstance(answer, dict) or answer.get("status") == "error":
            raise Unreachable(_error(answer))
        quotes = {symbols[0]: answer} if len(symbols) == 1 else answer
        return _usable(
            {
                symbol: _quote(one.get("open"), one.get("close"), one.get("volume"))
                for symbol in symbols
                if isinstance(one := quotes.get(symbol), dict)
            }
        )


class Finnhub:
    """finnhub.io, free: one symbol a call, 60 calls a minute; an unknown symbol is all zeros."""

    source = "finnhub"
    batch = 30
    rest = 60 / 55

    def __init__(
        self, client: "httpx.AsyncClient", key: str, base: str = "https://finnhub.io"
    ) -> None:
        self._client, self._key, self._base = client, key, base
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def read(self, symbols: Sequence[str]) -> dict[str, Data]:
        answers = await asyncio.gather(*map(self._quote, symbols), return_exceptions=True)
        read = dict(zip(symbols, answers, strict=True))
        problems = [one for one in answers if isinstance(one, BaseException)]
        if len(problems) == len(answers):
            raise problems[0]
        return _usable({symbol: one for symbol, one in read.items() if isinstance(one, dict)})

    async def _quote(self, symbol: str) -> Data | None:
        async with self._at_once:
            answer = await ask(
                self._client,
                f"{self._base}/api/v1/quote",
                {"symbol": symbol},
                {"X-Finnhub-Token": self._key},
            )
        if not isinstance(answer, dict):
            raise Unreachable(_error(answer))
        return _quote(answer.get("o"), answer.get("c"), None)


def _quote(opened: object, price: object, volume: object) -> Data | None:
    """A quote in our words, or None where there is no price in it."""
    now, start = number(price), number(opened)
    if not now or now <= 0:
        return None
    shares = number(volume)
    return {**_since(start or now, now), "volume": None if shares is None else int(shares)}


def _usable(quotes: Mapping[str, Data | None]) -> dict[str, Data]:
    usable = {symbol: quote for symbol, quote in quotes.items() if quote}
    if not usable:
        raise Unreachable("an answer without a price")
    return usable


def _error(answer: object) -> str:
    code = answer.get("code") if isinstance(answer, dict) else None
    return f"an error, code {code}" if isinstance(code, int) else "an answer of another shape"


# --- the stream -----------------------------------------------------------------------------


@dataclass
class Quotes:
    """The prices of a provider: read at its pace, and said again with their age in between."""

    provider: QuoteProvider
    symbols: Sequence[str]
    pace: Pace = field(default_factory=Pace)

    async def tick(self, previous: Frame | None, now: datetime) -> Data | Stale:
        known = _known(self.provider.source, previous)
        read = await self._read(known, now) if self.pace.ready(now) else {}
        data: Data = {
            "source": self.provider.source,
            "symbols": {
                symbol: _aged(read.get(symbol) or known.get(symbol) or NEVER, now)
                for symbol in self.symbols
            },
        }
        return (
            Stale(data, f"{self.provider.source}: {self.pace.reason}") if self.pace.reason else data
        )

    async def _read(self, known: Mapping[str, Data], now: datetime) -> dict[str, Data]:
        """The symbols read longest ago; those never read come first."""
        oldest = sorted(self.symbols, key=lambda symbol: known.get(symbol, NEVER)["read_at"] or "")
        asked = oldest[: self.provider.batch]
        try:
            quotes = await self.provider.read(asked)
        except Unreachable as problem:
            self.pace.failed(now, problem)
            return {}
        self.pace.worked(now, self.provider.rest * len(asked))
        return {
            symbol: {**quote, "read_at": format_timestamp(now)} for symbol, quote in quotes.items()
        }


NEVER: Data = {
    **dict.fromkeys(("price", "open", "change", "change_percent", "volume", "read_at")),
}
"""A symbol that no provider has ever told us."""


def _aged(quote: Data, now: datetime) -> Data:
    read_at = quote["read_at"]
    age = read_at and (now - datetime.fromisoformat(read_at)).total_seconds()
    return {**quote, "age_seconds": age and max(0, round(age))}


def _known(source: str, previous: Frame | None) -> dict[str, Data]:
    """The last values, if they are of the same source: a simulated price is never a real one."""
    if previous is None or previous.data.get("source") != source:
        return {}
    symbols: dict[str, Data] = previous.data["symbols"]
    return symbols


@cache
def quotes() -> Quotes | None:
    """This process's provider, or None for the simulator."""
    if settings().stocks_provider == "twelvedata":
        return Quotes(TwelveData(client(), settings().twelvedata_key), symbols())
    if settings().stocks_provider == "finnhub":
        return Quotes(Finnhub(client(), settings().finnhub_key), symbols())
    return None


@cache
def symbols() -> list[str]:
    return [
        symbol.strip().upper() for symbol in settings().stock_symbols.split(",") if symbol.strip()
    ]


async def tick(previous: Frame | None, now: datetime) -> Data | Stale:
    real = quotes()
    if real:
        return await real.tick(previous, now)
    return simulate(symbols(), previous, STREAM.tick_at(now), now)


STREAM = Stream(
    name="stock-prices",
    title="Stock prices",
    group="stocks",
    description="The price, the day's change and the volume of each symbol.",
    schedule="%STOCKS_SCHEDULE%",
    type="stock_update",
    tick=tick,
    deltas="symbols",
)
