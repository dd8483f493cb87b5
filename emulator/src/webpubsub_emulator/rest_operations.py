"""What the application may ask of the service: one function for each REST operation.

https://learn.microsoft.com/rest/api/webpubsub/dataplane/web-pub-sub
"""

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from webpubsub_emulator import permissions, tokens
from webpubsub_emulator.filter import InvalidFilterError, Predicate, compile_filter
from webpubsub_emulator.frames import Outgoing
from webpubsub_emulator.hub import Connection, Hub
from webpubsub_emulator.names import is_group
from webpubsub_emulator.payload import (
    InvalidPayloadError,
    Payload,
    UnsupportedContentTypeError,
    from_body,
    metadata_of_headers,
)
from webpubsub_emulator.permissions import TooManyRulesError
from webpubsub_emulator.protocol import LONGEST_TTL_SECONDS
from webpubsub_emulator.rest_request import (
    API_VERSIONS,
    RestAnswer,
    RestCall,
    RestError,
    bad_request,
)
from webpubsub_emulator.service import Service

_LARGEST_PAGE = 200
_CONNECTION_GONE = "Error.Connection.NotExisted"


class Request:
    """A call that found its operation and its hub."""

    def __init__(self, service: Service, call: RestCall) -> None:
        self.service = service
        self.call = call
        self.hub: Hub = service.hub(call.values["hub"])

    def __getitem__(self, name: str) -> str:
        return self.call.values[name]

    def connection(self) -> Connection | None:
        return self.hub.connections.get(self["connection"])

    def existing_connection(self, code: str = _CONNECTION_GONE) -> Connection:
        connection = self.connection()
        if connection is None:
            message = f"Connection `{self['connection']}` is not found."
            raise RestError(404, code, message, "Connection")
        return connection

    def everyone(self) -> tuple[Connection, ...]:
        return tuple(self.hub.connections.values())

    def of_user(self) -> tuple[Connection, ...]:
        return self.hub.of_user(self["user"])

    def of_group(self) -> tuple[Connection, ...]:
        return self.hub.of_group(self["group"])

    def filter(self) -> Predicate | None:
        return _filter(self.call.one("filter"))

    def not_excluded(self, connections: tuple[Connection, ...]) -> tuple[Connection, ...]:
        excluded = set(self.call.all("excluded"))
        if not excluded:
            return connections
        return tuple(connection for connection in connections if connection.id not in excluded)

    def payload(self) -> Payload:
        try:
            metadata = metadata_of_headers(self.call.headers)
            return from_body(self.call.header("Content-Type"), self.call.body, metadata)
        except UnsupportedContentTypeError as error:
            raise RestError(
                415, "Error.UnsupportedMediaType", f"Content-Type {error} is not supported."
            ) from error
        except InvalidPayloadError as error:
            if "JSON" in str(error):
                raise bad_request("The request body is not a valid JSON.") from error
            raise bad_request(str(error)) from error

    def send(self, to: tuple[Connection, ...], group: str | None = None) -> RestAnswer:
        """Send the body to these; the filter is judged before the body, as the service does."""
        predicate = self.filter()
        ttl = self.call.whole_number("messageTtlSeconds", 0, LONGEST_TTL_SECONDS)
        message = Outgoing(self.payload(), group=group, ttl_seconds=ttl)
        hearers = self.not_excluded(to)
        if predicate is not None:
            hearers = tuple(filter(predicate, hearers))
        self.hub.deliver(hearers, message)
        return RestAnswer(202)

    def close(self, connections: tuple[Connection, ...]) -> RestAnswer:
        for connection in self.not_excluded(connections):
            self.hub.close(connection, self.call.one("reason"))
        return RestAnswer(204)


def send_to_all(request: Request) -> RestAnswer:
    return request.send(request.everyone())


def send_to_user(request: Request) -> RestAnswer:
    return request.send(request.of_user())


def send_to_connection(request: Request) -> RestAnswer:
    connection = request.connection()
    return request.send((connection,) if connection else ())


def send_to_group(request: Request) -> RestAnswer:
    return request.send(request.of_group(), request["group"])


def connection_exists(request: Request) -> RestAnswer:
    return _exists(request.connection(), "Warning.Connection.NotExisted")


def user_exists(request: Request) -> RestAnswer:
    return _exists(request.of_user(), "Warning.User.NotExisted")


def group_exists(request: Request) -> RestAnswer:
    return _exists(request.of_group(), "Warning.Group.NotExisted")


def close_connection(request: Request) -> RestAnswer:
    connection = request.connection()
    return request.close((connection,) if connection else ())


def close_all_connections(request: Request) -> RestAnswer:
    return request.close(request.everyone())


def close_group_connections(request: Request) -> RestAnswer:
    return request.close(request.of_group())


def close_user_connections(request: Request) -> RestAnswer:
    return request.close(request.of_user())


def add_connection_to_group(request: Request) -> RestAnswer:
    request.hub.join(request.existing_connection(), request["group"])
    return RestAnswer(200)


def remove_connection_from_group(request: Request) -> RestAnswer:
    connection = request.connection()
    if connection is not None:
        request.hub.leave(connection, request["group"])
    return RestAnswer(204)


def remove_connection_from_all_groups(request: Request) -> RestAnswer:
    connection = request.connection()
    if connection is not None:
        request.hub.leave_all(connection)
    return RestAnswer(204)


def add_user_to_group(request: Request) -> RestAnswer:
    """Only the connections that the user has now; later ones do not inherit it."""
    connections = request.of_user()
    if not connections:
        message = f"User `{request['user']}` is not found."
        raise RestError(404, "Error.User.NotExisted", message, "User")
    for connection in connections:
        request.hub.join(connection, request["group"])
    return RestAnswer(200)


