"""The routes of the REST data plane: which operation a request calls.

https://learn.microsoft.com/rest/api/webpubsub/dataplane/web-pub-sub, api-version 2024-12-01.
"""

from collections.abc import Callable

from webpubsub_emulator import rest_groups as groups
from webpubsub_emulator import rest_operations as operations
from webpubsub_emulator.names import is_valid_group, is_valid_hub
from webpubsub_emulator.rest_context import RestContext
from webpubsub_emulator.rest_request import (
    API_VERSIONS,
    RestError,
    RestRequest,
    RestResponse,
    bad_request,
    error_response,
)
from webpubsub_emulator.service import Service

Operation = Callable[[RestContext], RestResponse]


def handle_rest(service: Service, request: RestRequest) -> RestResponse:
    """Run the operation of a request; errors are responses, too."""
    try:
        return _dispatch(service, request)
    except RestError as error:
        return error_response(error)


def _dispatch(service: Service, request: RestRequest) -> RestResponse:
    versions = request.values("api-version")
    if versions and (len(versions) > 1 or versions[0] not in API_VERSIONS):
        raise bad_request(f"api-version is not one of {', '.join(API_VERSIONS)}", "api-version")
    operation, values = _find_operation(request)
    request.path_values.update(values)
    if not is_valid_hub(values["hub"]):
        raise bad_request("The hub name is not valid.", "hub")
    if "group" in values and not is_valid_group(values["group"]):
        raise bad_request("The group name is not valid.", "group")
    for name in ("user", "connection"):
        if name in values and not values[name].strip():
            raise bad_request(f"The {name} id is blank.", f"{name}Id")
    return operation(RestContext(service, request))


def _find_operation(request: RestRequest) -> tuple[Operation, dict[str, str]]:
    path_exists = False
    for method, template, operation in _OPERATIONS:
        values = _match(template, request.path)
        if values is not None:
            if method == request.method:
                return operation, values
            path_exists = True
    if path_exists:
        raise RestError(405, "Error.MethodNotAllowed", f"{request.method} is not allowed here.")
    raise RestError(404, "Error.NotFound", "There is no such operation.")


def _match(template: tuple[str, ...], path: tuple[str, ...]) -> dict[str, str] | None:
    """Return the values of the template's parameters, or None if the path does not match."""
    if len(template) != len(path):
        return None
    values = {}
    for expected, segment in zip(template, path, strict=True):
        if expected.startswith("{"):
            values[expected[1:-1]] = segment
        elif expected != segment:
            return None
    return values


def _template(path: str) -> tuple[str, ...]:
    return ("api", "hubs", "{hub}", *path.split("/"))


_OPERATIONS: tuple[tuple[str, tuple[str, ...], Operation], ...] = tuple(
    (method, _template(path), operation)
    for method, path, operation in (
        ("POST", ":send", operations.send_to_all),
        ("POST", "users/{user}/:send", operations.send_to_user),
        ("POST", "connections/{connection}/:send", operations.send_to_connection),
        ("POST", "groups/{group}/:send", operations.send_to_group),
        ("HEAD", "connections/{connection}", operations.connection_exists),
        ("HEAD", "users/{user}", operations.user_exists),
        ("HEAD", "groups/{group}", operations.group_exists),
        ("DELETE", "connections/{connection}", operations.close_connection),
        ("POST", ":closeConnections", operations.close_all_connections),
        ("POST", "groups/{group}/:closeConnections", operations.close_group_connections),
        ("POST", "users/{user}/:closeConnections", operations.close_user_connections),
        ("PUT", "groups/{group}/connections/{connection}", groups.add_connection_to_group),
        ("DELETE", "groups/{group}/connections/{connection}", groups.remove_connection_from_group),
        ("DELETE", "connections/{connection}/groups", groups.remove_connection_from_all_groups),
        ("PUT", "users/{user}/groups/{group}", groups.add_user_to_group),
        ("DELETE", "users/{user}/groups/{group}", groups.remove_user_from_group),
        ("DELETE", "users/{user}/groups", groups.remove_user_from_all_groups),
        ("GET", "groups/{group}/connections", groups.list_connections),
        ("PUT", "permissions/{permission}/connections/{connection}", operations.grant_permission),
        (
            "DELETE",
            "permissions/{permission}/connections/{connection}",
            operations.revoke_permission,
        ),
        ("HEAD", "permissions/{permission}/connections/{connection}", operations.has_permission),
        ("POST", ":generateToken", operations.generate_token),
        ("POST", ":addToGroups", groups.add_connections_to_groups),
        ("POST", ":removeFromGroups", groups.remove_connections_from_groups),
    )
)
