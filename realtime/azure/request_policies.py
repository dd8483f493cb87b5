"""The policies of azure-core that every pipeline of the app has, and their order.

azure-core calls each policy in a coroutine of its own and makes request ids of the clock (UUID 1).
Both took a quarter of a read's processor time, so policies that do no I/O are called together here.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from azure.core.pipeline import PipelineRequest, PipelineResponse, policies
from azure.core.rest import AsyncHttpResponse, HttpRequest

from realtime.azure.transport import USER_AGENT

REQUEST_ID_HEADER = "x-ms-client-request-id"

SyncPolicy = policies.SansIOHTTPPolicy[Any, Any]
AsyncPolicy = policies.AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse]


def make_policies(
    retry: AsyncPolicy,
    authentication: SyncPolicy | AsyncPolicy | None,
    *attempt_policies: SyncPolicy,
) -> list[AsyncPolicy]:
    """The policies of a pipeline. `attempt_policies` act on each attempt, before it is signed."""
    first: list[SyncPolicy] = list(attempt_policies)
    last: list[SyncPolicy] = [policies.DistributedTracingPolicy(), policies.HttpLoggingPolicy()]
    if isinstance(authentication, policies.SansIOHTTPPolicy):
        return [PolicyGroup([HeadersPolicy()]), retry, PolicyGroup([*first, authentication, *last])]
    signing: list[AsyncPolicy] = [] if authentication is None else [authentication]
    groups = [PolicyGroup(first), *signing, PolicyGroup(last)]
    return [PolicyGroup([HeadersPolicy()]), retry, *groups]


class PolicyGroup(policies.AsyncHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Calls policies that do no I/O, as azure-core does: on responses in the reverse order."""

    def __init__(self, group: Sequence[SyncPolicy]) -> None:
        super().__init__()
        self._group = group
        self._reversed = list(reversed(group))

    async def send(
        self, request: PipelineRequest[HttpRequest]
    ) -> PipelineResponse[HttpRequest, AsyncHttpResponse]:
        for policy in self._group:
            policy.on_request(request)
        try:
            response = await self.next.send(request)
        except Exception:
            for policy in self._reversed:
                policy.on_exception(request)
            raise
        for policy in self._reversed:
            policy.on_response(request, response)
        return response


class HeadersPolicy(policies.SansIOHTTPPolicy[HttpRequest, AsyncHttpResponse]):
    """Sets the id of a request, which all its attempts have, and the user agent."""

    def __init__(self) -> None:
        self._agent = policies.UserAgentPolicy(USER_AGENT)

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        headers = request.http_request.headers
        headers[REQUEST_ID_HEADER] = str(uuid.uuid4())
        headers["User-Agent"] = self._agent.user_agent
