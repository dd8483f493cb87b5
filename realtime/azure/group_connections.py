"""The connections of a group: their list, and whether there is any.

Both read the service's list. The HEAD request for a group has a response without Content-Length,
after which aiohttp closes the connection, so each such request would open a new one.
"""

from collections.abc import AsyncIterator
from urllib.parse import quote

import msgspec
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    map_error,
)
from azure.core.rest import HttpRequest
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient

from realtime.azure.publishing import API_VERSION

MAX_PAGE_CONNECTIONS = 200
"""The most connections in one page of a group's list (REST 2024-12-01)."""

_ERRORS = {401: ClientAuthenticationError, 404: ResourceNotFoundError}


class Connection(msgspec.Struct, frozen=True):
    id: str
    user_id: str | None


class _Member(msgspec.Struct, rename="camel"):
    connection_id: str
    user_id: str | None = None


class _Page(msgspec.Struct, rename="camel"):
    value: list[_Member] = []
    next_link: str | None = None


class GroupConnections:
    """The groups of one hub."""

    def __init__(self, client: WebPubSubServiceClient, hub: str) -> None:
        self._client = client
        self._path = f"/api/hubs/{quote(hub, safe='')}/groups"

    async def list(self, group: str) -> AsyncIterator[Connection]:
        """The connections that are in a group now."""
        url: str | None = self._url(group, f"maxpagesize={MAX_PAGE_CONNECTIONS}")
        while url:
            page = await self._read_page(url)
            for member in page.value:
                yield Connection(member.connection_id, member.user_id)
            url = page.next_link

    async def exist(self, group: str) -> bool:
        """Whether any connection is in a group."""
        return bool((await self._read_page(self._url(group, "maxpagesize=1&top=1"))).value)

    def _url(self, group: str, query: str) -> str:
        path = f"{self._path}/{quote(group, safe='')}/connections"
        return f"{path}?{query}&api-version={API_VERSION}"

    async def _read_page(self, url: str) -> _Page:
        request = HttpRequest("GET", url, headers={"Accept": "application/json"})
        response = await self._client.send_request(request)
        if response.status_code != 200:
            map_error(response.status_code, response, _ERRORS)
            raise HttpResponseError(response=response)
        return msgspec.json.decode(response.content, type=_Page)
