"""Web PubSub as the app sees it: events over HTTP, signed with its keys."""

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

_numbers = itertools.count(1)


@dataclass(frozen=True)
class WebhookAnswer:
    """What the app answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    @property
    def code(self) -> str | None:
        """The code of a refusal: of an HTTP answer, or of an event's."""
        said = self.json or {}
        return said.get("code") or said.get("error", {}).get("code")


def signature(connection: str, *keys: str) -> str:
    """One value for each of the service's keys."""
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
    """The headers of an event, as the service writes them."""
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
    """Tells one app's webhook what happens."""

    def __init__(self, http: aiohttp.ClientSession, url: str, function_key: str = "") -> None:
        self._http = http
        self._url = f"{url}/api/pubsub/events?code={function_key}"

    async def call(self, method: str, headers: Mapping[str, str], body: Any = b"") -> WebhookAnswer:
        """A request as it stands."""
        async with self._http.request(
            method, self._url, headers=headers, data=body, skip_auto_headers=["Content-Type"]
        ) as answer:
            return WebhookAnswer(answer.status, answer.headers, await answer.read())

    async def send_event(self, event: str, data: Any, **what: Any) -> WebhookAnswer:
        """What a browser says; `data` is JSON, or bytes as they are."""
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        return await self.call("POST", event_headers(event, **what), body)

    async def send_system_event(self, event: str, data: Any = None, **what: Any) -> WebhookAnswer:
        """A system event."""
        headers = event_headers(event, system=True, **what)
        return await self.call("POST", headers, json.dumps(data or {}).encode())
