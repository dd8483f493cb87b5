"""The roles that the templates assign, their actions, and the actions that service calls require.

Sources: learn.microsoft.com/azure/role-based-access-control/built-in-roles (the roles),
learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory (permissions for
table service operations), learn.microsoft.com/azure/role-based-access-control/permissions/
web-and-mobile (the data actions of Web PubSub).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import parse_qs, urlsplit

from tests.deployment.bicep import Choice, Expression, File, Resource, loop_values

TABLES = "Microsoft.Storage/storageAccounts/tableServices"
BLOBS = "Microsoft.Storage/storageAccounts/blobServices"
WEBPUBSUB = "Microsoft.SignalRService/WebPubSub"


@dataclass(frozen=True)
class Role:
    """A built-in role: its name, and its actions and data actions as patterns."""

    name: str
    actions: tuple[str, ...]


ROLES = {
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": Role(
        "Storage Blob Data Owner",
        (
            f"{BLOBS}/containers/*", f"{BLOBS}/generateUserDelegationKey/action",
            f"{BLOBS}/containers/blobs/*",
        ),
    ),
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": Role(
        "Storage Table Data Contributor",
        (
            f"{TABLES}/tables/read", f"{TABLES}/tables/write", f"{TABLES}/tables/delete",
            f"{TABLES}/tables/entities/read", f"{TABLES}/tables/entities/write",
            f"{TABLES}/tables/entities/delete", f"{TABLES}/tables/entities/add/action",
            f"{TABLES}/tables/entities/update/action",
        ),
    ),
    "76199698-9eea-4c19-bc75-cec21354c6b6": Role(
        "Storage Table Data Reader", (f"{TABLES}/tables/read", f"{TABLES}/tables/entities/read")
    ),
    "12cf5a90-567b-43ae-8102-96cf46c7d9b4": Role("Web PubSub Service Owner", (f"{WEBPUBSUB}/*",)),
    "bfb1c7d2-fb1a-466b-b2ba-aee63b92deaf": Role(
        "Web PubSub Service Reader", (f"{WEBPUBSUB}/*/read",)
    ),
    "4633458b-17de-408a-b874-0445c86b69e6": Role(
        "Key Vault Secrets User",
        (
            "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        ),
    ),
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": Role(
        "Key Vault Secrets Officer", ("Microsoft.KeyVault/vaults/secrets/*",)
    ),
    "3913510d-42f4-4e42-8a64-420c390055eb": Role(
        "Monitoring Metrics Publisher",
        ("Microsoft.Insights/Telemetry/Write", "Microsoft.Insights/Metrics/Write"),
    ),
}  # fmt: skip

AnyOf = tuple[frozenset[str], ...]
"""The actions that an operation requires: all of one of the sets."""


def assigned_roles(file: File, principal: str = "principalId") -> list[Role]:
    """The roles that a Bicep file assigns to the principal in the parameter of that name."""
    return [
        ROLES[identifier]
        for resource in file.resources
        if resource.type == "Microsoft.Authorization/roleAssignments"
        and resource.body["properties"]["principalId"] == Expression(principal)
        for identifier in _role_ids(file, resource)
    ]


def _role_ids(file: File, resource: Resource) -> list[str]:
    definition = resource.body["properties"]["roleDefinitionId"]
    assert not isinstance(definition, Choice)
    name = re.search(r"(\w+)\)$", definition.text)
    assert name, definition.text
    if name[1] in file.literals:
        return [file.literals[name[1]]]
    return loop_values(file, resource)


def is_allowed(needed: AnyOf, roles: Sequence[Role]) -> bool:
    """Whether the roles include all actions of one of the alternatives."""
    patterns = [pattern.lower() for role in roles for pattern in role.actions]
    return any(
        all(any(fnmatchcase(one.lower(), pattern) for pattern in patterns) for one in alternative)
        for alternative in needed
    )


# --- Table Storage ----------------------------------------------------------------------------

ENTITIES = f"{TABLES}/tables/entities"
ADD, UPDATE = f"{ENTITIES}/add/action", f"{ENTITIES}/update/action"
WRITE = frozenset({f"{ENTITIES}/write"})


def _one(action: str) -> AnyOf:
    return (frozenset({action}),)


def table_needs(
    method: str, target: str, headers: dict[str, str], body: bytes
) -> list[tuple[str, AnyOf]]:
    """The operations of a request, with the actions that each requires. A transaction has several.

    `target` is path and query; header names are in lower case.
    """
    parts = urlsplit(target)
    path = re.sub(r"^/devstoreaccount1", "", parts.path).lstrip("/")
    if path == "$batch":
        return [
            need
            for inner_method, inner_target, inner_headers in _transaction(body)
            for need in table_needs(inner_method, inner_target, inner_headers, b"")
        ]
    method = headers.get("x-http-method", method)  # a MERGE may be sent as a POST
    component = parse_qs(parts.query).get("comp", [""])[0]
    return [_table_need(method, path, component, conditional="if-match" in headers)]


def _table_need(method: str, path: str, component: str, *, conditional: bool) -> tuple[str, AnyOf]:
    reads = method in {"GET", "HEAD"}
    if component == "properties":
        verb = "read" if reads else "write"
        return f"{verb} table service properties", _one(f"{TABLES}/{verb}")
    if component == "acl":
        verb = "getAcl" if reads else "setAcl"
        return f"{verb} of a table", _one(f"{TABLES}/tables/{verb}/action")
    if path == "Tables" or path.startswith("Tables("):
        verb = {"GET": "read", "POST": "write", "DELETE": "delete"}[method]
        return f"{verb} table", _one(f"{TABLES}/tables/{verb}")
    if reads:
        return "query entities", _one(f"{ENTITIES}/read")
    if method == "POST":
        return "insert entity", (WRITE, frozenset({ADD}))
    if method == "DELETE":
        return "delete entity", _one(f"{ENTITIES}/delete")
    if method in {"PUT", "PATCH", "MERGE"} and conditional:
        return "update entity", (WRITE, frozenset({UPDATE}))
    if method in {"PUT", "PATCH", "MERGE"}:
        return "insert or update entity", (WRITE, frozenset({ADD, UPDATE}))
    return f"{method} {path}", ()


def _transaction(body: bytes) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Method, target and headers of each request in a multipart body."""
    text = body.decode("utf-8", errors="replace")
    pattern = r"^(GET|POST|PUT|PATCH|MERGE|DELETE) (\S+) HTTP/1\.1\r?\n((?:[^\r\n]+\r?\n)*)"
    for method, url, lines in re.findall(pattern, text, re.MULTILINE):
        parts = urlsplit(url)
        headers = dict(re.findall(r"^([\w-]+):\s*(.*?)\r?$", lines, re.MULTILINE))
        yield method, f"{parts.path}?{parts.query}", {k.lower(): v for k, v in headers.items()}


