"""The client of Web PubSub's REST API. It signs a token once and uses it for most of its life,
where the SDK signs one for each request.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jwt
from azure.core.credentials import AzureKeyCredential
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.pipeline import PipelineRequest, PipelineResponse, policies
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.core.utils import parse_connection_string
from azure.messaging.webpubsubservice.aio import WebPubSubServiceClient

from realtime.azure.request_policies import make_policies
from realtime.azure.transport import USER_AGENT, make_transport

TOKEN_SECONDS = 300
"""How long a token is valid."""

RENEWAL_SECONDS = 60
"""A token that is valid for less than this is replaced: clocks differ and requests take time."""

MAX_TOKENS = 4_096
"""A token is for one URL, so for one group or user. The most recently used ones are about 3 MB."""


Transport = AsyncHttpTransport[Any, Any]


def connect_with_key(
    connection_string: str, hub: str, *, transport: Transport | None = None
) -> WebPubSubServiceClient:
    """A client for one hub, with the access key of a connection string."""
    values = parse_connection_string(connection_string)
    if not values.get("endpoint") or not values.get("accesskey"):
        raise ValueError("The connection string of Web PubSub has an Endpoint and an AccessKey.")
    return WebPubSubServiceClient.from_connection_string(
        connection_string,
        hub=hub,
        transport=transport or make_transport(values["endpoint"]),
        base_user_agent=USER_AGENT,
        policies=make_policies(
            policies.AsyncRetryPolicy(),
            ServiceTokenPolicy(AzureKeyCredential(values["accesskey"])),
            policies.ContentDecodePolicy(),
        ),
    )


def connect_with_identity(
    endpoint: str,
    hub: str,
    credential: AsyncTokenCredential,
    *,
    transport: Transport | None = None,
) -> WebPubSubServiceClient:
    """A client for one hub, with a managed identity; azure-core reuses the tokens of one."""
    transport = transport or make_transport(endpoint)
    return WebPubSubServiceClient(
        endpoint, hub, credential, transport=transport, base_user_agent=USER_AGENT
    )


class ServiceTokenPolicy(policies.SansIOHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Sends a token that was signed with the access key.

    `aud` is the request's address without its query, and `exp` is required:
    learn.microsoft.com/rest/api/webpubsub, "Authenticate via Azure Web PubSub Service AccessKey".
    """

    def __init__(
        self, credential: AzureKeyCredential, *, now: Callable[[], float] = time.time
    ) -> None:
        self._credential = credential
        self._now = now
        self._tokens: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        token = self._get_token(*self._describe(request))
        request.http_request.headers["Authorization"] = f"Bearer {token}"

    def on_response(
        self,
        request: PipelineRequest[HttpRequest],
        response: PipelineResponse[HttpRequest, AsyncHttpResponse],
    ) -> None:
        """Remove a token that the service rejects from the cache."""
        if response.http_response.status_code == 401:
            self._tokens.pop(self._describe(request), None)

    def _describe(self, request: PipelineRequest[HttpRequest]) -> tuple[str, str]:
        """The cache key of a token: its audience and the access key that signs it."""
        audience = request.http_request.url.partition("?")[0].rstrip("/")
        return audience, self._credential.key

    def _get_token(self, audience: str, key: str) -> str:
        now = self._now()
        token, expiry = self._tokens.get((audience, key), ("", 0.0))
        if expiry - now < RENEWAL_SECONDS:
            expiry = now + TOKEN_SECONDS
            token = jwt.encode({"aud": audience, "exp": int(expiry)}, key, algorithm="HS256")
            self._tokens[audience, key] = token, expiry
            if len(self._tokens) > MAX_TOKENS:
                self._tokens.popitem(last=False)
        self._tokens.move_to_end((audience, key))
        return token
