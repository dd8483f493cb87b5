"""The REST data plane without its HTTP server: which operation a request means.

https://learn.microsoft.com/rest/api/webpubsub/dataplane/web-pub-sub, api-version 2024-12-01.
"""

from collections.abc import Callable

from webpubsub_emulator import rest_operations as do
from webpubsub_emulator.names import is_group, is_hub
from webpubsub_emulator.rest_operations import Request
from webpubsub_emulator.rest_request import (
    API_VERSIONS,
    RestAnswer,
    RestCall,
    RestError,
    bad_request,
    refusal,
)
from webpubsub_emulator.service import Service

Operation = Callable[[Request], RestAnswer]


def answer(service: Service, call: RestCall) -> RestAnswer:
    """Do what the application asks; every refusal is an answer, too."""
    try:
        return _dispatch(service, call)
    except RestError as error:
        return refusal(error)


def _dispatch(service: Service, call: RestCall) -> RestAnswer:
    versions = call.all("api-version")
    if versions and (len(versions) > 1 or versions[0] not in API_VERSIONS):
        raise bad_request(f"api-version is not one of {', '.join(API_VERSIONS)}", "api-version")
    operation, values = _find(call)
    call.values.update(values)
    if not is_hub(call.values["hub"]):
        raise bad_request("The hub name is not valid.", "hub")
    if "group" in call.values and not is_group(call.values["group"]):
        raise bad_request("The group name is not valid.", "group")
    return operation(Request(service, call))


def _find(call: RestCall) -> tuple[Operation, dict[str, str]]:
    known = False
    for method, template, operation in _OPERATIONS:
        values = _match(template, call.path)
        if values is not None:
            if method == call.method:
                return operation, values
            known = True
    if known:
        raise RestError(405, "Error.MethodNotAllowed", f"{call.method} is not allowed here.")
    raise RestError(404, "Error.NotFound", "There is no such operation.")


def _match(template: tuple[str, ...], path: tuple[str, ...]) -> dict[str, str] | None:
    if len(template) != len(path):
        return None
    values = {}
    for expected, part in zip(template, path, strict=True):
        if expected.startswith("{"):
            values[expected[1:-1]] = part
        elif expected != part:
            return None
    return values


def _template(path: str) -> tuple[str, ...]:
    return ("api", "hubs", "{hub}", *path.split("/"))


_OPERATIONS: tuple[tuple[str, tuple[str, ...], Operation], ...] = tuple(
    (method, _template(path), operation)
    for method, path, operation in (
        ("POST", ":send", do.send_to_all),
        ("POST", "users/{user}/:send", do.send_to_user),
        ("POST", "connections/{connection}/:send", do.send_to_connection),
        ("POST", "groups/{group}/:send", do.send_to_group),
        ("HEAD", "connections/{connection}", do.connection_exists),
        ("HEAD", "users/{user}", do.user_exists),
        ("HEAD", "groups/{group}", do.group_exists),
        ("DELETE", "connections/{connection}", do.close_connection),
        ("POST", ":closeConnections", do.close_all_connections),
        ("POST", "groups/{group}/:closeConnections", do.close_group_connections),
        ("POST", "users/{user}/:closeConnections", do.close_user_connections),
        ("PUT", "groups/{group}/connections/{connection}", do.add_connection_to_group),
        (
            "DELETE",
            "groups/{group}/connections/{connection}",
            do.remove_connection_from_group,
        ),
        ("DELETE", "connections/{connection}/groups", do.remove_connection_from_all_groups),
        ("PUT", "users/{user}/groups/{group}", do.add_user_to_group),
        ("DELETE", "users/{user}/groups/{group}", do.remove_user_from_group),
        ("DELETE", "users/{user}/groups", do.remove_user_from_all_groups),
        ("GET", "groups/{group}/connections", do.list_connections),
        ("PUT", "permissions/{permission}/connections/{connection}", do.grant_permission),
        (
            "DELETE",
            "permissions/{permission}/connections/{connection}",
            do.revoke_permission,
        ),
        ("HEAD", "permissions/{permission}/connections/{connection}", do.has_permission),
        ("POST", ":generateToken", do.generate_token),
        ("POST", ":addToGroups", do.add_to_groups),
        ("POST", ":removeFromGroups", do.remove_from_groups),
    )
)
