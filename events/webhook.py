"""From the webhook to the conversation and back: what is trusted, and how it is answered."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
from azure.core.exceptions import AzureError

from events import cloudevents, conversation
from events.cloudevents import CloudEvent, Once
from events.conversation import EVENTS, Reply, Speaker
from realtime import telemetry
from realtime.answers import BODY_LIMIT, unavailable
from realtime.channels import checked_room, checked_user, room_of
from realtime.hub import hub
from realtime.issuer import Issuer
from realtime.messages import Refusal, Refused
from realtime.settings import settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What the service gets back: a message for the client or none, and the connection's state."""

    message: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Webhook:
    """The upstream handler of one hub."""

    def __init__(self) -> None:
        self._once = Once()

    def consent(self, headers: Mapping[str, str]) -> Answer:
        """The answer to the handshake: our own service may send events, nobody else."""
        origin = cloudevents.consent(headers, hub().host)
        if origin is None:
            log.warning("handshake refused: the origin is not %s", hub().host)
            raise Refused("invalid_request", "Events are taken from our own Web PubSub only.")
        return Answer(headers={"WebHook-Allowed-Origin": origin})

    async def event(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer to an event. Raises Refused where the service shall see a status."""
        event = await _authentic(headers, body)
        with telemetry.time("townsquare.event.time", event=_known(event)), telemetry.span("event"):
            return await self._once.act(event, lambda: _act(event))


async def _authentic(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    """The event, once it is certain that our service sent it.

    Nothing is written, and the body is not looked at, before that.
    """
    connection = cloudevents.connection_of(headers)
    if hub().signs:
        _check_signature(headers.get("ce-signature", ""), connection)
    else:
        await _check_token(headers.get("authorization", ""))
    event = cloudevents.parse(headers, body)
    if event.hub.lower() != settings().webpubsub_hub.lower():
        log.warning("event refused: it is about another hub")
        raise Refused("invalid_request", "The event is about another hub.")
    return event


def _check_signature(signature: str, connection: str) -> None:
    """With an access key: the service signs with both of its keys, and we hold one of them."""
    if not hub().signed_by_service(signature, connection):
        log.warning("event refused: the signature is not our service's")
        raise Refused("unauthenticated", "The signature is not our service's.")


async def _check_token(authorization: str) -> None:
    """Without a key: the Entra token of the service's own identity.

    learn.microsoft.com/azure/azure-web-pubsub/howto-use-managed-identity
    """
    try:
        claims = await _service().claims(authorization.removeprefix("Bearer "))
    except Refused as refused:
        log.warning("event refused: the service's token: %s", refused.code)
        raise
    # Every app of the tenant may get a token for our audience; the service has one identity.
    if settings().webhook_subject not in {"", claims["sub"]}:
        log.warning("event refused: the token is not of WEBHOOK_SUBJECT")
        raise Refused("unauthenticated", "The token is somebody else's.")


@cache
def _service() -> Issuer:
    return Issuer(settings().webhook_issuer, settings().webhook_audience)


async def _act(event: CloudEvent) -> Answer:
    if not event.system:
        return await _user_event(event)
    if len(event.body) > BODY_LIMIT:
        raise Refused("too_large", f"An event has at most {BODY_LIMIT} bytes.")
    if event.name == "connect":
        return await _connect(event)
    speaker = Speaker(event.connection, checked_user(event.user), event.rooms)
    if event.name == "connected":
        telemetry.count("townsquare.connections", 1)
        await conversation.connected(speaker)
    if event.name == "disconnected":
        telemetry.count("townsquare.connections", -1)
        await conversation.disconnected(speaker)
    return Answer()


async def _connect(event: CloudEvent) -> Answer:
    asked = cloudevents.connecting(event)
    if not event.user or asked.subject not in {"", event.user}:
        raise Refused("unauthenticated", "The token names nobody, or somebody else.")
    rooms = tuple(checked_room(room) for group in asked.groups if (room := room_of(group)))
    speaker = Speaker(event.connection, checked_user(event.user), rooms)
    groups = await conversation.connect(speaker, asked.groups)
    return Answer({"groups": groups}, cloudevents.state_header(rooms))


async def _user_event(event: CloudEvent) -> Answer:
    """What a browser says. A refusal is answered with 200: an error may cost the connection."""
    try:
        reply = await _heard(event)
    except Refused as refused:
        return Answer(_refusal(event, refused))
    except AzureError as error:
        log.warning("%s failed: %s", event.name, type(error).__name__)
        return Answer(_refusal(event, unavailable()))
    state = {} if reply.rooms == event.rooms else cloudevents.state_header(reply.rooms)
    return Answer(reply.message, state)


async def _heard(event: CloudEvent) -> Reply:
    act = EVENTS.get(event.name)
    if act is None:
        raise Refused("unknown_event", f"Expected one of {', '.join(EVENTS)}.")
    if len(event.body) > BODY_LIMIT:
        raise Refused("too_large", f"An event has at most {BODY_LIMIT} bytes.")
    if not event.json:
        raise Refused("invalid_request", "Send the event with dataType json.")
    if event.stale:
        raise Refused("stale_event", "The event is too old.")
    return await act(Speaker(event.connection, checked_user(event.user), event.rooms), event.body)


class _Named(msgspec.Struct):
    """What names a refused event to its sender, as far as it can be read."""

    id: Any = None
    room: Any = None


def _known(event: CloudEvent) -> str:
    """An event's name where it is one of ours: what browsers make up is not counted by name."""
    return event.name if event.system or event.name in EVENTS else "unknown"


def _refusal(event: CloudEvent, refused: Refused) -> Refusal:
    telemetry.count("townsquare.refused", code=refused.code)
    try:
        named = msgspec.json.decode(event.body[: BODY_LIMIT + 1], type=_Named)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        named = _Named()
    return Refusal(
        event=event.name,
        code=refused.code,
        message=refused.message,
        retry=refused.retry,
        id=_short(named.id),
        room=_short(named.room),
        retry_after_ms=refused.retry_after_ms,
    )


def _short(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= 64 else None
