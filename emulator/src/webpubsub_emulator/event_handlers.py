"""The events that the service sends to an application, and what the responses change."""

import asyncio
import json
import logging

from webpubsub_emulator import cloud_events
from webpubsub_emulator.cloud_events import (
    CloudEvent,
    ConnectRequest,
    ConnectResponse,
    InvalidResponseError,
)
from webpubsub_emulator.connection import Connection
from webpubsub_emulator.payload import Payload
from webpubsub_emulator.settings import Handler, Settings
from webpubsub_emulator.upstream import EventFailedError, Upstream

logger = logging.getLogger(__name__)


class ConnectRejectedError(Exception):
    """The event handler rejected a client; `status` is what the client gets."""

    def __init__(self, status: int) -> None:
        super().__init__(f"rejected with {status}")
        self.status = status


class EventDispatcher:
    """Sends events to the event handlers of all hubs."""

    def __init__(self, upstream: Upstream, settings: Settings) -> None:
        self.settings = settings
        self._upstream = upstream
        self._pending: set[asyncio.Task[None]] = set()

    def configure(self, settings: Settings) -> None:
        self.settings = settings
        self._upstream.retry_failed_validations()

    async def send_connect(
        self, connection: Connection, request: ConnectRequest
    ) -> ConnectResponse:
        """Send the connect event; raises ConnectRejectedError."""
        handler = self.settings.system_event_handler(connection.hub, cloud_events.CONNECT)
        if handler is None:
            return ConnectResponse()
        event = cloud_events.build_system_event(
            connection, cloud_events.CONNECT, 0, request.encode()
        )
        try:
            response = await self._upstream.deliver(handler, event)
            if not response.is_success:
                logger.warning(
                    "connect rejected: %s returned %d", handler.loggable_url, response.status
                )
                raise ConnectRejectedError(response.status)
            content = cloud_events.read_connect_response(response)
        except (EventFailedError, InvalidResponseError) as error:
            logger.warning("connect failed: %s", error)
            raise ConnectRejectedError(500) from error
        cloud_events.store_state(connection, response)
        return content

    async def send_user_event(
        self, connection: Connection, name: str, payload: Payload
    ) -> Payload | None:
        """Send a user event; return the handler's reply. Raises EventFailedError."""
        event_id = connection.next_event_id()
        handler = self.settings.user_event_handler(connection.hub, name)
        event = cloud_events.build_user_event(connection, name, event_id, payload)
        if handler is None:
            self._upstream.record(event, failure="no event handler for this event")
            raise EventFailedError(f"hub {connection.hub} has no handler for event {name}")
        response = await self._upstream.deliver(handler, event)
        if not response.is_success:
            raise EventFailedError(f"{handler.loggable_url} returned {response.status} for {name}")
        try:
            reply = cloud_events.read_event_reply(response)
        except InvalidResponseError as error:
            self._upstream.record(event, url=handler.loggable_url, failure=str(error))
            raise EventFailedError(str(error)) from error
        cloud_events.store_state(connection, response)
        return reply

    def send_connected(self, connection: Connection) -> None:
        self._send_in_background(connection, cloud_events.CONNECTED, b"{}")

    def send_disconnected(self, connection: Connection, reason: str) -> None:
        body = json.dumps({"reason": reason}).encode()
        self._send_in_background(connection, cloud_events.DISCONNECTED, body)

    async def finish(self, timeout: float) -> None:
        """Wait for the events sent in the background, at most `timeout` seconds."""
        if self._pending:
            await asyncio.wait(self._pending, timeout=timeout)
        for task in self._pending:
            task.cancel()
        self._upstream.stop()

    def _send_in_background(self, connection: Connection, name: str, body: bytes) -> None:
        """Send an event whose outcome is only logged."""
        event_id = connection.next_event_id()
        handler = self.settings.system_event_handler(connection.hub, name)
        if handler is not None:
            event = cloud_events.build_system_event(connection, name, event_id, body)
            task = asyncio.get_running_loop().create_task(self._deliver_and_log(handler, event))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)

    async def _deliver_and_log(self, handler: Handler, event: CloudEvent) -> None:
        try:
            response = await self._upstream.deliver(handler, event)
        except EventFailedError as error:
            logger.warning("event %s was not delivered: %s", event.name, error)
        else:
            if not response.is_success:
                details = (event.name, handler.loggable_url, response.status)
                logger.warning("event %s: %s returned %d", *details)
