"""REST operations that send messages, close connections, and manage permissions and tokens."""

import json
from collections.abc import Callable

from webpubsub_emulator import permissions, tokens
from webpubsub_emulator.names import is_valid_group
from webpubsub_emulator.permissions import TooManyRulesError
from webpubsub_emulator.rest_context import RestContext, exists_response
from webpubsub_emulator.rest_request import RestError, RestResponse, bad_request


def send_to_all(context: RestContext) -> RestResponse:
    return context.send(context.all_connections())


def send_to_user(context: RestContext) -> RestResponse:
    return context.send(context.user_connections())


def send_to_connection(context: RestContext) -> RestResponse:
    connection = context.connection()
    return context.send((connection,) if connection else ())


def send_to_group(context: RestContext) -> RestResponse:
    return context.send(context.group_connections(), context["group"])


def connection_exists(context: RestContext) -> RestResponse:
    return exists_response(context.connection(), "Warning.Connection.NotExisted")


def user_exists(context: RestContext) -> RestResponse:
    return exists_response(context.user_connections(), "Warning.User.NotExisted")


def group_exists(context: RestContext) -> RestResponse:
    return exists_response(context.group_connections(), "Warning.Group.NotExisted")


def close_connection(context: RestContext) -> RestResponse:
    connection = context.connection()
    return context.close((connection,) if connection else ())


def close_all_connections(context: RestContext) -> RestResponse:
    return context.close(context.all_connections())


def close_group_connections(context: RestContext) -> RestResponse:
    return context.close(context.group_connections())


def close_user_connections(context: RestContext) -> RestResponse:
    return context.close(context.user_connections())


def grant_permission(context: RestContext) -> RestResponse:
    action, group = _read_action(context), _read_target_group(context)
    connection = context.require_connection("Info.Connection.NotExisted")
    _change_rules(connection.permissions.grant, action, group)
    return RestResponse(200)


def revoke_permission(context: RestContext) -> RestResponse:
    action, group = _read_action(context), _read_target_group(context)
    connection = context.connection()
    if connection is not None:
        _change_rules(connection.permissions.revoke, action, group)
    return RestResponse(204)


def has_permission(context: RestContext) -> RestResponse:
    action, group = _read_action(context), _read_target_group(context)
    connection = context.connection()
    allowed = connection is not None and connection.permissions.allows(action, group)
    return exists_response(allowed, "Info.Connection.NotExisted")


def generate_token(context: RestContext) -> RestResponse:
    request = context.request
    client_type = (request.value("clientType") or "Default").lower()
    if client_type in ("mqtt", "socketio"):
        message = f"Tokens for {client_type} clients are not supported by the emulator."
        raise RestError(501, "NotImplemented", message, "clientType")
    if client_type != "default":
        raise bad_request("Invalid clientType.", "clientType")
    groups = request.values("group")
    if not all(map(is_valid_group, groups)):
        raise bad_request("The group name is not valid.", "group")
    token = tokens.create_client_token(
        context.service.keys,
        request.origin,
        context.hub.name,
        context.service.clock.time(),
        user_id=request.value("userId"),
        roles=request.values("role"),
        groups=groups,
        minutes=request.integer("minutesToExpire", 1) or 60,
    )
    return RestResponse(200, json.dumps({"token": token}).encode())


def _read_action(context: RestContext) -> str:
    """Read the permission, which the service accepts by name and by number."""
    given = context["permission"].lower()
    numbers = {"1": permissions.SEND, "2": permissions.JOIN_LEAVE}
    for action in permissions.ACTIONS:
        if given == action.lower() or numbers.get(given) == action:
            return action
    raise bad_request("The permission is not joinLeaveGroup or sendToGroup.", "permission")


def _read_target_group(context: RestContext) -> str:
    group = context.request.value("targetName")
    if group is None or not is_valid_group(group):
        raise bad_request("targetName is not a group name.", "targetName")
    return group


def _change_rules(change: Callable[[str, str], None], action: str, group: str) -> None:
    try:
        change(action, group)
    except TooManyRulesError as error:
        message = "The connection has too many permission rules."
        raise RestError(409, "Error.Connection.Conflict", message, "Connection") from error
