"""Before provisioning: the values of the azd environment, the login, its rights, the region, names.

A failed check names what to change; the next `azd up` continues there.
"""

import os
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from azure_api import CallError, HookError, ResourceManager, run_hook

PARAMETERS = Path(__file__).parent.parent / "main.parameters.json"

NEEDED_ACTIONS = [
    "Microsoft.Resources/deployments/write",
    "Microsoft.Resources/subscriptions/resourceGroups/write",
    "Microsoft.Authorization/roleAssignments/write",
]

FORBIDDEN = {'"': "a double quote", "\\": "a backslash", "\n": "a line break", "\r": "a line break"}
"""azd puts the values into main.parameters.json as text, where these end or change the value."""


IDENTITIES = {
    "guest": (),
    "easyauth": ("AUTHENTICATION_CLIENT_ID",),
    "oidc": ("OIDC_ISSUER", "OIDC_AUDIENCE"),
}
"""The values of IDENTITY, each with the values that it needs."""


def main() -> None:
    check_values()
    print(describe_access())
    subscription = os.environ.get("AZURE_SUBSCRIPTION_ID", "")
    if not subscription:
        return  # `azd up` has not asked for it yet; the hook runs again before provisioning
    manager = ResourceManager()
    scope = f"/subscriptions/{subscription}"
    check_subscription(manager, scope)
    check_rights(manager, scope)
    check_region(manager, scope, os.environ.get("AZURE_LOCATION", ""))
    check_names(manager, scope, os.environ.get("AZURE_ENV_NAME", ""))
    if os.environ.get("VNET_ENABLED", "").lower() == "true":
        # Flex Consumption joins a network through this provider, which deployments do not register.
        manager.post(f"{scope}/providers/Microsoft.App/register", "2021-04-01")
    print("Values, login, rights, region and names are right.")


def check_values() -> None:
    """Raise HookError for a value that the templates cannot take."""
    problems: list[str] = []
    text = PARAMETERS.read_text(encoding="utf-8")
    for name, _, default in re.findall(r'\$\{(\w+)(=([^}"]*))?\}', text):
        value = os.environ.get(name, "")
        problems += [f"{name} has {what}" for sign, what in FORBIDDEN.items() if sign in value]
        if value and re.fullmatch(r"-?\d+", default) and not re.fullmatch(r"-?\d+(\.\d+)?", value):
            problems.append(f"{name} is {value!r}, not a number")
        if value and default in {"true", "false"} and value not in {"true", "false"}:
            problems.append(f"{name} is {value!r}, not true or false")
    units = os.environ.get("WEBPUBSUB_UNITS") or "1"
    of_profile = "Free_F1" if os.environ.get("DEPLOYMENT_PROFILE") == "trial" else ""
    if (os.environ.get("WEBPUBSUB_SKU") or of_profile) == "Free_F1" and units != "1":
        problems.append("WEBPUBSUB_UNITS is not 1, but Free_F1 has one unit")
    if (os.environ.get("MONTHLY_BUDGET") or "0") != "0" and not os.environ.get("ALERT_EMAIL"):
        problems.append("MONTHLY_BUDGET needs ALERT_EMAIL, the address for its mails")
    problems += check_identity(os.environ.get("IDENTITY", ""))
    if problems:
        raise HookError(
            "Change these values with `azd env set NAME VALUE`: "
            f"{'; '.join(sorted(set(problems)))}."
        )


def check_identity(identity: str) -> list[str]:
    """What is wrong with the choice of IDENTITY. Without one azd asks, or stops."""
    if identity and identity not in IDENTITIES:
        return [f"IDENTITY is {identity!r}, not {', '.join(IDENTITIES)}"]
    needed = IDENTITIES.get(identity, ())
    return [f"IDENTITY={identity} needs {name}" for name in needed if not os.environ.get(name)]


def describe_access() -> str:
    """Who may enter, in a sentence; it offers what a public service may want instead."""
    identity = os.environ.get("IDENTITY", "")
    if not identity:
        return (
            "Nobody has chosen who may enter: azd asks for identityProvider. With --no-prompt it "
            "stops; choose with `azd env set IDENTITY guest` (everybody, under a name of their "
            "choice), `easyauth` or `oidc` (accounts)."
        )
    rooms = "Rooms are those that a server has created (ROOMS=listed)."
    if os.environ.get("ROOMS", "open") != "listed":
        rooms = (
            "Every name is a room (ROOMS=open); `azd env set ROOMS listed` allows only rooms that "
            "a server has created."
        )
    who = "Everybody may enter, as a guest" if identity == "guest" else "Accounts may enter"
    return f"{who} (IDENTITY={identity}). {rooms}"


