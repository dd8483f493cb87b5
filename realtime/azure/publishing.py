"""Sending to the connections of a hub: messages that are encoded already, as JSON in UTF-8."""

from urllib.parse import quote

from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    map_error,
)
from azure.core.rest import HttpRequest
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient

API_VERSION = "2024-12-01"

_ERRORS = {401: ClientAuthenticationError, 404: ResourceNotFoundError}


class Publisher:
    """Sends to the groups and users of one hub.

    A message may be sent twice: if a response is lost, the request is repeated once, immediately.
    Receivers drop repetitions by seq, tick or id.
    """

    def __init__(self, client: WebPubSubServiceClient, hub: str) -> None:
        self._client = client
        self._path = f"/api/hubs/{quote(hub, safe='')}"

    async def send_to_group(self, group: str, body: bytes) -> None:
        """Send a JSON document to every connection in a group."""
        await self._send(f"/groups/{quote(group, safe='')}", body)

    async def send_to_user(self, user_id: str, body: bytes, *, except_for: str = "") -> None:
        """Send a JSON document to every connection of a user, or to all but one."""
        connection = except_for.replace("'", "''")
        query = f"connectionId ne '{connection}'" if connection else ""
        await self._send(f"/users/{quote(user_id, safe='')}", body, query)

    async def send_to_all(self, body: bytes) -> None:
        """Send a JSON document to every connection of the hub."""
        await self._send("", body)

    async def _send(self, target: str, body: bytes, connections: str = "") -> None:
        """`connections` is an OData filter:
        learn.microsoft.com/azure/azure-web-pubsub/reference-odata-filter"""
        condition = f"&filter={quote(connections, safe='')}" if connections else ""
        request = HttpRequest(
            "POST",
            f"{self._path}{target}/:send?api-version={API_VERSION}{condition}",
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            content=body,
        )
        response = await self._client.send_request(
            request, retry_on_methods=frozenset({"POST"}), retry_connect=1, retry_read=1
        )
        if response.status_code != 202:
            map_error(response.status_code, response, _ERRORS)
            raise HttpResponseError(response=response)
