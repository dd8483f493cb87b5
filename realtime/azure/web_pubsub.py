"""Web PubSub: tokens, signatures, sending, groups and connections of one hub.

The methods have the names of the SDK's methods.
"""

import hashlib
import hmac
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import jwt
import msgspec
from azure.core.exceptions import ResourceNotFoundError
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient

from realtime.azure.group_connections import Connection, GroupConnections
from realtime.azure.publishing import Publisher
from realtime.azure.service_client import connect_with_identity, connect_with_key
from realtime.settings import Settings, settings

TOKEN_MINUTES = 60
"""Lifetime of a client access token. The service checks it only when a client connects."""


class ClientAccessToken(msgspec.Struct, frozen=True):
    """What a client connects with; `url` contains the token."""

    url: str
    token: str
    expires_on: datetime


class Hub:
    """One hub of one Web PubSub resource. Messages are sent as JSON: a struct or a plain object.

    `client_endpoint` is the URL at which clients reach the service, if it is not `endpoint`.
    """

    def __init__(
        self,
        client: WebPubSubServiceClient,
        name: str,
        endpoint: str,
        keys: Sequence[str],
        client_endpoint: str = "",
    ) -> None:
        self._client = client
        self._publisher = Publisher(client, name)
        self._groups = GroupConnections(client, name)
        self.host = urlsplit(endpoint).hostname or ""
        self.client_endpoint = (client_endpoint or endpoint).rstrip("/")
        self._keys = [key.encode() for key in keys]

    # --- authentication ---------------------------------------------------------------------

    @property
    def has_access_key(self) -> bool:
        """Whether an access key is known, so that event signatures can be verified."""
        return bool(self._keys)

    def verify_signature(self, signature: str, connection_id: str) -> bool:
        """Whether `ce-signature` was made with one of the access keys, in constant time.

        The header has `sha256=<hex>` for each of the service's two keys, separated by a comma:
        learn.microsoft.com/azure/azure-web-pubsub/reference-cloud-events
        """
        parts = signature.split(",", 2)[:2]
        received = [part.strip().lower().encode(errors="replace") for part in parts]
        expected = [
            b"sha256=" + hmac.new(key, connection_id.encode(), hashlib.sha256).hexdigest().encode()
            for key in self._keys
        ]
        return any([hmac.compare_digest(r, e) for r in received for e in expected])  # noqa: C419

    async def get_client_access_token(
        self, user_id: str, groups: Sequence[str], roles: Sequence[str]
    ) -> ClientAccessToken:
        """A token for a user who is in `groups` once connected and has only `roles`."""
        token = await self._client.get_client_access_token(
            user_id=user_id, groups=list(groups), roles=list(roles), minutes_to_expire=TOKEN_MINUTES
        )
        path = urlsplit(token["url"])._replace(scheme="", netloc="").geturl()
        url = "ws" + self.client_endpoint.removeprefix("http") + path
        return ClientAccessToken(url, token["token"], _expiry(token["token"]))

    # --- sending ----------------------------------------------------------------------------

    async def send_to_group(self, group: str, message: Any) -> None:
        await self._publisher.send_to_group(group, msgspec.json.encode(message))

    async def send_to_user(self, user_id: str, message: Any, *, except_for: str = "") -> None:
        """Send to every connection of a user, or to all but one."""
        await self._publisher.send_to_user(
            user_id, msgspec.json.encode(message), except_for=except_for
        )

    async def send_to_all(self, message: Any) -> None:
        await self._publisher.send_to_all(msgspec.json.encode(message))

    # --- groups -----------------------------------------------------------------------------

    async def add_connection_to_group(self, group: str, connection_id: str) -> bool:
        """Whether the connection was there to be added."""
        try:
            await self._client.add_connection_to_group(group, connection_id)
        except ResourceNotFoundError:
            return False
        return True

    async def remove_connection_from_group(self, group: str, connection_id: str) -> None:
        await self._client.remove_connection_from_group(group, connection_id)

    async def add_user_to_group(self, group: str, user_id: str) -> None:
        """Add the user's present connections; there may be none."""
        try:
            await self._client.add_user_to_group(group, user_id)
        except ResourceNotFoundError:
            return

    async def remove_user_from_group(self, group: str, user_id: str) -> None:
        await self._client.remove_user_from_group(group, user_id)

    # --- connections ------------------------------------------------------------------------

    def list_connections(self, group: str) -> AsyncIterator[Connection]:
        """The connections that are in a group now."""
        return self._groups.list(group)

    async def group_exists(self, group: str) -> bool:
        """Whether any connection is in the group."""
        return await self._groups.exist(group)

    async def user_exists(self, user_id: str) -> bool:
        """Whether the user has a connection."""
        return bool(await self._client.user_exists(user_id))

    async def connection_exists(self, connection_id: str) -> bool:
        return bool(await self._client.connection_exists(connection_id))

    async def close_connection(self, connection_id: str, reason: str) -> None:
        await self._client.close_connection(connection_id, reason=reason)

    async def close_group_connections(self, group: str, reason: str) -> None:
        await self._client.close_group_connections(group, reason=reason)

    async def close_user_connections(self, user_id: str, reason: str) -> None:
        await self._client.close_user_connections(user_id, reason=reason)

    async def ping(self) -> None:
        """Raise unless the service is available and accepts the app's credential."""
        await self._client.group_exists("health")

    async def close(self) -> None:
        await self._client.close()


def _expiry(token: str) -> datetime:
    """The `exp` claim of a token that this process has just signed: it needs no verification."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return datetime.fromtimestamp(claims["exp"], UTC)


def connect_hub(settings: Settings) -> Hub:
    """By connection string if there is one, else with the app's managed identity."""
    client_endpoint = settings.webpubsub_client_endpoint
    if settings.webpubsub_connection_string:
        values = _parse_connection_string(settings.webpubsub_connection_string)
        client = connect_with_key(settings.webpubsub_connection_string, settings.webpubsub_hub)
        return Hub(
            client,
            settings.webpubsub_hub,
            values["endpoint"],
            [values["accesskey"]],
            client_endpoint,
        )
    from azure.identity.aio import DefaultAzureCredential  # its import takes half a second

    client = connect_with_identity(
        settings.webpubsub_endpoint, settings.webpubsub_hub, DefaultAzureCredential()
    )
    return Hub(client, settings.webpubsub_hub, settings.webpubsub_endpoint, [], client_endpoint)


def _parse_connection_string(text: str) -> dict[str, str]:
    """The parts by lower-case name."""
    pairs = (part.split("=", 1) for part in text.split(";") if "=" in part)
    return {name.lower(): value for name, value in pairs}


@cache
def hub() -> Hub:
    """The hub of this process."""
    return connect_hub(settings())
