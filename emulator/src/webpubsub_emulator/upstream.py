"""Calls to event handlers: validation, managed identity, timeouts, retries and faults."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from webpubsub_emulator.access_keys import AccessKeys
from webpubsub_emulator.cloud_events import CloudEvent, HandlerResponse, allows_origin
from webpubsub_emulator.faults import Faults
from webpubsub_emulator.settings import Handler
from webpubsub_emulator.traffic import Traffic
from webpubsub_emulator.validation import ValidationCache

logger = logging.getLogger(__name__)

_NOT_FOUND = 404
_RETRIED_STATUSES = (408, *range(500, 600))
_VALIDATION_EVENT_NAME = "validate"


class UnreachableError(Exception):
    """The event handler gave no response."""


class EventFailedError(Exception):
    """An event was not handled."""


class HttpSender(Protocol):
    """Sends one HTTP request; raises UnreachableError when there is no response."""

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Awaitable[HandlerResponse]: ...


@dataclass(frozen=True, slots=True)
class UpstreamTimeouts:
    """Timeouts and retry delays of upstream calls, in seconds."""

    total: float = 100.0
    retries: tuple[float, ...] = (1.0, 3.0, 5.0)
    validation: float = 10.0


class Upstream:
    """Sends CloudEvents to event handlers that passed their validation."""

    def __init__(
        self,
        send_http: HttpSender,
        keys: AccessKeys,
        origin: str,
        faults: Faults,
        *,
        clock: Callable[[], float],
        timeouts: UpstreamTimeouts = UpstreamTimeouts(),
        traffic: Traffic | None = None,
        issue_token: Callable[[str], str] | None = None,
    ) -> None:
        self._send_http = send_http
        self._keys = keys
        self._origin = origin
        self._faults = faults
        self._timeouts = timeouts
        self._traffic = traffic or Traffic(enabled=False)
        self._issue_token = issue_token
        self._validations = ValidationCache(self._validate, clock)

    def retry_failed_validations(self) -> None:
        self._validations.retry_failures()

    def stop(self) -> None:
        self._validations.stop()

    async def deliver(self, handler: Handler, event: CloudEvent) -> HandlerResponse:
        """Post one event; all attempts together have one timeout. Raises EventFailedError."""
        hub = event.connection.hub
        url = handler.url(hub, event.name)
        try:
            async with asyncio.timeout(self._timeouts.total):
                if not await self._validations.is_valid(handler.url(hub, _VALIDATION_EVENT_NAME)):
                    failure = "the URL failed its validation"
                    self.record(event, url=handler.loggable_url, failure=failure)
                    raise EventFailedError(f"{handler.loggable_url} failed its validation")
                return await self._post(handler, event, url)
        except (UnreachableError, TimeoutError) as error:
            raise EventFailedError(
                f"{handler.loggable_url} did not respond: {error or 'timeout'}"
            ) from error

    async def _post(self, handler: Handler, event: CloudEvent, url: str) -> HandlerResponse:
        headers = event.build_headers(self._keys, self._origin)
        if handler.identity_resource is not None and self._issue_token is not None:
            headers["Authorization"] = f"Bearer {self._issue_token(handler.identity_resource)}"

        async def send() -> HandlerResponse:
            started = time.perf_counter()
            try:
                response = await self._send_once("POST", url, headers, event.body)
            except BaseException as error:
                failure = str(error) or "timeout or disconnected client"
                self.record(event, url=_without_query(url), failure=failure, started=started)
                raise
            self.record(
                event,
                url=_without_query(url),
                status=response.status,
                failure=None if response.is_success else f"status {response.status}",
                started=started,
            )
            return response

        return await self._send_with_retries(send, url)

    async def _send_with_retries(
        self, send: Callable[[], Awaitable[HandlerResponse]], url: str
    ) -> HandlerResponse:
        """Repeat a request whose failure may be temporary."""
        for delay in self._timeouts.retries:
            try:
                response = await send()
                if response.status not in _RETRIED_STATUSES:
                    return response
            except UnreachableError as error:
                logger.info("%s: %s; retry in %g s", _without_query(url), error, delay)
            await asyncio.sleep(delay)
        return await send()

    async def _send_once(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> HandlerResponse:
        """Send one request, with the pending fault for it."""
        fault = self._faults.take("upstream") if method == "POST" else None
        if fault is None:
            return await self._send_http(method, url, headers, body)
        if fault.action == "refuse":
            return HandlerResponse(fault.status)
        if fault.action == "drop":
            raise UnreachableError("dropped by a fault")
        await asyncio.sleep(fault.seconds)
        return await self._send_http(method, url, headers, body)

    async def _validate(self, url: str) -> bool:
        """Send the validation request to a URL (CloudEvents abuse protection)."""
        headers = {"WebHook-Request-Origin": self._origin, "ce-awpsversion": "1.0"}
        started = time.perf_counter()

        def send(method: str) -> Callable[[], Awaitable[HandlerResponse]]:
            return lambda: self._send_once(method, url, headers, b"")

        status, failure = None, ""
        try:
            async with asyncio.timeout(self._timeouts.validation):
                response = await self._send_with_retries(send("OPTIONS"), url)
                if response.status == _NOT_FOUND:
                    response = await self._send_with_retries(send("GET"), url)
            status = response.status
            if not allows_origin(response, self._origin):
                allowed = response.header_values("WebHook-Allowed-Origin")
                failure = f"status {status}, WebHook-Allowed-Origin {allowed} lacks {self._origin}"
        except (UnreachableError, TimeoutError) as error:
            failure = f"no response: {error or 'timeout'}"
        if failure:
            logger.warning("%s: validation failed: %s", _without_query(url), failure)
        self._traffic.record(
            "validation",
            url=_without_query(url),
            status=status,
            duration_ms=_milliseconds_since(started),
            failure=failure or None,
        )
        return not failure

    def record(
        self,
        event: CloudEvent,
        *,
        url: str | None = None,
        status: int | None = None,
        failure: str | None = None,
        started: float | None = None,
    ) -> None:
        """Add an attempt to deliver an event to the traffic record."""
        self._traffic.record(
            "upstream",
            hub=event.connection.hub,
            connection=event.connection.id,
            user=event.connection.user_id,
            event=event.type,
            url=url,
            status=status,
            duration_ms=None if started is None else _milliseconds_since(started),
            failure=failure,
        )


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)


def _without_query(url: str) -> str:
    """A query can contain a function key, which must not be logged."""
    return url.partition("?")[0]
