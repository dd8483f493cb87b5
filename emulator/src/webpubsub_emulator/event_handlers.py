"""When the application is told something: consent first, retries, and what a failure means."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from webpubsub_emulator import cloud_events
from webpubsub_emulator.cloud_events import (
    Answer,
    CloudEvent,
    Handler,
    InvalidAnswerError,
    Offer,
    Welcome,
)
from webpubsub_emulator.faults import Faults
from webpubsub_emulator.hub import Connection
from webpubsub_emulator.payload import Payload
from webpubsub_emulator.settings import Settings
from webpubsub_emulator.tokens import Keys
from webpubsub_emulator.validation import Consents

logger = logging.getLogger(__name__)

_NOT_FOUND = 404
_RETRIED = (408, *range(500, 600))
_PLACEHOLDER = "validate"


class UnreachableError(Exception):
    """No answer came from the event handler."""


class EventFailedError(Exception):
    """The application did not take an event."""


class NotWelcomeError(Exception):
    """The application did not let a client in; `status` is what the client is told."""

    def __init__(self, status: int) -> None:
        super().__init__(f"refused with {status}")
        self.status = status


class Http(Protocol):
    """One HTTP exchange; raises UnreachableError when the other side cannot be reached."""

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Awaitable[Answer]: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the service waits, and when it tries again, in seconds."""

    total: float = 100.0
    retries: tuple[float, ...] = (1.0, 3.0, 5.0)
    consent: float = 10.0


class Webhook:
    """Tells the event handlers of all hubs what happens."""

    def __init__(
        self,
        http: Http,
        settings: Settings,
        keys: Keys,
        origin: str,
        faults: Faults,
        *,
        patience: Patience = Patience(),
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._exchange = http
        self._keys = keys
        self._origin = origin
        self._faults = faults
        self._patience = patience
        self._consents = Consents(self._ask, clock)
        self._tellings: set[asyncio.Task[None]] = set()

    def configure(self, settings: Settings) -> None:
        self._settings = settings
        self._consents.forget_refusals()

    async def connect(self, connection: Connection, offer: Offer) -> Welcome:
        """Ask the application whether, and as whom, this client may come in."""
        handler = self._settings.system_handler(connection.hub, cloud_events.CONNECT)
        if handler is None:
            return Welcome()
        event = cloud_events.system_event(connection, cloud_events.CONNECT, 0, offer.body())
        try:
            answer = await self._deliver(handler, event)
            if not answer.ok:
                logger.warning("connect refused: %s answered %d", handler.place, answer.status)
                raise NotWelcomeError(answer.status)
            welcome = cloud_events.read_welcome(answer)
        except (EventFailedError, InvalidAnswerError) as error:
            logger.warning("connect failed: %s", error)
            raise NotWelcomeError(500) from error
        cloud_events.take_over(connection, answer)
        return welcome

    async def user_event(
        self, connection: Connection, name: str, payload: Payload
    ) -> Payload | None:
        """Hand a client's event over; returns what the application replies to it."""
        number = connection.next_event_id()
        handler = self._settings.user_handler(connection.hub, name)
        if handler is None:
            raise EventFailedError(f"hub {connection.hub} has no handler for event {name}")
        event = cloud_events.user_event(connection, name, number, payload)
        answer = await self._deliver(handler, event)
        if not answer.ok:
            raise EventFailedError(f"{handler.place} answered {answer.status} to {name}")
        try:
            reply = cloud_events.read_reply(answer)
        except InvalidAnswerError as error:
            raise EventFailedError(str(error)) from error
        cloud_events.take_over(connection, answer)
        return reply

    def connected(self, connection: Connection) -> None:
        self._tell(connection, cloud_events.CONNECTED, b"{}")

    def disconnected(self, connection: Connection, reason: str) -> None:
        self._tell(connection, cloud_events.DISCONNECTED, json.dumps({"reason": reason}).encode())

    async def finish(self, deadline: float) -> None:
        """Let what is being told arrive, for at most `deadline` seconds."""
        if self._tellings:
            await asyncio.wait(self._tellings, timeout=deadline)
        for task in self._tellings:
            task.cancel()
        self._consents.stop()

    def _tell(self, connection: Connection, name: str, body: bytes) -> None:
        """Nobody waits for this one, and its outcome is only logged."""
        number = connection.next_event_id()
        handler = self._settings.system_handler(connection.hub, name)
        if handler is not None:
            event = cloud_events.system_event(connection, name, number, body)
            task = asyncio.get_running_loop().create_task(self._tell_and_log(handler, event))
            self._tellings.add(task)
            task.add_done_callback(self._tellings.discard)

    async def _tell_and_log(self, handler: Handler, event: CloudEvent) -> None:
        try:
            answer = await self._deliver(handler, event)
        except EventFailedError as error:
            logger.warning("event %s was not delivered: %s", event.name, error)
        else:
            if not answer.ok:
                logger.warning("event %s: %s answered %d", event.name, handler.place, answer.status)

    async def _deliver(self, handler: Handler, event: CloudEvent) -> Answer:
        """Post one event; all tries together have one deadline."""
        hub = event.connection.hub
        url = handler.url(hub, event.name)
        try:
            async with asyncio.timeout(self._patience.total):
                if not await self._consents.given(handler.url(hub, _PLACEHOLDER)):
                    raise EventFailedError(f"{handler.place} did not consent to events")
                headers = event.headers(self._keys, self._origin)
                return await self._patiently("POST", url, headers, event.body)
        except (UnreachableError, TimeoutError) as error:
            raise EventFailedError(
                f"{handler.place} did not answer: {error or 'timeout'}"
            ) from error

    async def _patiently(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Answer:
        """Try, and try again where trying again can help."""
        for pause in self._patience.retries:
            try:
                answer = await self._once(method, url, headers, body)
                if answer.status not in _RETRIED:
                    return answer
            except UnreachableError as error:
                logger.info("%s: %s; again in %g s", _without_query(url), error, pause)
            await asyncio.sleep(pause)
        return await self._once(method, url, headers, body)

    async def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One exchange, with the trouble that was ordered for it."""
        fault = self._faults.take("upstream") if method == "POST" else None
        if fault is None:
            return await self._exchange(method, url, headers, body)
        if fault.action == "refuse":
            return Answer(fault.status)
        if fault.action == "drop":
            raise UnreachableError("dropped on order")
        await asyncio.sleep(fault.seconds)
        return await self._exchange(method, url, headers, body)

    async def _ask(self, url: str) -> bool:
        """Ask an address whether it wants our events (CloudEvents abuse protection)."""
        headers = {"WebHook-Request-Origin": self._origin, "ce-awpsversion": "1.0"}
        try:
            async with asyncio.timeout(self._patience.consent):
                answer = await self._patiently("OPTIONS", url, headers)
                if answer.status == _NOT_FOUND:
                    answer = await self._patiently("GET", url, headers)
        except (UnreachableError, TimeoutError) as error:
            logger.warning("%s: validation got no answer: %s", _without_query(url), error)
            return False
        if not cloud_events.consents(answer, self._origin):
            logger.warning(
                "%s: validation failed with status %d; WebHook-Allowed-Origin %s lacks %s",
                _without_query(url),
                answer.status,
                answer.all("WebHook-Allowed-Origin"),
                self._origin,
            )
            return False
        return True


def _without_query(url: str) -> str:
    """A query may hold a function key, which belongs in no log."""
    return url.partition("?")[0]
