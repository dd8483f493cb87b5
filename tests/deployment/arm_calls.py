"""The paths of Azure Resource Manager, from the operations of Microsoft's Python libraries."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import azure.mgmt.authorization
import azure.mgmt.keyvault
import azure.mgmt.resource.resources
import azure.mgmt.web
import azure.mgmt.webpubsub

LIBRARIES = [
    azure.mgmt.authorization,
    azure.mgmt.keyvault,
    azure.mgmt.resource.resources,
    azure.mgmt.web,
    azure.mgmt.webpubsub,
]

GROUP = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers"

DOCUMENTED = [
    # learn.microsoft.com/rest/api/resources/subscriptions/get
    "/subscriptions/{subscriptionId}",
    # learn.microsoft.com/azure/app-service/app-service-key-vault-references
    f"{GROUP}/Microsoft.Web/sites/{{name}}/config/configreferences/appsettings/refresh",
    # learn.microsoft.com/rest/api/authorization/permissions has it for groups and resources
    "/subscriptions/{subscriptionId}/providers/Microsoft.Authorization/permissions",
    # a resource by its id; the libraries have a path for each type
    f"{GROUP}/{{provider}}/{{type}}/{{name}}",
]
"""Paths that the libraries do not have."""


@cache
def templates() -> list[re.Pattern[str]]:
    found = set(DOCUMENTED)
    for library in LIBRARIES:
        for path in Path(library.__path__[0]).rglob("*.py"):
            if "operations" in path.parts and "aio" not in path.parts:
                found |= set(re.findall(r'"(/[^"\s]*\{[^"\s]*)"', path.read_text()))
    return [_pattern(one) for one in found]


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\})", template)
    text = "".join(
        (".+" if part == "{scope}" else "[^/]+") if part.startswith("{") else re.escape(part)
        for part in parts
    )
    # A scope begins with a slash of its own.
    return re.compile(text.replace("/.+", "/?.+", 1), re.IGNORECASE)


def find_unknown(calls: Iterable[str]) -> list[str]:
    """The calls (method and path) of Azure Resource Manager whose path no library has."""
    paths = {call.partition(" ")[2] for call in calls if " /subscriptions/" in call}
    return sorted(path for path in paths if not any(one.fullmatch(path) for one in templates()))
