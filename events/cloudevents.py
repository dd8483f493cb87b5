"""CloudEvents of Web PubSub: headers and bodies of the requests to the event handler.

The rules are those of learn.microsoft.com/azure/azure-web-pubsub/reference-cloud-events.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from realtime.decoding import decode
from realtime.errors import ApiError
from realtime.names import validate_room

SYSTEM_EVENT_PREFIX = "azure.webpubsub.sys."
USER_EVENT_PREFIX = "azure.webpubsub.user."

MAX_EVENT_AGE = timedelta(minutes=5)
"""The service tries for at most 100 s to deliver an event. The same limit holds for the future."""

_CONNECTION_ID = re.compile(r"[\x21-\x7e]{1,256}")


class CloudEvent(msgspec.Struct, frozen=True):
    """An event; `system` is false for the events that clients send.

    `rooms` is the connection's state, `is_json` whether the body has the content type of JSON.
    """

    system: bool
    name: str
    id: str
    hub: str
    connection: str
    user_id: str
    rooms: tuple[str, ...]
    is_json: bool
    time: datetime
    body: bytes

    @property
    def stale(self) -> bool:
        return abs(datetime.now(UTC) - self.time) > MAX_EVENT_AGE


class ConnectEventBody(msgspec.Struct, frozen=True):
    """The part of a `connect` body that is used: each claim has a list of values."""

    claims: dict[str, list[str]] = {}

    @property
    def groups(self) -> list[str]:
        return self.claims.get("webpubsub.group", [])

    @property
    def subject(self) -> str:
        return next(iter(self.claims.get("sub", [])), "")


def allowed_origin(headers: Mapping[str, str], host: str) -> str | None:
    """The origin to allow in the response to the validation handshake, or None.

    With replicas or a custom domain the service sends several origins, separated by commas.
    """
    origins = [one.strip() for one in headers.get("webhook-request-origin", "").split(",")]
    return next((one for one in origins if one.lower() == host.lower()), None)


def parse_event(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    """The event of a request. Raises ApiError `invalid_request` that names the invalid header."""
    kind = _header(headers, "ce-type")
    system = kind.startswith(SYSTEM_EVENT_PREFIX)
    if not system and not kind.startswith(USER_EVENT_PREFIX):
        raise ApiError("invalid_request", "ce-type is not a type of Web PubSub.")
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return CloudEvent(
        system=system,
        name=kind.removeprefix(SYSTEM_EVENT_PREFIX if system else USER_EVENT_PREFIX),
        id=_header(headers, "ce-id"),
        hub=_header(headers, "ce-hub"),
        connection=parse_connection_id(headers),
        user_id=headers.get("ce-userid", ""),
        rooms=_parse_state(headers.get("ce-connectionstate", "")),
        is_json=content_type == "application/json",
        time=_parse_time(_header(headers, "ce-time")),
        body=body,
    )


def parse_connection_id(headers: Mapping[str, str]) -> str:
    """The connection of an event; its signature is computed over this id."""
    connection = _header(headers, "ce-connectionid")
    if not _CONNECTION_ID.fullmatch(connection):
        raise ApiError("invalid_request", "ce-connectionId is not a connection id.")
    return connection


def parse_connect_body(event: CloudEvent) -> ConnectEventBody:
    return decode(event.body or b"{}", ConnectEventBody)


def state_header(rooms: tuple[str, ...]) -> dict[str, str]:
    """The header with which the service stores a connection's rooms until its next event."""
    state = base64.b64encode(msgspec.json.encode(rooms)).decode()
    return {"ce-connectionState": state}


def _parse_state(state: str) -> tuple[str, ...]:
    if not state:
        return ()
    try:
        rooms = msgspec.json.decode(base64.b64decode(state, validate=True), type=tuple[str, ...])
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise ApiError("invalid_request", "ce-connectionState is not a list of rooms.") from None
    return tuple(map(validate_room, rooms))


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise ApiError("invalid_request", f"The header {name} is missing.")
    return value


def _parse_time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ApiError("invalid_request", "ce-time is not a time.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