def remove_user_from_group(request: Request) -> RestAnswer:
    for connection in request.of_user():
        request.hub.leave(connection, request["group"])
    return RestAnswer(204)


def remove_user_from_all_groups(request: Request) -> RestAnswer:
    for connection in request.of_user():
        request.hub.leave_all(connection)
    return RestAnswer(204)


def list_connections(request: Request) -> RestAnswer:
    """One page, ordered by id and continued after the last one, so that nobody is skipped."""
    call, group = request.call, request["group"]
    size = call.whole_number("maxpagesize", 1, _LARGEST_PAGE) or _LARGEST_PAGE
    top = call.whole_number("top", 1)
    after = _read_continuation(call.one("continuationToken"), request.hub.name, group)
    members = sorted(
        (member for member in request.of_group() if member.id > after), key=lambda m: m.id
    )
    page = members[: size if top is None else min(size, top)]
    left = None if top is None else top - len(page)
    body: dict[str, Any] = {
        "value": [{"connectionId": member.id, "userId": member.user_id} for member in page]
    }
    if len(members) > len(page) and left != 0:
        body["nextLink"] = _next_link(request, page[-1].id, left)
    return RestAnswer(200, json.dumps(body).encode())


def grant_permission(request: Request) -> RestAnswer:
    action, group = _action(request), _target(request)
    connection = request.existing_connection("Info.Connection.NotExisted")
    _change(connection.permissions.grant, action, group)
    return RestAnswer(200)


def revoke_permission(request: Request) -> RestAnswer:
    action, group = _action(request), _target(request)
    connection = request.connection()
    if connection is not None:
        _change(connection.permissions.revoke, action, group)
    return RestAnswer(204)


def has_permission(request: Request) -> RestAnswer:
    action, group = _action(request), _target(request)
    connection = request.connection()
    allowed = connection is not None and connection.permissions.allows(action, group)
    return _exists(allowed, "Info.Connection.NotExisted")


def generate_token(request: Request) -> RestAnswer:
    call = request.call
    groups = call.all("group")
    if not all(map(is_group, groups)):
        raise bad_request("The group name is not valid.", "group")
    if (call.one("clientType") or "Default").lower() != "default":
        raise bad_request("Only clients of type Default are emulated.", "clientType")
    token = tokens.client_token(
        request.service.keys,
        call.origin,
        request.hub.name,
        user_id=call.one("userId"),
        roles=call.all("role"),
        groups=groups,
        minutes=call.whole_number("minutesToExpire", 1) or 60,
    )
    return RestAnswer(200, json.dumps({"token": token}).encode())


def add_to_groups(request: Request) -> RestAnswer:
    return _change_groups(request, request.hub.join)


def remove_from_groups(request: Request) -> RestAnswer:
    return _change_groups(request, request.hub.leave)


def _change_groups(request: Request, change: Callable[[Connection, str], None]) -> RestAnswer:
    """Put all connections that pass a filter into, or out of, several groups."""
    try:
        body = json.loads(request.call.body)
    except (ValueError, RecursionError) as error:
        raise bad_request("The request body is not a valid JSON.") from error
    groups = body.get("groups") if isinstance(body, dict) else None
    if not isinstance(groups, list) or not all(isinstance(g, str) and is_group(g) for g in groups):
        raise bad_request("groups is not a list of group names.", "groups")
    text = body.get("filter")
    if text is not None and not isinstance(text, str):
        raise bad_request("filter is not a string.", "filter")
    for connection in filter(_filter(text), request.everyone()):
        for group in groups:
            change(connection, group)
    return RestAnswer(200)


def _filter(text: str | None) -> Predicate | None:
    if not text:
        return None
    try:
        return compile_filter(text)
    except InvalidFilterError as error:
        raise bad_request(f"{error} (Parameter 'filter')", "filter") from error


def _exists(found: object, code: str) -> RestAnswer:
    return RestAnswer(200) if found else RestAnswer(404, error_code=code)


def _action(request: Request) -> str:
    wanted = request["permission"].lower()
    numbers = {"1": permissions.SEND, "2": permissions.JOIN_LEAVE}
    for action in permissions.ACTIONS:
        if wanted == action.lower() or numbers.get(wanted) == action:
            return action
    raise bad_request("The permission is not joinLeaveGroup or sendToGroup.", "permission")


def _target(request: Request) -> str:
    group = request.call.one("targetName")
    if group is None or not is_group(group):
        raise bad_request("targetName is not a group name.", "targetName")
    return group


def _change(change: Callable[[str, str], None], action: str, group: str) -> None:
    try:
        change(action, group)
    except TooManyRulesError as error:
        message = "The connection has too many permission rules."
        raise RestError(409, "Error.Connection.Conflict", message, "Connection") from error


def _next_link(request: Request, last: str, left: int | None) -> str:
    query = {
        "api-version": request.call.one("api-version") or API_VERSIONS[-1],
        "maxpagesize": request.call.one("maxpagesize"),
        "continuationToken": _continuation(request.hub.name, request["group"], last),
        "top": left,
    }
    given = urlencode({name: value for name, value in query.items() if value is not None})
    return f"{request.call.origin}{request.call.raw_path}?{given}"


def _continuation(hub: str, group: str, last: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([hub, group, last]).encode()).decode()


def _read_continuation(token: str | None, hub: str, group: str) -> str:
    """Where to go on; a token of another group or made by hand is refused."""
    if token is None:
        return ""
    try:
        place = json.loads(base64.urlsafe_b64decode(token))
        if place[:2] == [hub, group] and isinstance(place[2], str):
            return place[2]
    except (ValueError, TypeError, LookupError, RecursionError, binascii.Error):
        pass
    raise bad_request("The continuation token is not valid.", "continuationToken")
