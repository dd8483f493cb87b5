"""Sends events to the webhook as Web PubSub does: over HTTP, signed with the access key."""

import base64
import hashlib
import hmac
import itertools
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from local.parts import ACCESS_KEY, HUB

_numbers = itertools.count(1_000_000)
"""Other ids than those of the emulator's events: the app handles an id of a connection once."""


@dataclass(frozen=True)
class EventResponse:
    """A response of the webhook."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    @property
    def code(self) -> str | None:
        """The error code of an HTTP error or of an error message."""
        body = self.json or {}
        return body.get("code") or body.get("error", {}).get("code")


def signature(connection: str, *keys: str) -> str:
    """The signature header: one value for each of the service's keys."""
    return ",".join(
        "sha256=" + hmac.new(key.encode(), connection.encode(), hashlib.sha256).hexdigest()
        for key in keys or (ACCESS_KEY,)
    )


def new_connection() -> str:
    return uuid.uuid4().hex


def event_headers(
    name: str,
    *,
    user: str = "ann-22222222",
    connection: str = "",
    rooms: Sequence[str] = (),
    system: bool = False,
) -> dict[str, str]:
    """The headers of an event of the service."""
    connection = connection or new_connection()
    kind = "sys" if system else "user"
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "WebHook-Request-Origin": "localhost",
        "ce-specversion": "1.0",
        "ce-type": f"azure.webpubsub.{kind}.{name}",
        "ce-source": f"/hubs/{HUB}/client/{connection}",
        "ce-id": str(next(_numbers)),
        "ce-time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ce-signature": signature(connection),
        "ce-userId": user,
        "ce-connectionId": connection,
        "ce-hub": HUB,
        "ce-eventName": name,
    }
    if rooms:
        headers["ce-connectionState"] = base64.b64encode(json.dumps(rooms).encode()).decode()
    return headers


class Service:
    """Sends events to the webhook of one app."""

    def __init__(self, http: aiohttp.ClientSession, url: str, function_key: str = "") -> None:
        self._http = http
        self._url = f"{url}/api/pubsub/events?code={function_key}"

    async def call(self, method: str, headers: Mapping[str, str], body: Any = b"") -> EventResponse:
        """Send a request without changes."""
        async with self._http.request(
            method, self._url, headers=headers, data=body, skip_auto_headers=["Content-Type"]
        ) as response:
            return EventResponse(response.status, response.headers, await response.read())

    async def send_event(self, event: str, data: Any, **options: Any) -> EventResponse:
        """Send a user event; `data` is encoded as JSON, bytes are sent unchanged."""
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        return await self.call("POST", event_headers(event, **options), body)

    async def send_system_event(
        self, event: str, data: Any = None, **options: Any
    ) -> EventResponse:
        """Send a system event."""
        headers = event_headers(event, system=True, **options)
        return await self.call("POST", headers, json.dumps(data or {}).encode())
