"""Event handlers that are functions of a test."""

import asyncio
import inspect
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from webpubsub_emulator.cloud_events import MAX_RESPONSE_BYTES, STATE_HEADER


@dataclass(frozen=True, slots=True)
class Event:
    """An event as an event handler receives it; header names are in lower case."""

    hub: str
    name: str
    connection_id: str
    user_id: str | None
    state: str | None
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class EventResponse:
    """A response with all that the service reads: status, body, headers, connection state."""

    status: int = 200
    body: bytes | str = b""
    content_type: str | None = None
    state: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


EventFunction = Callable[[Event], Any]


class EventServer:
    """An HTTP server that calls the function of an event."""

    def __init__(self) -> None:
        self.functions: dict[tuple[str, str], EventFunction] = {}
        self.received: list[Event] = []
        self.url = ""
        self._changed = threading.Condition()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=MAX_RESPONSE_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/events"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def wait_for(self, name: str, timeout: float) -> Event:
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for event in self.received:
                    if event.name.lower() == name.lower():
                        return event
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._changed.wait(remaining):
                    names = [event.name for event in self.received]
                    raise TimeoutError(f"no event {name} within {timeout} s, only {names}")

    async def _handle(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            return web.Response(headers={"WebHook-Allowed-Origin": "*"})
        headers = {name.lower(): value for name, value in request.headers.items()}
        event = Event(
            hub=headers["ce-hub"],
            name=headers["ce-eventname"],
            connection_id=headers["ce-connectionid"],
            user_id=headers.get("ce-userid"),
            state=headers.get(STATE_HEADER.lower()),
            headers=headers,
            body=await request.read(),
        )
        with self._changed:
            self.received.append(event)
            self._changed.notify_all()
        return await self._respond(event)

    async def _respond(self, event: Event) -> web.Response:
        function = self.functions[event.hub, event.name.lower()]
        # Exceptions of the function become the response 500, which aiohttp logs.
        if inspect.iscoroutinefunction(function):
            result = await function(event)
        else:
            result = await asyncio.to_thread(function, event)
        return _build_response(result)


def _build_response(result: Any) -> web.Response:
    if isinstance(result, EventResponse):
        headers = dict(result.headers)
        if result.state is not None:
            headers[STATE_HEADER] = result.state
        body = result.body.encode() if isinstance(result.body, str) else result.body
        if result.content_type:
            headers["Content-Type"] = result.content_type
        elif body:
            headers["Content-Type"] = _content_type(result.body)
        return web.Response(status=result.status, body=body, headers=headers)
    if result is None:
        return web.Response(status=204)
    if isinstance(result, bytes | str):
        body = result.encode() if isinstance(result, str) else result
        return web.Response(body=body, headers={"Content-Type": _content_type(result)})
    return web.json_response(result)


def _content_type(body: bytes | str) -> str:
    is_text = isinstance(body, str)
    return "text/plain; charset=utf-8" if is_text else "application/octet-stream"
