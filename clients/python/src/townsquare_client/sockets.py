"""The WebSocket of a listener: azure-messaging-webpubsubclient, with frames in a queue.

Its client recovers a short loss by itself. After a longer one it stops, and the listener opens
another: new connections join the room again, and read what they have missed.
"""

import asyncio
import queue
from typing import Any

import msgspec

from townsquare_client.errors import ConnectionFailedError, ListenerError

START_TIMEOUT_SECONDS = 15.0
ACK_TIMEOUT_SECONDS = 30.0

_OPTIONS: dict[str, Any] = {
    "reconnect_retry_total": 0,
    "message_retry_total": 0,
    "auto_rejoin_groups": False,
    "start_timeout": START_TIMEOUT_SECONDS,
    "ack_timeout": ACK_TIMEOUT_SECONDS,
}

_MISSING = "Install townsquare-client[listen]: a listener needs azure-messaging-webpubsubclient."


class Socket:
    """One connection, without an event loop: the SDK's threads fill the queue."""

    def __init__(self, url: str) -> None:
        try:
            from azure.messaging.webpubsubclient import WebPubSubClient
        except ImportError as error:
            raise ListenerError(_MISSING) from error
        self._frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._client = WebPubSubClient(url, **_OPTIONS)

    def open(self) -> None:
        """Raises ConnectionFailedError."""
        from azure.messaging.webpubsubclient.models import CallbackType

        for kind in (CallbackType.SERVER_MESSAGE, CallbackType.GROUP_MESSAGE):
            self._client.subscribe(kind, lambda event: self._frames.put(encode_frame(event.data)))
        self._client.subscribe(CallbackType.STOPPED, lambda: self._frames.put(None))
        try:
            self._client.open()
        except Exception as error:
            raise ConnectionFailedError(f"The WebSocket was not opened: {error}") from error

    def send(self, event: str, data: dict[str, Any]) -> None:
        """Send an event and wait for its acknowledgement. Raises ConnectionFailedError."""
        from azure.messaging.webpubsubclient.models import WebPubSubDataType

        try:
            self._client.send_event(event, data, WebPubSubDataType.JSON)
        except Exception as error:
            raise ConnectionFailedError(f"{event} was not acknowledged: {error}") from error

    def receive(self, timeout: float) -> bytes | None:
        """The next frame; None if the connection has ended, or is silent for `timeout` seconds."""
        try:
            return self._frames.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self) -> None:
        self._client.close()


class AsyncSocket:
    """One connection on an event loop."""

    def __init__(self, url: str) -> None:
        try:
            from azure.messaging.webpubsubclient.aio import WebPubSubClient
        except ImportError as error:
            raise ListenerError(_MISSING) from error
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._client = WebPubSubClient(url, **_OPTIONS)

    async def open(self) -> None:
        """Raises ConnectionFailedError."""
        from azure.messaging.webpubsubclient.models import CallbackType

        for kind in (CallbackType.SERVER_MESSAGE, CallbackType.GROUP_MESSAGE):
            await self._client.subscribe(kind, self._receive_frame)
        await self._client.subscribe(CallbackType.STOPPED, self._receive_end)
        try:
            await self._client.open()
        except Exception as error:
            raise ConnectionFailedError(f"The WebSocket was not opened: {error}") from error

    async def send(self, event: str, data: dict[str, Any]) -> None:
        """Send an event and wait for its acknowledgement. Raises ConnectionFailedError."""
        from azure.messaging.webpubsubclient.models import WebPubSubDataType

        try:
            await self._client.send_event(event, data, WebPubSubDataType.JSON)
        except Exception as error:
            raise ConnectionFailedError(f"{event} was not acknowledged: {error}") from error

    async def receive(self, timeout: float) -> bytes | None:
        """The next frame; None if the connection has ended, or is silent for `timeout` seconds."""
        try:
            return await asyncio.wait_for(self._frames.get(), timeout)
        except TimeoutError:
            return None

    async def close(self) -> None:
        await self._client.close()

    async def _receive_frame(self, event: Any) -> None:
        self._frames.put_nowait(encode_frame(event.data))

    async def _receive_end(self) -> None:
        self._frames.put_nowait(None)


def encode_frame(data: Any) -> bytes:
    """The SDK gives objects; other data are of no interest here."""
    return msgspec.json.encode(data if isinstance(data, dict) else {"type": "other"})
