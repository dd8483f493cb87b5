"""Simulated stock prices: a random walk from a seed, the same on every instance."""

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from realtime.providers.quotes import Quote, make_quote

SOURCE = "simulator"

KNOWN_PRICES = {"AAPL": 230.0, "GOOGL": 180.0, "MSFT": 430.0, "AMZN": 210.0, "TSLA": 340.0}
"""The first price of well-known symbols; that of others is derived from the name."""

STEP_DEVIATION = 0.0004
"""The standard deviation of one step as a part of the price: about 2 % in an hour."""

REVERSION = 0.0005
"""The part of the distance to the first price by which a step returns, so that a price stays
plausible for weeks."""

MEAN_STEP_VOLUME = 400

UNTRADED_PROBABILITY = 0.3
"""How often a symbol is not traded in a step, and so has not changed."""


def simulate_quotes(
    symbols: Sequence[str], previous: Mapping[str, Quote], tick: int, *, new_day: bool
) -> dict[str, Quote]:
    """The next quote of each symbol, from the previous quotes and the tick as the seed."""
    return {
        symbol: simulate_quote(symbol, previous.get(symbol), tick, new_day=new_day)
        for symbol in symbols
    }


def simulate_quote(
    symbol: str, previous: Mapping[str, Any] | None, tick: int, *, new_day: bool
) -> Quote:
    """One step of one walk. A day opens with the last price of the day before."""
    chance = random.Random(f"{symbol}:{tick}")
    if previous and not new_day and chance.random() < UNTRADED_PROBABILITY:
        return dict(previous)
    first_price = KNOWN_PRICES.get(symbol) or random.Random(symbol).uniform(20, 500)
    last = previous["price"] if previous else first_price
    drift = REVERSION * math.log(first_price / last)
    price = max(0.01, round(last * math.exp(drift + chance.gauss(0, STEP_DEVIATION)), 2))
    opened = previous["open"] if previous and not new_day else round(last, 2)
    traded = previous["volume"] if previous and not new_day else 0
    volume = traded + int(chance.expovariate(1 / MEAN_STEP_VOLUME))
    return make_quote(opened, price, volume)
