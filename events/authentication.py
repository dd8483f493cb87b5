"""Authenticates the requests of Web PubSub, by signature or by Entra token."""

import logging
from collections.abc import Mapping
from functools import cache

from events import cloudevents
from events.cloudevents import CloudEvent
from realtime.azure.web_pubsub import hub
from realtime.errors import ApiError
from realtime.identity.oidc import Issuers
from realtime.settings import settings, split_list

log = logging.getLogger(__name__)


async def authenticate_event(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    """The event, if the app's own service sent it. Raises ApiError.

    Nothing is written and the body is not parsed before the request is authenticated.
    """
    connection = cloudevents.parse_connection_id(headers)
    if hub().has_access_key:
        _check_signature(headers.get("ce-signature", ""), connection)
    else:
        await _check_token(headers.get("authorization", ""))
    event = cloudevents.parse_event(headers, body)
    if event.hub.lower() != settings().webpubsub_hub.lower():
        log.warning("event rejected: another hub")
        raise ApiError("invalid_request", "The event is from another hub.")
    return event


def _check_signature(signature: str, connection: str) -> None:
    """With an access key: the service signs with both of its keys, the app has one of them."""
    if not hub().verify_signature(signature, connection):
        log.warning("event rejected: wrong signature")
        raise ApiError("unauthenticated", "The signature is not valid.")


async def _check_token(authorization: str) -> None:
    """Without a key: the Entra token of the service's managed identity.

    learn.microsoft.com/azure/azure-web-pubsub/howto-use-managed-identity
    """
    try:
        claims = await _issuers().verify(authorization.removeprefix("Bearer "))
    except ApiError as error:
        log.warning("event rejected: Entra token: %s", error.code)
        raise
    # Every app of the tenant may get a token for this audience; the service has one identity.
    if claims["sub"] != settings().webhook_subject:
        log.warning("event rejected: the token's subject is not WEBHOOK_SUBJECT")
        raise ApiError("unauthenticated", "The token has another subject.")


@cache
def _issuers() -> Issuers:
    """Entra's tokens of version 1 and 2 name their issuer and their audience differently."""
    return Issuers(split_list(settings().webhook_issuer), split_list(settings().webhook_audience))
