"""A provider on this stack: it answers well, slowly, wrongly or far too much, as a test wishes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = Callable[[web.Request], web.StreamResponse]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Provider:
    """What it is asked is in `calls`; `answers` says by path what it answers, else 404."""

    base: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    calls: list[web.Request] = field(default_factory=list)
    delay: float = 0
    handle_with: Handler | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(request)
        if self.handle_with:
            return await self.handle_with(request)
        await asyncio.sleep(self.delay)
        answer = self.answers.get(request.path)
        return answer(request) if answer else web.Response(status=404)

    def answer_all(self, answer: Answer) -> None:
        self.answers = dict.fromkeys(self.answers, answer)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", provider.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider
    finally:
        await runner.cleanup()


def respond_with(body: Any) -> Answer:
    return lambda _request: web.json_response(body)


def fails(status: int, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _request: web.Response(status=status, text="no", headers=named)


def sends_html(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html><h1>Welcome</h1></html>", content_type="text/html")


def sends_ten_megabytes(_request: web.Request) -> web.StreamResponse:
    body = json.dumps({"filler": "x" * 10_000_000})
    return web.Response(text=body, content_type="application/json")


def redirects_to(address: str) -> Answer:
    return lambda _request: web.Response(status=302, headers={"Location": address})


# --- answers as the real providers give them ------------------------------------------------


def open_meteo(request: web.Request) -> web.StreamResponse:
    """One place is answered as an object, several as a list, in the order of the question."""
    reports = [
        {
            "latitude": float(latitude),
            "longitude": float(longitude),
            "current_units": {"time": "unixtime", "temperature_2m": "°C"},
            "current": {
                "time": 1_795_224_600,
                "interval": 900,
                "temperature_2m": float(latitude) / 4,
                "relative_humidity_2m": 71,
                "weather_code": 61,
                "wind_speed_10m": 12.6,
            },
        }
        for latitude, longitude in zip(
            request.query["latitude"].split(","),
            request.query["longitude"].split(","),
            strict=True,
        )
    ]
    return web.json_response(reports if len(reports) > 1 else reports[0])


PLACES = {"London": (51.5, -0.12), "Berlin": (52.52, 13.41), "New York": (40.71, -74.0)}


def geocoding(request: web.Request) -> web.StreamResponse:
    """A name that nobody knows is answered without `results`."""
    place = PLACES.get(request.query["name"])
    if place is None:
        return web.json_response({"generationtime_ms": 0.5})
    return web.json_response({"results": [{"latitude": place[0], "longitude": place[1]}]})


def weatherapi(request: web.Request) -> web.StreamResponse:
    if request.query["q"] not in PLACES:
        error = {"code": 1006, "message": "No matching location found."}
        return web.json_response({"error": error}, status=400)
    return web.json_response(
        {
            "location": {"name": request.query["q"]},
            "current": {
                "last_updated_epoch": 1_795_224_600,
                "temp_c": 9.4,
                "humidity": 80,
                "wind_kph": 20.2,
                "condition": {"text": "Light rain", "code": 1183},
            },
        }
    )


def twelve_data(request: web.Request) -> web.StreamResponse:
    """Numbers are text; several symbols are a map, one is answered bare."""
    symbols = request.query["symbol"].split(",")
    known = {
        symbol: {"symbol": symbol, "open": "100.0", "close": "101.5", "volume": "12345"}
        if symbol != "NOPE"
        else {"code": 404, "message": "symbol not found", "status": "error"}
        for symbol in symbols
    }
    return web.json_response(known if len(symbols) > 1 else known[symbols[0]])


def finnhub(request: web.Request) -> web.StreamResponse:
    """An unknown symbol is all zeros, with status 200."""
    if request.query["symbol"] == "NOPE":
        return web.json_response({"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0})
    return web.json_response({"c": 101.5, "d": 2, "dp": 2, "o": 100.0, "pc": 99.5, "t": 1795224600})
