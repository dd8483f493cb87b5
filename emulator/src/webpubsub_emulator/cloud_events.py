"""Events for the application as CloudEvents over HTTP, and its responses.

https://learn.microsoft.com/azure/azure-web-pubsub/reference-cloud-events
Values only: event_handlers.py decides when an event is sent, upstream_http.py sends it.
"""

import hashlib
import hmac
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from webpubsub_emulator.access_keys import AccessKeys
from webpubsub_emulator.connection import Connection
from webpubsub_emulator.names import is_valid_group
from webpubsub_emulator.payload import (
    METADATA_HEADER_PREFIX,
    InvalidPayloadError,
    Payload,
    UnsupportedContentTypeError,
    metadata_from_headers,
    payload_from_body,
)

CONNECT, CONNECTED, DISCONNECTED = "connect", "connected", "disconnected"
SYSTEM_EVENTS = frozenset({CONNECT, CONNECTED, DISCONNECTED})
STATE_HEADER = "ce-connectionState"
MAX_RESPONSE_BYTES = 16 * 1024 * 1024


class InvalidResponseError(ValueError):
    """A response of an event handler that the service cannot use."""


@dataclass(frozen=True, slots=True)
class HandlerResponse:
    """The response of an event handler."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """Return the last value of a header."""
        values = self.header_values(name)
        return values[-1] if values else None

    def header_values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """The content of a connect event."""

    claims: Mapping[str, Any]
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, Sequence[str]]
    subprotocols: Sequence[str] = ()

    def encode(self) -> bytes:
        return json.dumps(
            {
                "claims": {name: _claim_texts(value) for name, value in self.claims.items()},
                "query": {name: list(values) for name, values in self.query.items()},
                "headers": {name: list(values) for name, values in self.headers.items()},
                "subprotocols": list(self.subprotocols),
                "clientCertificates": [],
            }
        ).encode()


class ConnectResponse(msgspec.Struct, frozen=True, rename="camel"):
    """The response to a connect event; None keeps the value of the token."""

    user_id: str | None = None
    groups: list[str] | None = None
    roles: list[str] | None = None
    subprotocol: str | None = None


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event for the application; its retries have the same ids and the same body."""

    kind: str
    name: str
    id: int
    connection: Connection
    body: bytes
    content_type: str = "application/json"
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        return f"azure.webpubsub.{self.kind}.{self.name}"

    def build_headers(self, keys: AccessKeys, origin: str) -> dict[str, str]:
        connection = self.connection
        headers = {
            "Content-Type": self.content_type,
            "WebHook-Request-Origin": origin,
            "ce-specversion": "1.0",
            "ce-awpsversion": "1.0",
            "ce-type": self.type,
            "ce-source": f"/hubs/{connection.hub}/client/{connection.id}",
            "ce-id": str(self.id),
            "ce-time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "ce-signature": sign(keys, connection.id),
            "ce-connectionId": connection.id,
            "ce-hub": connection.hub,
            "ce-eventName": self.name,
            "x-ms-client-request-id": str(uuid.uuid4()),
        }
        if connection.user_id is not None:
            headers["ce-userId"] = connection.user_id
        is_connect = (self.kind, self.name) == ("sys", CONNECT)
        if not is_connect and not connection.is_raw and connection.protocol:
            headers["ce-subprotocol"] = connection.protocol
        if connection.state is not None:
            headers[STATE_HEADER] = connection.state
        if connection.cookies:
            pairs = (f"{name}={value}" for name, value in connection.cookies.items())
            headers["Cookie"] = "; ".join(pairs)
        for key, value in self.metadata.items():
            headers[METADATA_HEADER_PREFIX + key] = value
        return headers


def build_system_event(connection: Connection, name: str, event_id: int, body: bytes) -> CloudEvent:
    return CloudEvent("sys", name, event_id, connection, body)


def build_user_event(
    connection: Connection, name: str, event_id: int, payload: Payload
) -> CloudEvent:
    return CloudEvent(
        "user",
        name,
        event_id,
        connection,
        payload.body,
        payload.content_type,
        payload.metadata or {},
    )


def sign(keys: AccessKeys, connection_id: str) -> str:
    """Return a signature for each key, since the application may have either."""
    data = connection_id.encode()
    return ",".join(
        "sha256=" + hmac.new(key.encode(), data, hashlib.sha256).hexdigest() for key in keys
    )


def allows_origin(response: HandlerResponse, origin: str) -> bool:
    """Whether the response to a validation request allows events (CloudEvents abuse protection)."""
    allowed = {value.strip().lower() for value in response.header_values("WebHook-Allowed-Origin")}
    return response.is_success and not allowed.isdisjoint({"*", origin.lower()})


def read_connect_response(response: HandlerResponse) -> ConnectResponse:
    """Read the response to a connect event; its Content-Type does not matter."""
    _check_size(response)
    if not response.body.strip() or response.body.strip() == b"null":
        return ConnectResponse()
    try:
        content = msgspec.json.decode(response.body, type=ConnectResponse)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidResponseError(f"the response to connect is malformed: {error}") from error
    if not all(map(is_valid_group, content.groups or ())):
        raise InvalidResponseError("the response to connect has an invalid group name")
    return content


def read_event_reply(response: HandlerResponse) -> Payload | None:
    """Read the response to a user event: a message for the client, or None."""
    _check_size(response)
    try:
        metadata = metadata_from_headers(response.headers)
        if response.body:
            return payload_from_body(response.header("Content-Type"), response.body, metadata)
        return Payload("text", b"", metadata) if metadata else None
    except (InvalidPayloadError, UnsupportedContentTypeError) as error:
        raise InvalidResponseError(f"the response to a user event is malformed: {error}") from error


def store_state(connection: Connection, response: HandlerResponse) -> None:
    """Store the connection state and the cookies of a successful response."""
    state = response.header(STATE_HEADER)
    if state is not None:
        connection.state = state
    for line in response.header_values("Set-Cookie"):
        name, found, value = line.partition(";")[0].partition("=")
        if found:
            connection.cookies[name.strip()] = value.strip()


def _check_size(response: HandlerResponse) -> None:
    if len(response.body) > MAX_RESPONSE_BYTES:
        raise InvalidResponseError(f"the response is larger than {MAX_RESPONSE_BYTES} bytes")


def _claim_texts(claim: Any) -> list[str]:
    values: Iterable[Any] = claim if isinstance(claim, list) else [claim]
    return [value if isinstance(value, str) else json.dumps(value) for value in values]