# --- Web PubSub -------------------------------------------------------------------------------

_ID = r"[^/]+"
_ROUTES = [
    ("POST", rf"/api/hubs/{_ID}/:send", "hub/send/action"),
    ("POST", rf"/api/hubs/{_ID}/:generateToken", "clientConnection/generateToken/action"),
    ("POST", rf"/api/hubs/{_ID}/:(addToGroups|removeFromGroups)", "group/write"),
    ("POST", rf"/api/hubs/{_ID}(/groups/{_ID}|/users/{_ID})?/:closeConnections",
     "clientConnection/write"),
    ("POST", rf"/api/hubs/{_ID}/groups/{_ID}/:send", "group/send/action"),
    ("POST", rf"/api/hubs/{_ID}/users/{_ID}/:send", "user/send/action"),
    ("POST", rf"/api/hubs/{_ID}/connections/{_ID}/:send", "clientConnection/send/action"),
    ("HEAD", rf"/api/hubs/{_ID}/groups/{_ID}", "group/read"),
    ("HEAD", rf"/api/hubs/{_ID}/users/{_ID}", "user/read"),
    ("HEAD", rf"/api/hubs/{_ID}/connections/{_ID}", "clientConnection/read"),
    ("GET", rf"/api/hubs/{_ID}/groups/{_ID}/connections", "group/read"),
    ("DELETE", rf"/api/hubs/{_ID}/connections/{_ID}", "clientConnection/write"),
    ("PUT|DELETE", rf"/api/hubs/{_ID}/groups/{_ID}/connections/{_ID}", "group/write"),
    ("PUT|DELETE", rf"/api/hubs/{_ID}/users/{_ID}/groups/{_ID}", "group/write"),
    ("DELETE", rf"/api/hubs/{_ID}/(users|connections)/{_ID}/groups", "group/write"),
    ("HEAD", rf"/api/hubs/{_ID}/users/{_ID}/groups/{_ID}", "group/read"),
]  # fmt: skip


def webpubsub_needs(method: str, target: str) -> list[tuple[str, AnyOf]]:
    """The actions that a REST call requires; the health check requires none."""
    path = urlsplit(target).path
    if path == "/api/health":
        return []
    for methods, pattern, action in _ROUTES:
        if re.fullmatch(methods, method) and re.fullmatch(pattern, path):
            return [(action, _one(f"{WEBPUBSUB}/{action}"))]
    return [(f"{method} {path}", ())]