def check_subscription(manager: ResourceManager, scope: str) -> None:
    try:
        state = manager.get(scope, "2022-12-01").get("state", "Enabled")
    except CallError as error:
        if error.status in {403, 404}:
            raise HookError(
                f"The login of azd has no access to the subscription {scope[15:]}. Sign in with "
                "another account (`azd auth login`), or choose another subscription "
                "(`azd env set AZURE_SUBSCRIPTION_ID <id>`)."
            ) from None
        raise
    if state != "Enabled":
        raise HookError(
            f"The subscription {scope[15:]} is {state}; only an enabled one can be used."
        )


def check_rights(manager: ResourceManager, scope: str) -> None:
    """Compare the actions that Azure grants to the login with those that a deployment needs."""
    path = f"{scope}/providers/Microsoft.Authorization/permissions"
    granted = manager.get(path, "2022-04-01")["value"]
    missing = [one for one in NEEDED_ACTIONS if not is_granted(one, granted)]
    if missing:
        raise HookError(
            "The login of azd lacks rights on the subscription: it needs the role Owner, or "
            "Contributor together with Role Based Access Control Administrator. Missing: "
            f"{', '.join(missing)}. An Owner can assign the roles."
        )


def is_granted(action: str, permissions: list[dict[str, Any]]) -> bool:
    """Whether one of the permissions has the action and does not take it away again."""
    return any(
        _matches(action, one.get("actions", [])) and not _matches(action, one.get("notActions", []))
        for one in permissions
    )


def check_region(manager: ResourceManager, scope: str, region: str) -> None:
    """Web PubSub is offered in fewer regions than Flex Consumption, or in others."""
    provider = manager.get(f"{scope}/providers/Microsoft.SignalRService", "2021-04-01")
    kinds = {one["resourceType"].lower(): one for one in provider["resourceTypes"]}
    offered = sorted(_region(one) for one in kinds["webpubsub"]["locations"])
    if region and _region(region) not in offered:
        raise HookError(
            f"Web PubSub is not offered in {region}. Choose another region with "
            f"`azd env set AZURE_LOCATION <region>`: {', '.join(offered)}."
        )


def check_names(manager: ResourceManager, scope: str, environment: str) -> None:
    """Raise HookError if the names of the environment are in use for something else."""
    name = f"rg-{environment}"
    if environment and not re.fullmatch(r"[A-Za-z0-9_().-]{0,63}[A-Za-z0-9_()-]", environment):
        raise HookError(
            f"The environment name {environment!r} is not usable; expected letters, "
            "digits, hyphens and underscores. Make another with `azd env new <name>`."
        )
    group = manager.get(f"{scope}/resourcegroups/{name}", "2021-04-01", accept=frozenset({404}))
    if group is None:
        check_deleted_vaults(manager, scope, name)
    elif (group.get("tags") or {}).get("azd-env-name") != environment:
        raise HookError(
            f"The resource group {name} exists and does not belong to this azd environment. Delete "
            "or rename it, or make an environment with another name: `azd env new <name>`."
        )


def check_deleted_vaults(manager: ResourceManager, scope: str, group: str) -> None:
    """A deleted vault keeps its name until it is purged, and a new environment needs that name."""
    path = f"{scope}/providers/Microsoft.KeyVault/deletedVaults"
    deleted = manager.get(path, "2022-07-01")["value"]
    vaults = [
        one for one in deleted if f"/{group}/".lower() in one["properties"]["vaultId"].lower()
    ]
    if vaults:
        raise HookError(
            f"The name of the vault {vaults[0]['name']} is taken by a deleted one. Purge it in the "
            "portal (Key vaults, Manage deleted vaults), or make an environment with another name: "
            "`azd env new <name>`."
        )


def _matches(action: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(action.lower(), one.lower()) for one in patterns)


def _region(name: str) -> str:
    return name.replace(" ", "").lower()


if __name__ == "__main__":
    run_hook(main)
