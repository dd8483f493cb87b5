"""REST operations on the members of groups."""

import base64
import binascii
import json
from bisect import bisect_right
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from webpubsub_emulator.connection import Connection
from webpubsub_emulator.names import is_valid_group
from webpubsub_emulator.rest_context import RestContext, read_filter, unsupported_content_type
from webpubsub_emulator.rest_request import API_VERSIONS, RestError, RestResponse, bad_request

_MAX_PAGE_SIZE = 200


def add_connection_to_group(context: RestContext) -> RestResponse:
    context.hub.add_to_group(context.require_connection(), context["group"])
    return RestResponse(200)


def remove_connection_from_group(context: RestContext) -> RestResponse:
    connection = context.connection()
    if connection is not None:
        context.hub.remove_from_group(connection, context["group"])
    return RestResponse(204)


def remove_connection_from_all_groups(context: RestContext) -> RestResponse:
    connection = context.connection()
    if connection is not None:
        context.hub.remove_from_all_groups(connection)
    return RestResponse(204)


def add_user_to_group(context: RestContext) -> RestResponse:
    """Add the connections that the user has now; later ones do not inherit the group."""
    connections = context.user_connections()
    if not connections:
        message = f"User `{context['user']}` is not found."
        raise RestError(404, "Error.User.NotExisted", message, "User")
    for connection in connections:
        context.hub.add_to_group(connection, context["group"])
    return RestResponse(200)


def remove_user_from_group(context: RestContext) -> RestResponse:
    for connection in context.user_connections():
        context.hub.remove_from_group(connection, context["group"])
    return RestResponse(204)


def remove_user_from_all_groups(context: RestContext) -> RestResponse:
    for connection in context.user_connections():
        context.hub.remove_from_all_groups(connection)
    return RestResponse(204)


def add_connections_to_groups(context: RestContext) -> RestResponse:
    return _change_groups(context, context.hub.add_to_group)


def remove_connections_from_groups(context: RestContext) -> RestResponse:
    return _change_groups(context, context.hub.remove_from_group)


def list_connections(context: RestContext) -> RestResponse:
    """Return one page in the order of ids; the next one continues after its last id."""
    request, group = context.request, context["group"]
    page_size = request.integer("maxpagesize", 1, _MAX_PAGE_SIZE) or _MAX_PAGE_SIZE
    top = request.integer("top", 1)
    token = request.single_value("continuationToken")
    after_id = _read_continuation_token(token, context.hub.name, group)
    members = context.hub.sorted_group(group)
    start = bisect_right(members, after_id, key=lambda member: member.id)
    end = start + (page_size if top is None else min(page_size, top))
    page = members[start:end]
    remaining = None if top is None else top - len(page)
    body: dict[str, Any] = {
        "value": [{"connectionId": member.id, "userId": member.user_id} for member in page]
    }
    if len(members) > end and remaining != 0:
        body["nextLink"] = _next_link(context, page[-1].id, remaining)
    return RestResponse(200, json.dumps(body).encode())


def _change_groups(context: RestContext, change: Callable[[Connection, str], None]) -> RestResponse:
    """Apply a change to all connections that match a filter, for each of several groups."""
    content_type = context.request.header("Content-Type")
    if not _is_json(content_type):
        raise unsupported_content_type(content_type)
    try:
        body = json.loads(context.request.body)
    except (ValueError, RecursionError) as error:
        raise bad_request("The request body is not a valid JSON.") from error
    groups = body.get("groups") if isinstance(body, dict) else None
    if not isinstance(groups, list) or not groups or not all(map(_is_group_name, groups)):
        raise bad_request("groups is not a list of one or more group names.", "groups")
    filter_text = body.get("filter")
    if filter_text is not None and not isinstance(filter_text, str):
        raise bad_request("filter is not a string.", "filter")
    for connection in filter(read_filter(filter_text), context.all_connections()):
        for group in groups:
            change(connection, group)
    return RestResponse(200)


def _is_json(content_type: str | None) -> bool:
    media_type = (content_type or "").partition(";")[0].strip().lower()
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def _is_group_name(value: object) -> bool:
    return isinstance(value, str) and is_valid_group(value)


def _next_link(context: RestContext, last_id: str, remaining: int | None) -> str:
    request = context.request
    query = {
        "api-version": API_VERSIONS[-1],
        "maxpagesize": request.value("maxpagesize"),
        "continuationToken": _continuation_token(context.hub.name, context["group"], last_id),
        "top": remaining,
    }
    encoded = urlencode({name: value for name, value in query.items() if value is not None})
    return f"{request.origin}{request.raw_path}?{encoded}"


def _continuation_token(hub: str, group: str, last_id: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([hub, group, last_id]).encode()).decode()


def _read_continuation_token(token: str | None, hub: str, group: str) -> str:
    """Return the id to continue after; a token of another group is rejected."""
    if token is None:
        return ""
    try:
        position = json.loads(base64.urlsafe_b64decode(token))
        if position[:2] == [hub, group] and isinstance(position[2], str):
            return position[2]
    except (ValueError, TypeError, LookupError, RecursionError, binascii.Error):
        pass
    raise bad_request("The continuation token is not valid.", "continuationToken")
