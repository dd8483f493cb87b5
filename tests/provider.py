"""A local HTTP server in place of a data provider. A test chooses its responses."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Responder = Callable[[web.Request], web.StreamResponse]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Provider:
    """A running server. `calls` has its requests; `responders` has a function for each path."""

    base: str = ""
    responders: dict[str, Responder] = field(default_factory=dict)
    calls: list[web.Request] = field(default_factory=list)
    delay: float = 0
    handle_with: Handler | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(request)
        if self.handle_with:
            return await self.handle_with(request)
        await asyncio.sleep(self.delay)
        respond = self.responders.get(request.path)
        return respond(request) if respond else web.Response(status=404)

    def respond_to_all_with(self, responder: Responder) -> None:
        self.responders = dict.fromkeys(self.responders, responder)


@contextlib.asynccontextmanager
async def serve_provider() -> AsyncIterator[Provider]:
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


def respond_with(body: Any) -> Responder:
    return lambda _request: web.json_response(body)


def fail_with(status: int, **headers: str) -> Responder:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _request: web.Response(status=status, text="no", headers=named)


def send_html(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html><h1>Welcome</h1></html>", content_type="text/html")


def send_ten_megabytes(_request: web.Request) -> web.StreamResponse:
    body = json.dumps({"filler": "x" * 10_000_000})
    return web.Response(text=body, content_type="application/json")


def redirect_to(address: str) -> Responder:
    return lambda _request: web.Response(status=302, headers={"Location": address})


# --- responses of the real providers --------------------------------------------------------


def open_meteo(request: web.Request) -> web.StreamResponse:
    """One place is an object, several are a list in the order of the query."""
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
    """The response for an unknown name has no `results`."""
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
    """Numbers are text. Several symbols are a map; a single symbol is its quote."""
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
