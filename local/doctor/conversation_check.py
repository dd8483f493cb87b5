"""Connects, joins a room, sends a message, receives it and finds it in the history."""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from local.doctor.app_checks import get_negotiated
from local.doctor.findings import CheckFailedError
from local.doctor.target import Target

SUBPROTOCOL = "json.reliable.webpubsub.azure.v1"


async def check_conversation(target: Target) -> str:
    """Sends one message and follows it from the client to the history."""
    negotiated = get_negotiated(target)
    room, message_id = negotiated["room"], secrets.token_hex(8)
    connection = Connection(await _connect(target, negotiated["url"]))
    try:
        await connection.send_event("join", {"room": room})
        began = time.monotonic()
        message = {"room": room, "content": message_id, "id": message_id}
        await connection.send_event("message", message)
        await connection.receive_until(lambda frame: _data_of(frame).get("id") == message_id)
        received_after = time.monotonic() - began
        await connection.send_event("leave", {"room": room})
    finally:
        await connection.socket.close()
    path = f"/api/rooms/{room}/history"
    status, _, page = await target.call("GET", path, headers=target.authorization())
    messages = page.get("messages", []) if isinstance(page, dict) else []
    if status != 200 or [one.get("id") for one in messages] != [message_id]:
        raise CheckFailedError(
            f"{path} returned {status} without the message that was received; expected it."
        )
    return f"sent, received after {received_after * 1000:.0f} ms and stored"


async def _connect(target: Target, url: str) -> aiohttp.ClientWebSocketResponse:
    host = urlsplit(url).netloc
    handler = (
        "the hub's event handler does not respond to `connect`; look at its address, its key "
        "(?code=) and the app's log"
    )
    try:
        async with asyncio.timeout(target.timeout_seconds):
            return await target.http.ws_connect(url, protocols=[SUBPROTOCOL])
    except TimeoutError:
        raise CheckFailedError(f"Web PubSub ({host}) does not respond: {handler}.") from None
    except aiohttp.WSServerHandshakeError as error:
        raise CheckFailedError(
            f"Web PubSub ({host}) returned {error.status} instead of connecting. 5xx: {handler}. "
            "401: the app's Web PubSub setting names another service or an old key."
        ) from None
    except (aiohttp.ClientError, ValueError) as error:
        raise CheckFailedError(
            f"Web PubSub does not respond at {host} ({type(error).__name__}); expected a "
            "WebSocket. Is it reachable from here, past firewalls and proxies?"
        ) from None


@dataclass
class Connection:
    """A client connection, with the frames that were received and not read yet."""

    socket: aiohttp.ClientWebSocketResponse
    received: list[dict[str, Any]] = field(default_factory=list)
    last_ack_id: int = 0

    async def send_event(self, event: str, data: Any) -> None:
        """Sends an event and waits for its acknowledgement. Raises CheckFailedError."""
        self.last_ack_id += 1
        ack_id = self.last_ack_id
        await self.socket.send_json(
            {"type": "event", "event": event, "ackId": ack_id, "dataType": "json", "data": data}
        )
        response = await self.receive_until(
            lambda frame: frame.get("ackId") == ack_id or _data_of(frame).get("type") == "error"
        )
        if rejection := _data_of(response):
            raise CheckFailedError(
                f"`{event}` was rejected: {rejection.get('code')}, {rejection.get('message')}"
            )
        if not response.get("success"):
            raise CheckFailedError(
                f"Web PubSub could not deliver `{event}`: {response.get('error')}. Expected the "
                "hub to have an event handler for user events *. Set it with "
                "infra/hooks/connect_hub.py or, locally, with the emulator's --settings."
            )

    async def receive_until(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first frame that fits, received already or later. Raises CheckFailedError."""
        while not (found := next(filter(fits, self.received), None)):
            message = await self.socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                code = self.socket.close_code
                raise CheckFailedError(f"Web PubSub closed the connection with code {code}.")
            self.received.append(message.json())
        self.received.remove(found)
        return found


def _data_of(frame: dict[str, Any]) -> dict[str, Any]:
    """The app's data in a frame, if it is an object."""
    data = frame.get("data")
    return data if isinstance(data, dict) else {}
