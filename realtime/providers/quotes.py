"""Stock quotes of Twelve Data and Finnhub, in one format."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from realtime.providers.http_client import (
    MAX_CONCURRENT_REQUESTS,
    ProviderError,
    fetch_json,
    parse_number,
)

if TYPE_CHECKING:
    import httpx

Quote = dict[str, Any]
"""`price`, `open`, `change`, `change_percent` (all since the open) and `volume`."""


class QuoteProvider(Protocol):
    """A source of quotes. One symbol uses up `seconds_per_symbol` of the provider's free terms."""

    source: str
    title: str
    max_symbols: int
    seconds_per_symbol: float

    async def fetch_quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """The quotes of the symbols that the provider knows. Raises ProviderError if of none."""
        ...


class TwelveData:
    """twelvedata.com. Free: 800 symbols a day, 8 a minute. Numbers are sent as text."""

    source = "twelvedata"
    title = "Twelve Data"
    max_symbols = 8
    seconds_per_symbol = 86_400 / 800

    def __init__(
        self, client: "httpx.AsyncClient", key: str, base_url: str = "https://api.twelvedata.com"
    ) -> None:
        self._client, self._key, self._base_url = client, key, base_url

    async def fetch_quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        response = await fetch_json(
            self._client,
            f"{self._base_url}/quote",
            {"symbol": ",".join(symbols)},
            {"Authorization": f"apikey {self._key}"},
        )
        if not isinstance(response, dict) or response.get("status") == "error":
            raise ProviderError(_describe_response(response))
        # The response to one symbol is that symbol's quote, without a name.
        quotes = {symbols[0]: response} if len(symbols) == 1 else response
        return _require_some(
            {
                symbol: _parse_quote(one.get("open"), one.get("close"), one.get("volume"))
                for symbol in symbols
                if isinstance(one := quotes.get(symbol), dict)
            }
        )


class Finnhub:
    """finnhub.io. Free: 60 calls a minute, one symbol each. An unknown symbol has zeros."""

    source = "finnhub"
    title = "Finnhub"
    max_symbols = 30
    seconds_per_symbol = 60 / 55

    def __init__(
        self, client: "httpx.AsyncClient", key: str, base_url: str = "https://finnhub.io"
    ) -> None:
        self._client, self._key, self._base_url = client, key, base_url
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)

    async def fetch_quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        results = await asyncio.gather(*map(self._fetch_quote, symbols), return_exceptions=True)
        errors = [one for one in results if isinstance(one, BaseException)]
        if len(errors) == len(results):
            raise errors[0]
        quotes = zip(symbols, results, strict=True)
        return _require_some({symbol: one for symbol, one in quotes if isinstance(one, dict)})

    async def _fetch_quote(self, symbol: str) -> Quote | None:
        async with self._slots:
            response = await fetch_json(
                self._client,
                f"{self._base_url}/api/v1/quote",
                {"symbol": symbol},
                {"X-Finnhub-Token": self._key},
            )
        if not isinstance(response, dict):
            raise ProviderError(_describe_response(response))
        return _parse_quote(response.get("o"), response.get("c"), None)


def make_quote(opened: float, price: float, volume: int | None) -> Quote:
    return {
        "price": price,
        "open": opened,
        "change": round(price - opened, 2) + 0.0,  # never -0.0
        "change_percent": round(100 * (price / opened - 1), 2) + 0.0,
        "volume": volume,
    }


def _parse_quote(opened: object, price: object, volume: object) -> Quote | None:
    """A quote, or None if there is no price."""
    current = parse_number(price)
    if not current or current <= 0:
        return None
    shares = parse_number(volume)
    return make_quote(
        parse_number(opened) or current, current, None if shares is None else int(shares)
    )


def _require_some(quotes: Mapping[str, Quote | None]) -> dict[str, Quote]:
    usable = {symbol: quote for symbol, quote in quotes.items() if quote}
    if not usable:
        raise ProviderError("sent a response without a price")
    return usable


def _describe_response(response: object) -> str:
    code = response.get("code") if isinstance(response, dict) else None
    if isinstance(code, int):
        return f"answered with error code {code}"
    return "sent a response in another format"
