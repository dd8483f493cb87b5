"""Stock prices: simulated, or of a provider within the terms of its free plan."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache

from msgspec import Struct, field

from realtime.messages import Frame, format_timestamp
from realtime.providers.http_client import ProviderError, provider_client
from realtime.providers.quotes import Finnhub, QuoteProvider, TwelveData
from realtime.providers.simulator import SOURCE, simulate_quotes
from realtime.providers.throttle import Throttle
from realtime.settings import settings
from realtime.streams import Data, Stale, Stream

UNREAD_QUOTE: Data = dict.fromkeys(
    ("price", "open", "change", "change_percent", "volume", "read_at")
)
"""A symbol that the provider has not sent yet."""


def simulate(symbols: Sequence[str], previous: Frame | None, tick: int, now: datetime) -> Data:
    """The data of a tick: equal on every instance for the same tick and previous frame."""
    new_day = previous is not None and previous.timestamp[:10] != format_timestamp(now)[:10]
    last = _last_quotes(SOURCE, previous)
    return {"source": SOURCE, "symbols": simulate_quotes(symbols, last, tick, new_day=new_day)}


class StockQuotes(Struct):
    """The quotes of a provider. Between two calls the last ones are repeated with their age."""

    provider: QuoteProvider
    symbols: Sequence[str]
    throttle: Throttle = field(default_factory=Throttle)

    async def tick(self, previous: Frame | None, now: datetime) -> Data | Stale:
        last = _last_quotes(self.provider.source, previous)
        fetched = await self._fetch_quotes(last, now) if self.throttle.is_ready(now) else {}
        data: Data = {
            "source": self.provider.source,
            "symbols": {
                symbol: _add_age(fetched.get(symbol) or last.get(symbol) or UNREAD_QUOTE, now)
                for symbol in self.symbols
            },
        }
        reason = self.throttle.reason
        return Stale(data, f"{self.provider.title} {reason}") if reason else data

    async def _fetch_quotes(self, last: Mapping[str, Data], now: datetime) -> dict[str, Data]:
        """New quotes of the symbols that were read longest ago; those never read come first."""
        oldest = sorted(
            self.symbols, key=lambda symbol: last.get(symbol, UNREAD_QUOTE)["read_at"] or ""
        )
        requested = oldest[: self.provider.max_symbols]
        try:
            quotes = await self.provider.fetch_quotes(requested)
        except ProviderError as error:
            self.throttle.record_failure(now, error)
            return {}
        self.throttle.record_success(now, self.provider.seconds_per_symbol * len(requested))
        read_at = format_timestamp(now)
        return {symbol: {**quote, "read_at": read_at} for symbol, quote in quotes.items()}


def _add_age(quote: Data, now: datetime) -> Data:
    read_at = quote["read_at"]
    age = read_at and (now - datetime.fromisoformat(read_at)).total_seconds()
    return {**quote, "age_seconds": age and max(0, round(age))}


def _last_quotes(source: str, previous: Frame | None) -> dict[str, Data]:
    """The quotes of the previous frame if it has the same source.

    A simulated price is never published as a provider's.
    """
    if previous is None or previous.data.get("source") != source:
        return {}
    symbols: dict[str, Data] = previous.data["symbols"]
    return symbols


@cache
def stock_quotes() -> StockQuotes | None:
    """The provider of this process, or None for the simulator."""
    if settings().stocks_provider == "twelvedata":
        provider = TwelveData(provider_client(), settings().twelvedata_key)
        return StockQuotes(provider, stock_symbols())
    if settings().stocks_provider == "finnhub":
        return StockQuotes(Finnhub(provider_client(), settings().finnhub_key), stock_symbols())
    return None


@cache
def stock_symbols() -> list[str]:
    return [
        symbol.strip().upper() for symbol in settings().stock_symbols.split(",") if symbol.strip()
    ]


async def tick(previous: Frame | None, now: datetime) -> Data | Stale:
    quotes = stock_quotes()
    if quotes:
        return await quotes.tick(previous, now)
    return simulate(stock_symbols(), previous, STREAM.tick_at(now), now)


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
