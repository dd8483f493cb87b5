"""What only Azure knows about a deployment, as JSON for `make doctor URL=...`.

    azd env exec -- python3 infra/hooks/inspect_deployment.py       (or the values as variables)

Each finding has `check`, `state` (ok or failed) and `message`. Nothing is changed. The master key
of the host is read, for the status of the functions, and is not printed.
"""

import json
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from azure_api import HookError, ResourceManager, request, require, run_hook

WEB = "2025-05-01"
WEBPUBSUB = "2024-03-01"
STORAGE = "2025-06-01"
ROLES = "2022-04-01"

NEEDED_ROLES = {
    "STORAGE_ID": {
        "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
        "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    },
    "WEBPUBSUB_ID": {"12cf5a90-567b-43ae-8102-96cf46c7d9b4": "Web PubSub Service Owner"},
}
"""What the app's identity needs, by the resource on which it needs it."""


CONNECT = "Run `azd hooks run postdeploy`."


def main() -> None:
    manager = ResourceManager()
    checks: dict[str, Callable[[ResourceManager], str]] = {
        "handler": check_handler,
        "roles": check_roles,
        "regions": check_regions,
        "functions": check_functions,
    }
    findings = [find(name, check, manager) for name, check in checks.items()]
    print(json.dumps({"findings": findings}))


def find(
    name: str, check: Callable[[ResourceManager], str], manager: ResourceManager
) -> dict[str, str]:
    try:
        return {"check": name, "state": "ok", "message": check(manager)}
    except HookError as error:
        return {"check": name, "state": "failed", "message": str(error)}


def check_handler(manager: ResourceManager) -> str:
    """The hub has one event handler, the app's, with the token that the app expects."""
    hub = f"{require('WEBPUBSUB_ID')}/hubs/{os.environ.get('WEBPUBSUB_HUB') or 'townsquare'}"
    app, audience = urlsplit(require("APP_URL")).hostname, require("WEBHOOK_AUDIENCE")
    properties = manager.get(hub, WEBPUBSUB)["properties"]
    handlers = properties.get("eventHandlers") or []
    hosts = [str(urlsplit(one["urlTemplate"]).hostname) for one in handlers]
    if hosts != [app]:
        raise HookError(
            f"The hub sends events to {', '.join(hosts) or 'no app'}; expected {app}. {CONNECT}"
        )
    handler = handlers[0]
    given = ((handler.get("auth") or {}).get("managedIdentity") or {}).get("resource")
    missing = {"connect", "connected", "disconnected"} - set(handler.get("systemEvents") or [])
    if given != audience or missing or handler.get("userEventPattern") != "*":
        raise HookError(
            f"The hub's event handler has the token audience {given}, lacks the system events "
            f"{', '.join(sorted(missing)) or 'none'} and the user events are "
            f"{handler.get('userEventPattern')}; expected {audience}, none and *. {CONNECT}"
        )
    return f"the hub sends all events to {app}"


def check_roles(manager: ResourceManager) -> str:
    """The identity of the app has its roles. Whether they are in force, the health report shows."""
    site = manager.get(require("APP_ID"), WEB)
    identities = (site.get("identity") or {}).get("userAssignedIdentities") or {}
    principals = {one["principalId"] for one in identities.values()}
    for name, needed in NEEDED_ROLES.items():
        resource = require(name)
        path = f"{resource}/providers/Microsoft.Authorization/roleAssignments"
        assigned = [one["properties"] for one in manager.get(path, ROLES)["value"]]
        given = {
            one["roleDefinitionId"].rpartition("/")[2].lower()
            for one in assigned
            if one["principalId"] in principals
        }
        missing = [role for identifier, role in needed.items() if identifier not in given]
        if missing:
            raise HookError(
                f"The app's identity lacks {' and '.join(missing)} on "
                f"{resource.rpartition('/')[2]}. Run `azd provision`."
            )
    return "the app's identity has its roles"


def check_regions(manager: ResourceManager) -> str:
    """App, storage and Web PubSub are in one region; else every message crosses between two."""
    versions = {"APP_ID": WEB, "STORAGE_ID": STORAGE, "WEBPUBSUB_ID": WEBPUBSUB}
    regions = {
        name: manager.get(require(name), version)["location"].replace(" ", "").lower()
        for name, version in versions.items()
    }
    if len(set(regions.values())) > 1:
        places = ", ".join(f"{name[:-3].lower()} in {region}" for name, region in regions.items())
        raise HookError(f"The resources are in different regions: {places}. Expected one region.")
    return f"everything is in {regions['APP_ID']}"


def check_functions(manager: ResourceManager) -> str:
    """Every function was loaded; the host only logs a bad schedule or an unset %NAME%."""
    app, url = require("APP_ID"), require("APP_URL")
    listed = manager.get(f"{app}/functions", WEB)["value"]
    names = [one["properties"].get("name") or one["name"].rpartition("/")[2] for one in listed]
    if not names:
        raise HookError("The app has no functions. Look at its log stream; run `azd deploy`.")
    key = manager.post(f"{app}/host/default/listkeys", WEB)["masterKey"]
    broken = []
    for name in names:
        response = request("GET", f"{url}/admin/functions/{name}/status", {"x-functions-key": key})
        if response.status != 200:
            raise HookError(f"The host returned {response.status} for the status of {name}.")
        status: Any = response.json
        if errors := status.get("errors"):
            broken.append(f"{name} ({errors[0]})")
    if broken:
        raise HookError(f"The host could not load {'; '.join(broken)}. Correct that and deploy.")
    return f"{len(names)} functions are loaded"


if __name__ == "__main__":
    run_hook(main)
