"""What the service says to the application, and how it reads the answer: CloudEvents over HTTP.

https://learn.microsoft.com/azure/azure-web-pubsub/reference-cloud-events
Values only: webhook.py decides when something is said, server.py says it.
"""

import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from webpubsub_emulator.hub import Connection
from webpubsub_emulator.names import is_group
from webpubsub_emulator.payload import (
    METADATA_HEADER,
    InvalidPayloadError,
    Payload,
    UnsupportedContentTypeError,
    from_body,
    metadata_of_headers,
)
from webpubsub_emulator.tokens import Keys

CONNECT, CONNECTED, DISCONNECTED = "connect", "connected", "disconnected"
SYSTEM_EVENTS = frozenset({CONNECT, CONNECTED, DISCONNECTED})
STATE_HEADER = "ce-connectionState"
LARGEST_ANSWER = 16 * 1024 * 1024
_PARAMETER = re.compile(r"\{(hub|event)\}", re.IGNORECASE)


class InvalidAnswerError(ValueError):
    """The event handler answered something that the service cannot use."""


@dataclass(frozen=True, slots=True)
class Handler:
    """One event handler of a hub: where it is and which events it wants."""

    url_template: str
    system_events: frozenset[str] = SYSTEM_EVENTS
    event_pattern: str = "*"

    def __post_init__(self) -> None:
        host = re.match(r"https?://([^/?#]+)", self.url_template)
        if host is None or "{" in host[1]:
            raise ValueError(f"UrlTemplate {self.url_template!r} is no http address with a host")
        if unknown := self.system_events - SYSTEM_EVENTS:
            raise ValueError(f"SystemEvents knows no {', '.join(sorted(unknown))}")

    @property
    def place(self) -> str:
        """The address for a log; the query may hold a key."""
        return self.url_template.partition("?")[0]

    def takes_system(self, event: str) -> bool:
        return event in self.system_events

    def takes_user(self, event: str) -> bool:
        names = [name.strip().lower() for name in self.event_pattern.split(",")]
        return names == ["*"] or event.lower() in names

    def url(self, hub: str, event: str) -> str:
        values = {"hub": quote(hub, safe=""), "event": quote(event, safe="")}
        return _PARAMETER.sub(lambda parameter: values[parameter[1].lower()], self.url_template)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an event handler answered."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """Of several the last one counts."""
        values = self.all(name)
        return values[-1] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client brought along when it knocked; the body of the connect event."""

    claims: Mapping[str, Any]
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, Sequence[str]]
    subprotocols: Sequence[str] = ()

    def body(self) -> bytes:
        return json.dumps(
            {
                "claims": {name: _as_texts(value) for name, value in self.claims.items()},
                "query": {name: list(values) for name, values in self.query.items()},
                "headers": {name: list(values) for name, values in self.headers.items()},
                "subprotocols": list(self.subprotocols),
                "clientCertificates": [],
            }
        ).encode()


class Welcome(msgspec.Struct, frozen=True, rename="camel"):
    """The answer to a connect event; None leaves what the token says."""

    user_id: str | None = None
    groups: list[str] | None = None
    roles: list[str] | None = None
    subprotocol: str | None = None


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event on its way to the application; retries carry the same ids and body."""

    type: str
    name: str
    id: int
    connection: Connection
    body: bytes
    content_type: str = "application/json"
    metadata: Mapping[str, str] = field(default_factory=dict)

    def headers(self, keys: Keys, origin: str) -> dict[str, str]:
        connection = self.connection
        headers = {
            "Content-Type": self.content_type,
            "WebHook-Request-Origin": origin,
            "ce-specversion": "1.0",
            "ce-awpsversion": "1.0",
            "ce-type": f"azure.webpubsub.{self.type}.{self.name}",
            "ce-source": f"/hubs/{connection.hub}/client/{connection.id}",
            "ce-id": str(self.id),
            "ce-time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "ce-signature": signature(keys, connection.id),
            "ce-connectionId": connection.id,
            "ce-hub": connection.hub,
            "ce-eventName": self.name,
            "x-ms-client-request-id": str(uuid.uuid4()),
        }
        if connection.user_id is not None:
            headers["ce-userId"] = connection.user_id
        is_connect = (self.type, self.name) == ("sys", CONNECT)
        if not is_connect and not connection.is_raw and connection.protocol:
            headers["ce-subprotocol"] = connection.protocol
        if connection.state is not None:
            headers[STATE_HEADER] = connection.state
        if connection.cookies:
            pairs = (f"{name}={value}" for name, value in connection.cookies.items())
            headers["Cookie"] = "; ".join(pairs)
        for key, value in self.metadata.items():
            headers[METADATA_HEADER + key] = value
        return headers


def system_event(connection: Connection, name: str, number: int, body: bytes) -> CloudEvent:
    return CloudEvent("sys", name, number, connection, body)


def user_event(connection: Connection, name: str, number: int, payload: Payload) -> CloudEvent:
    return CloudEvent(
        "user",
        name,
        number,
        connection,
        payload.body,
        payload.content_type,
        payload.metadata or {},
    )


def signature(keys: Keys, connection_id: str) -> str:
    """One value for each key: the application may hold either."""
    data = connection_id.encode()
    return ",".join(
        "sha256=" + hmac.new(key.encode(), data, hashlib.sha256).hexdigest() for key in keys
    )


def consents(answer: Answer, origin: str) -> bool:
    """Does the application agree to hear from us? (CloudEvents abuse protection)"""
    allowed = {value.strip().lower() for value in answer.all("WebHook-Allowed-Origin")}
    return answer.ok and not allowed.isdisjoint({"*", origin.lower()})


def read_welcome(answer: Answer) -> Welcome:
    """Read the answer to a connect event; its Content-Type does not matter."""
    _check_size(answer)
    if not answer.body.strip() or answer.body.strip() == b"null":
        return Welcome()
    try:
        welcome = msgspec.json.decode(answer.body, type=Welcome)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidAnswerError(f"the answer to connect is malformed: {error}") from error
    if not all(map(is_group, welcome.groups or ())):
        raise InvalidAnswerError("the answer to connect names a group that cannot be")
    return welcome


def read_reply(answer: Answer) -> Payload | None:
    """Read the answer to a user event: a message for the client, or None for silence."""
    _check_size(answer)
    try:
        metadata = metadata_of_headers(answer.headers)
        if answer.body:
            return from_body(answer.header("Content-Type"), answer.body, metadata)
        return Payload("text", b"", metadata) if metadata else None
    except (InvalidPayloadError, UnsupportedContentTypeError) as error:
        raise InvalidAnswerError(f"the answer to a user event is malformed: {error}") from error


def take_over(connection: Connection, answer: Answer) -> None:
    """Keep the state and the cookies that came with a good answer."""
    state = answer.header(STATE_HEADER)
    if state is not None:
        connection.state = state
    for line in answer.all("Set-Cookie"):
        name, found, value = line.partition(";")[0].partition("=")
        if found:
            connection.cookies[name.strip()] = value.strip()


def _check_size(answer: Answer) -> None:
    if len(answer.body) > LARGEST_ANSWER:
        raise InvalidAnswerError(f"the answer is larger than {LARGEST_ANSWER} bytes")


def _as_texts(claim: Any) -> list[str]:
    values: Iterable[Any] = claim if isinstance(claim, list) else [claim]
    return [value if isinstance(value, str) else json.dumps(value) for value in values]
