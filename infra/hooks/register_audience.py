"""Before provisioning: the app registration whose name is the audience of Web PubSub's tokens.

Web PubSub authenticates its events with Entra tokens. A token needs an audience, which is an app
registration. It is made once and stored in the azd environment: WEBHOOK_AUDIENCE, and
WEBHOOK_REGISTRATION, by which `azd down` removes it. A user who may not register applications
asks an administrator for one with an application ID URI, and runs

    azd env set WEBHOOK_AUDIENCE api://<application id>
"""

import os
from typing import Any
from urllib.parse import quote

from azure_api import SETTLING, Api, CallError, HookError, graph, require, run_hook, set_value

UPSERT = {"Prefer": "create-if-missing"}
"""Makes PATCH create what is missing, so a call that is repeated makes nothing twice:
learn.microsoft.com/graph/api/application-upsert"""

RETRY = SETTLING - {403}
"""403 means that the login has no right, which no further attempt changes."""


def main() -> None:
    if audience := os.environ.get("WEBHOOK_AUDIENCE"):
        print(f"Web PubSub authenticates its events with tokens for {audience}.")
        return
    name = f"townsquare-events-{require('AZURE_ENV_NAME')}-{require('AZURE_SUBSCRIPTION_ID')}"
    audience = register(graph(), name)
    set_value("WEBHOOK_REGISTRATION", name)
    set_value("WEBHOOK_AUDIENCE", audience)
    print(f"Registered {audience}: Web PubSub authenticates its events with tokens for it.")


def register(api: Api, name: str) -> str:
    """The application ID URI of the registration with that unique name."""
    path = f"/v1.0/applications(uniqueName='{quote(name)}')"
    try:
        # Version 2 of the tokens; the app accepts both. Only this directory may use the name.
        application = {
            "displayName": name,
            "signInAudience": "AzureADMyOrg",
            "api": {"requestedAccessTokenVersion": 2},
        }
        api.call("PATCH", path, application, headers=UPSERT, retry=RETRY)
        found: Any = api.call("GET", path, retry=RETRY).json
        audience = f"api://{found['appId']}"
        if audience not in found.get("identifierUris", []):
            api.call("PATCH", path, {"identifierUris": [audience]}, retry=RETRY)
        # Tokens are issued only for an application that has a principal in this directory.
        principal = f"/v1.0/servicePrincipals(appId='{found['appId']}')"
        api.call("PATCH", principal, {"displayName": name}, headers=UPSERT, retry=RETRY)
    except CallError as error:
        if error.status != 403:
            raise
        raise HookError(
            f"{error}\nThe login of azd may not register applications. Ask an administrator for a "
            "registration with an application ID URI, then run `azd env set WEBHOOK_AUDIENCE "
            "api://<application id>` and the command again."
        ) from None
    return audience


if __name__ == "__main__":
    run_hook(main)
