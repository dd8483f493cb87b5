"""Dispatches the authenticated events of Web PubSub to their handlers and makes the responses."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from azure.core.exceptions import AzureError

from events import cloudevents, connections
from events.authentication import authenticate_event
from events.client import Client, Reply
from events.cloudevents import CloudEvent
from events.duplicates import duplicate_filter
from events.handlers import CLIENT_EVENTS
from events.rejections import count_rejection
from realtime.azure import telemetry
from realtime.azure.web_pubsub import hub
from realtime.errors import ApiError, service_unavailable
from realtime.http import MAX_BODY_BYTES
from realtime.identity.profiles import profiles
from realtime.messages import ErrorMessage
from realtime.names import room_of_group, validate_room, validate_user_id

log = logging.getLogger(__name__)


class WebhookResponse(msgspec.Struct, frozen=True):
    """The message to the client as JSON, if any, and headers, such as the connection's new state.

    `cacheable` is false for a rejected event.
    """

    body: bytes = b""
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    cacheable: bool = True

    @property
    def size(self) -> int:
        """The bytes of body and headers."""
        return len(self.body) + sum(len(name) + len(value) for name, value in self.headers.items())


def accept_handshake(headers: Mapping[str, str]) -> WebhookResponse:
    """The response to the validation handshake: only the app's own service may send events."""
    origin = cloudevents.allowed_origin(headers, hub().host)
    if origin is None:
        log.warning("handshake rejected: the origin is not %s", hub().host)
        raise ApiError("invalid_request", "Only the app's own Web PubSub may send events.")
    return WebhookResponse(headers={"WebHook-Allowed-Origin": origin})


async def handle_event(headers: Mapping[str, str], body: bytes) -> WebhookResponse:
    """The response to an event. Raises ApiError if the service has to get an error status."""
    event = await authenticate_event(headers, body)
    with (
        telemetry.measure_duration("townsquare.event.duration", event=_metric_name(event)),
        telemetry.span("event"),
    ):
        return await duplicate_filter().run(event, lambda: _dispatch(event))


async def _dispatch(event: CloudEvent) -> WebhookResponse:
    if not event.system:
        return await _handle_client_event(event)
    if len(event.body) > MAX_BODY_BYTES:
        raise ApiError("too_large", f"An event has at most {MAX_BODY_BYTES} bytes.")
    if event.stale and event.name != "disconnected":
        raise _stale_event()
    if event.name == "connect":
        return await _handle_connect(event)
    client = Client(event.connection, validate_user_id(event.user_id), event.rooms)
    if event.name == "connected":
        telemetry.increment("townsquare.connections", 1)
        await connections.connected(client)
    if event.name == "disconnected":
        telemetry.increment("townsquare.connections", -1)
        await connections.disconnected(client)
    return WebhookResponse()


async def _handle_connect(event: CloudEvent) -> WebhookResponse:
    body = cloudevents.parse_connect_body(event)
    if not event.user_id or body.subject not in {"", event.user_id}:
        raise ApiError("unauthenticated", "The token has no user, or another one.")
    rooms = tuple(validate_room(room) for one in body.groups if (room := room_of_group(one)))
    client = Client(event.connection, validate_user_id(event.user_id), rooms)
    groups = await connections.connect(client, body.groups)
    content = msgspec.json.encode({"groups": groups})
    return WebhookResponse(content, cloudevents.state_header(rooms))


async def _handle_client_event(event: CloudEvent) -> WebhookResponse:
    """The response to an error has status 200, because an error status may close the connection."""
    try:
        reply = await _call_handler(event)
    except ApiError as error:
        if error.status != 503:  # That would be our own failure.
            await count_rejection(event.connection)
        return _reject(event, error)
    except AzureError as error:
        log.warning("%s failed: %s", event.name, type(error).__name__)
        return _reject(event, service_unavailable())
    body = b"" if reply.message is None else msgspec.json.encode(reply.message)
    state = {} if reply.rooms == event.rooms else cloudevents.state_header(reply.rooms)
    return WebhookResponse(body, state)


async def _call_handler(event: CloudEvent) -> Reply:
    client_event = CLIENT_EVENTS.get(event.name)
    if client_event is None:
        raise ApiError("unknown_event", f"Expected one of {', '.join(CLIENT_EVENTS)}.")
    if len(event.body) > MAX_BODY_BYTES:
        raise ApiError("too_large", f"An event has at most {MAX_BODY_BYTES} bytes.")
    if not event.is_json:
        raise ApiError("invalid_request", "Send the event with dataType json.")
    if event.stale:
        raise _stale_event()
    user_id = validate_user_id(event.user_id)
    name = await profiles().name_of(user_id)
    client = Client(event.connection, user_id, event.rooms, name)
    return await client_event.parse_and_handle(client, event.body)


def _stale_event() -> ApiError:
    """For every event but `disconnected`: presence checks with the service who has left."""
    return ApiError("stale_event", "The event is too old.")


def _metric_name(event: CloudEvent) -> str:
    """The event's name if it is known: clients must not create metric attributes."""
    return event.name if event.system or event.name in CLIENT_EVENTS else "unknown"


class _EventIds(msgspec.Struct):
    """What identifies a rejected event to its sender, as far as it can be parsed."""

    id: Any = None
    room: Any = None


def _reject(event: CloudEvent, error: ApiError) -> WebhookResponse:
    return WebhookResponse(msgspec.json.encode(_make_error(event, error)), cacheable=False)


def _make_error(event: CloudEvent, error: ApiError) -> ErrorMessage:
    telemetry.increment("townsquare.errors", code=error.code)
    try:
        ids = msgspec.json.decode(event.body[: MAX_BODY_BYTES + 1], type=_EventIds)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        ids = _EventIds()
    return ErrorMessage(
        event=event.name,
        code=error.code,
        message=error.message,
        retry=error.retry,
        id=_short_string(ids.id),
        room=room.lower() if (room := _short_string(ids.room)) else None,
        retry_after_ms=error.retry_after_ms,
        revision=error.revision,
    )


def _short_string(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= 64 else None
