"""How Web PubSub wraps an event: the only file that knows its headers.

The rules are those of learn.microsoft.com/azure/azure-web-pubsub/reference-cloud-events.
"""

import asyncio
import base64
import binascii
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from realtime.channels import checked_room
from realtime.messages import Refused, decode

SYSTEM = "azure.webpubsub.sys."
USER = "azure.webpubsub.user."

OLDEST = timedelta(minutes=5)
"""The service tries for at most 100 s to deliver an event; an older one was not sent by it now,
and neither was one that comes from the future."""

REMEMBERED = 2_000
"""How many events are remembered, so that one delivered again is answered and not acted on."""

_CONNECTION = re.compile(r"[\x21-\x7e]{1,256}")

T = TypeVar("T")


@dataclass(frozen=True)
class CloudEvent:
    """An event as the service delivers it. `system` tells its events from those of browsers."""

    system: bool
    name: str
    id: str
    hub: str
    connection: str
    user: str
    rooms: tuple[str, ...]
    json: bool
    time: datetime
    body: bytes

    @property
    def stale(self) -> bool:
        return abs(datetime.now(UTC) - self.time) > OLDEST


class Connecting(msgspec.Struct, frozen=True):
    """The part of a `connect` body that we look at: each claim has a list of values."""

    claims: dict[str, list[str]] = {}

    @property
    def groups(self) -> list[str]:
        return self.claims.get("webpubsub.group", [])

    @property
    def subject(self) -> str:
        return next(iter(self.claims.get("sub", [])), "")


def consent(headers: Mapping[str, str], host: str) -> str | None:
    """The origin to allow in the answer to the service's handshake, or None for a stranger's.

    Behind replicas or a custom domain the service names several origins, separated by commas.
    """
    origins = [one.strip() for one in headers.get("webhook-request-origin", "").split(",")]
    return next((one for one in origins if one.lower() == host.lower()), None)


def parse(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    """The event of a request. Raises Refused `invalid_request` naming the header that is wrong."""
    kind = _header(headers, "ce-type")
    system = kind.startswith(SYSTEM)
    if not system and not kind.startswith(USER):
        raise Refused("invalid_request", "ce-type is none of Web PubSub's.")
    return CloudEvent(
        system=system,
        name=kind.removeprefix(SYSTEM if system else USER),
        id=_header(headers, "ce-id"),
        hub=_header(headers, "ce-hub"),
        connection=connection_of(headers),
        user=headers.get("ce-userid", ""),
        rooms=_rooms(headers.get("ce-connectionstate", "")),
        json=headers.get("content-type", "").partition(";")[0].strip().lower()
        == "application/json",
        time=_time(_header(headers, "ce-time")),
        body=body,
    )


def connection_of(headers: Mapping[str, str]) -> str:
    """The id of the connection that an event is about; the signature is made over it."""
    connection = _header(headers, "ce-connectionid")
    if not _CONNECTION.fullmatch(connection):
        raise Refused("invalid_request", "ce-connectionId is not a connection id.")
    return connection


def connecting(event: CloudEvent) -> Connecting:
    return decode(event.body or b"{}", Connecting)


def state_header(rooms: tuple[str, ...]) -> dict[str, str]:
    """The header by which the service remembers a connection's rooms until its next event."""
    state = base64.b64encode(msgspec.json.encode(rooms)).decode()
    return {"ce-connectionState": state}


def _rooms(state: str) -> tuple[str, ...]:
    if not state:
        return ()
    try:
        rooms = msgspec.json.decode(base64.b64decode(state, validate=True), type=tuple[str, ...])
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise Refused("invalid_request", "ce-connectionState is not ours.") from None
    return tuple(map(checked_room, rooms))


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise Refused("invalid_request", f"The header {name} is missing.")
    return value


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused("invalid_request", "ce-time is not a time.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Once:
    """Acts on an event once, however often it is delivered to this instance.

    Delivered elsewhere it has one effect as well: each act is idempotent by itself.
    """

    def __init__(self) -> None:
        self._acts: OrderedDict[tuple[str, str], asyncio.Future[Any]] = OrderedDict()

    async def act(self, event: CloudEvent, act: Callable[[], Awaitable[T]]) -> T:
        """What `act` returns, or returned or raised the first time."""
        key = (event.connection, event.id)
        task: asyncio.Future[T] | None = self._acts.get(key)
        if task is None:
            task = self._acts[key] = asyncio.ensure_future(act())
            task.add_done_callback(lambda done: self._forget_failure(key, done))
            if len(self._acts) > REMEMBERED:
                self._acts.popitem(last=False)
        return await asyncio.shield(task)

    def _forget_failure(self, key: tuple[str, str], done: "asyncio.Future[Any]") -> None:
        """What failed may be tried again: the service does so after 1, 3 and 5 s."""
        if done.cancelled() or not isinstance(done.exception(), Refused | None):
            self._acts.pop(key, None)
