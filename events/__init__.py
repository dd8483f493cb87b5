"""Web PubSub's event handler: the function that receives its handshake and its events."""

import azure.functions as func

from events.webhook import WebhookResponse, accept_handshake, handle_event
from realtime.http import Access, empty_response, endpoint, json_bytes_response

bp = func.Blueprint()


ERRORS = (
    "bad_json invalid_request invalid_room invalid_user stale_event too_large "
    "unauthenticated banned unknown_room removed rate_limited too_many_connections"
)


@endpoint(bp, "OPTIONS POST", "api/pubsub/events", Access.SERVER, errors=ERRORS)
async def pubsub_events(req: func.HttpRequest) -> func.HttpResponse:
    """Receive an event of Web PubSub, or its validation handshake."""
    if req.method == "OPTIONS":
        return _to_http(accept_handshake(req.headers))
    return _to_http(await handle_event(req.headers, req.get_body()))


def _to_http(response: WebhookResponse) -> func.HttpResponse:
    if not response.body:
        return empty_response(response.headers)
    return json_bytes_response(response.body, headers=response.headers)
