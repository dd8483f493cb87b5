"""Before provisioning: the name that Web PubSub's tokens for our webhook are made out to.

The service proves its events with an Entra token. A token needs an audience, and an audience is an
app registration. One is made the first time and its id kept in the azd environment; who may not
register applications asks somebody who may, and runs

    azd env set WEBHOOK_AUDIENCE api://<its application id>
"""

import os

from az import HookError, az, needed, run, told


def main() -> None:
    if known := os.environ.get("WEBHOOK_AUDIENCE"):
        print(f"Events are proved by tokens for {known}.")
        return
    audience = register(f"townsquare-events-{needed('AZURE_ENV_NAME')}")
    run("azd", "env", "set", "WEBHOOK_AUDIENCE", audience)
    print(f"Registered {audience}: Web PubSub proves its events with tokens for it.")


def register(name: str) -> str:
    """The application id URI of the registration of that name, made where it is missing."""
    try:
        found = az("ad", "app", "list", "--filter", f"displayName eq '{name}'")
        app = found[0] if found else az("ad", "app", "create", "--display-name", name)
        audience = f"api://{app['appId']}"
        if audience not in app.get("identifierUris", []):
            az("ad", "app", "update", "--id", app["appId"], "--identifier-uris", audience)
        # Tokens are given only for an application that has a principal in this directory.
        if not az("ad", "sp", "list", "--filter", f"appId eq '{app['appId']}'"):
            az("ad", "sp", "create", "--id", app["appId"])
    except HookError as error:
        raise HookError(
            f"{error}\nIf you may not register applications: have one made with an application id "
            "URI, then `azd env set WEBHOOK_AUDIENCE api://<its application id>`."
        ) from None
    return audience


if __name__ == "__main__":
    told(main)
