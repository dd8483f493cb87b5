"""Web PubSub: who is connected, and how they are reached."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import msgspec
from azure.core.exceptions import ResourceNotFoundError
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient

from realtime import telemetry
from realtime.settings import Settings, settings

TOKEN_MINUTES = 60
"""How long a client may take to connect, or to come back, with one token; the service looks at it
only then."""

PAGE = 200
"""The most connections that one page of a listing holds (REST 2024-12-01)."""


@dataclass(frozen=True)
class Connection:
    id: str
    user: str | None


@dataclass(frozen=True)
class Ticket:
    """What a client needs to connect: `expires_on` is the token's own expiry, in epoch seconds."""

    url: str
    token: str
    expires_on: int


class Hub:
    """One hub of one Web PubSub resource. What is sent is JSON: a struct or a plain object."""

    def __init__(self, client: WebPubSubServiceClient, endpoint: str, keys: Sequence[str]) -> None:
        self._client = client
        self.host = urlsplit(endpoint).hostname or ""
        self.endpoint = endpoint.rstrip("/")
        self._keys = [key.encode() for key in keys]

    @property
    def signs(self) -> bool:
        """Whether events are signed with a key we know (by managed identity they are not)."""
        return bool(self._keys)

    def signed_by_service(self, signature: str, connection: str) -> bool:
        """Whether `ce-signature` was made with one of our keys, in constant time.

        `sha256=<hex>` for each of the service's two keys, separated by a comma:
        learn.microsoft.com/azure/azure-web-pubsub/reference-cloud-events
        """
        parts = signature.split(",", 2)[:2]
        offered = [part.strip().lower().encode(errors="replace") for part in parts]
        expected = [
            b"sha256=" + hmac.new(key, connection.encode(), hashlib.sha256).hexdigest().encode()
            for key in self._keys
        ]
        return any([hmac.compare_digest(o, e) for o in offered for e in expected])  # noqa: C419

    async def ticket(self, user: str, groups: Sequence[str], roles: Sequence[str]) -> Ticket:
        """A token to connect as `user`, in `groups` from the start, with only these roles."""
        answer = await self._client.get_client_access_token(
            user_id=user, groups=list(groups), roles=list(roles), minutes_to_expire=TOKEN_MINUTES
        )
        return Ticket(answer["url"], answer["token"], _expiry(answer["token"]))

    async def publish(self, group: str, message: Any) -> None:
        """Everyone in the group hears it."""
        await self._client.send_to_group(group, _json(message), content_type="application/json")

    async def tell(self, user: str, message: Any) -> None:
        """Every connection of one person hears it."""
        await self._client.send_to_user(user, _json(message), content_type="application/json")

    async def broadcast(self, message: Any) -> None:
        """Everyone hears it."""
        await self._client.send_to_all(_json(message), content_type="application/json")

    async def add(self, connection: str, group: str) -> bool:
        """Put a connection into a group; False when the connection has gone."""
        try:
            await self._client.add_connection_to_group(group, connection)
        except ResourceNotFoundError:
            return False
        return True

    async def remove(self, connection: str, group: str) -> None:
        await self._client.remove_connection_from_group(group, connection)

    async def add_user(self, user: str, group: str) -> None:
        """Put all present connections of a person into a group, if there are any."""
        try:
            await self._client.add_user_to_group(group, user)
        except ResourceNotFoundError:
            return

    async def remove_user(self, user: str, group: str) -> None:
        await self._client.remove_user_from_group(group, user)

    async def connections(self, group: str) -> AsyncIterator[Connection]:
        """Who is in a group now, as the service knows it."""
        async for member in self._client.list_connections(group=group):
            yield Connection(member.connection_id, member.user_id)

    async def heard(self, group: str) -> bool:
        """Whether anybody is in the group."""
        return bool(await self._client.group_exists(group))

    async def online(self, user: str) -> bool:
        return bool(await self._client.user_exists(user))

    async def disconnect(self, user: str, reason: str) -> None:
        """Close every connection of a person."""
        await self._client.close_user_connections(user, reason=reason)

    async def ping(self) -> None:
        """Raise unless the service answers and accepts our credential."""
        await self._client.group_exists("health")

    async def close(self) -> None:
        await self._client.close()


class _Claims(msgspec.Struct):
    exp: int


def _expiry(token: str) -> int:
    """When a token that we have just made expires; it needs no check."""
    claims = token.split(".")[1]
    padded = claims + "=" * (-len(claims) % 4)
    return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Claims).exp


def _json(message: Any) -> Any:
    """What the SDK turns into JSON exactly once; text here would be quoted a second time."""
    return msgspec.to_builtins(message)


def connect(settings: Settings) -> Hub:
    """By key where there is one, else by the app's managed identity."""
    if settings.webpubsub_connection_string:
        parts = dict(
            part.split("=", 1)
            for part in settings.webpubsub_connection_string.split(";")
            if "=" in part
        )
        values = {name.lower(): value for name, value in parts.items()}
        client = WebPubSubServiceClient.from_connection_string(
            settings.webpubsub_connection_string, hub=settings.webpubsub_hub
        )
        return Hub(client, values["endpoint"], [values["accesskey"]])
    from azure.identity.aio import DefaultAzureCredential  # half a second of import

    client = WebPubSubServiceClient(
        settings.webpubsub_endpoint, settings.webpubsub_hub, DefaultAzureCredential()
    )
    return Hub(client, settings.webpubsub_endpoint, [])


@cache
def hub() -> Hub:
    """This process's hub; every request and every tick comes by here first."""
    telemetry.start()
    return connect(settings())
