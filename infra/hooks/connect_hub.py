"""After the deployment: connects Web PubSub to the app, and checks that events arrive.

The URL of the event handler contains a function key, which exists only now. The steps: the settings
name the audience, the app is healthy, it accepts the service's validation request, the hub gets its
event handler, and a client connects, for which the service must deliver an event with its token.
Every step can be repeated; the hook is run again after the function key was renewed.
"""

import http.client
import json
import os
import time
from typing import Any
from urllib.parse import quote, urlsplit

from azure_api import (
    REQUEST_TIMEOUT_SECONDS,
    SETTLING,
    TIMEOUT_SECONDS,
    CallError,
    HookError,
    ResourceManager,
    repeat,
    request,
    require,
    run_hook,
)

FUNCTION = "pubsub_events"
WEBHOOK_PATH = "/api/pubsub/events"
WEB = "2025-05-01"
WEBPUBSUB = "2024-03-01"

REFRESH_SECONDS = 30.0
"""Between two refreshes of the vault references while the app is not healthy."""

LOOK = "Look at the app's log stream, then run `azd hooks run postdeploy`."


def main() -> None:
    manager = ResourceManager()
    app, url = require("APP_ID"), require("APP_URL")
    service = require("WEBPUBSUB_ID")
    origin = urlsplit(require("WEBPUBSUB_ENDPOINT")).hostname or ""
    audience = require("WEBHOOK_AUDIENCE")
    hub = f"{service}/hubs/{os.environ.get('WEBPUBSUB_HUB') or 'townsquare'}"

    set_audience(manager, app, audience)
    refresh_secrets(manager, app)
    print(f"The app is healthy: {await_health(manager, app, url)}", flush=True)
    key = read_key(manager, app)
    webhook = f"{url}{WEBHOOK_PATH}?code={quote(key, safe='')}"
    validate(webhook, origin)
    print(f"The app accepts events from {origin}.", flush=True)
    set_handler(manager, hub, webhook, audience)
    print(f"The hub sends its events to {url}{WEBHOOK_PATH}.", flush=True)
    print(check_delivery(url))
    print(f"Open {url}/")


def set_audience(manager: ResourceManager, app: str, audience: str) -> None:
    """Give the app the audience if provisioning read its parameters before there was one."""
    settings = manager.post(f"{app}/config/appsettings/list", WEB, retry=SETTLING)["properties"]
    known = str(settings.get("WEBHOOK_AUDIENCE", "")).split(",")
    if audience in known:
        return
    names = dict.fromkeys([audience, audience.replace("api://", "", 1)])
    settings["WEBHOOK_AUDIENCE"] = ",".join(names)
    manager.put(f"{app}/config/appsettings", WEB, {"properties": settings}, retry=SETTLING)
    print(f"The app accepts events with tokens for {audience}.", flush=True)


def await_health(manager: ResourceManager, app: str, url: str) -> str:
    """The app's health report, once it is healthy.

    Until then the vault references are refreshed, and at half the time the app is restarted.
    """
    began = refreshed = time.monotonic()
    restarted = False
    problem = ""

    def attempt() -> str | None:
        nonlocal refreshed, restarted, problem
        response = request("GET", f"{url}/api/health")
        if response.status == 200:
            return response.text
        problem = f"/api/health returned {response.status or 'nothing'}: {response.text[:300]}"
        now = time.monotonic()
        if not restarted and now - began > TIMEOUT_SECONDS / 2:
            restarted = True
            _try(manager, f"{app}/restart")
        elif now - refreshed > REFRESH_SECONDS:
            refreshed = now
            refresh_secrets(manager, app)
        return None

    try:
        return str(repeat("the app", attempt, lambda: problem))
    except HookError as error:
        raise HookError(f"{error}\n{read_details(manager, app, url)}{LOOK}") from None


def read_details(manager: ResourceManager, app: str, url: str) -> str:
    """The health report that names what is down, as a line; empty if it cannot be read."""
    try:
        keys = manager.post(f"{app}/host/default/listkeys", WEB, retry=frozenset())
    except CallError:
        return ""
    key = (keys.get("functionKeys") or {}).get("default", "")
    response = request("GET", f"{url}/api/health/details", {"x-functions-key": key})
    return f"/api/health/details: {response.text[:1000]}\n" if response.status in {200, 503} else ""


def refresh_secrets(manager: ResourceManager, app: str) -> None:
    """Let the platform read the vault references again.

    A value, also one that could not be read, stays for up to 24 hours otherwise:
    learn.microsoft.com/azure/app-service/app-service-key-vault-references
    """
    _try(manager, f"{app}/config/configreferences/appsettings/refresh")


def read_key(manager: ResourceManager, app: str) -> str:
    """The key of the webhook's function, which the platform knows some time after the app."""
    path = f"{app}/functions/{FUNCTION}/listkeys"
    found: dict[str, Any] = {}

    def attempt() -> str | None:
        found.update(manager.post(path, WEB, retry=SETTLING) or {})
        return found.get("default")

    return str(repeat("the function key", attempt, lambda: "the function has no key yet"))


def validate(webhook: str, origin: str) -> None:
    """Ask the app as the service does whether it accepts events (CloudEvents abuse protection)."""
    problem = ""

    def attempt() -> bool | None:
        nonlocal problem
        response = request("OPTIONS", webhook, {"WebHook-Request-Origin": origin})
        allowed = response.headers.get("webhook-allowed-origin", "")
        if 200 <= response.status < 300 and allowed.lower() in {"*", origin.lower()}:
            return True
        problem = (
            f"it returned {response.status} and accepts events from {allowed or 'no service'}; "
            f"expected 204 and {origin}"
        )
        if response.status == 400:  # the app's own response; others are temporary
            raise HookError(
                f"The webhook is wrong: {problem}. Is that the app's WEBPUBSUB_ENDPOINT?"
            )
        return None

    repeat("the webhook", attempt, lambda: problem)


def set_handler(manager: ResourceManager, hub: str, webhook: str, audience: str) -> None:
    """Set the hub's event handler and wait until it is in force; other properties stay."""
    # infra/webpubsub.bicep has made the hub, so a 404 is out of date and nothing to build on.
    properties = dict(manager.get(hub, WEBPUBSUB, retry=SETTLING)["properties"])
    check_foreign_handlers(properties.get("eventHandlers") or [], webhook)
    handler = {
        "urlTemplate": webhook,
        "userEventPattern": "*",
        "systemEvents": ["connect", "connected", "disconnected"],
        "auth": {"type": "ManagedIdentity", "managedIdentity": {"resource": audience}},
    }
    state = properties.pop("provisioningState", "Succeeded")
    wanted = {**properties, "anonymousConnectPolicy": "deny", "eventHandlers": [handler]}
    if wanted != properties or state != "Succeeded":
        # 409: an earlier change of the hub or of the service is not finished.
        manager.put(hub, WEBPUBSUB, {"properties": wanted}, retry=SETTLING)
    stored = await_hub(manager, hub)
    if [one["urlTemplate"] for one in stored.get("eventHandlers") or []] != [webhook]:
        raise HookError(f"The hub's event handler was changed at the same time. {LOOK}")


def check_foreign_handlers(handlers: list[dict[str, Any]], webhook: str) -> None:
    """Raise HookError if the hub has an event handler of another app."""
    ours = urlsplit(webhook).hostname
    hosts = [str(urlsplit(one.get("urlTemplate", "")).hostname) for one in handlers]
    foreign = [host for host in hosts if host != ours]
    if foreign and os.environ.get("HUB_OVERWRITE", "").lower() != "true":
        raise HookError(
            f"The hub has an event handler at {', '.join(foreign)}, which this hook did not set. "
            "Remove it in the portal (Web PubSub, Settings), or replace it with `azd env set "
            "HUB_OVERWRITE true`; then run `azd hooks run postdeploy`."
        )


def await_hub(manager: ResourceManager, hub: str) -> dict[str, Any]:
    state = ""

    def attempt() -> dict[str, Any] | None:
        nonlocal state
        found = manager.get(hub, WEBPUBSUB, retry=SETTLING)["properties"]
        state = found.get("provisioningState", "Succeeded")
        if state in {"Failed", "Canceled"}:
            raise HookError(
                f"The state of the hub's settings in Azure is {state}. Run the hook again."
            )
        return dict(found) if state == "Succeeded" else None

    return dict(repeat("the hub", attempt, lambda: f"its settings are {state}"))


def check_delivery(url: str) -> str:
    """Connect as a guest: Web PubSub must deliver `connect` with a token that the app accepts."""
    if (os.environ.get("IDENTITY") or "guest") != "guest":
        return "Without guests the delivery of events was not checked. Sign in to check it."
    problem = ""

    def attempt() -> bool | None:
        nonlocal problem
        response = request("POST", f"{url}/api/negotiate", body={"user_id": "deployment"})
        if response.status != 200:
            problem = (
                f"/api/negotiate returned {response.status or 'nothing'}: {response.text[:300]}"
            )
            return None
        status, reason = open_socket(json.loads(response.text)["url"])
        problem = (
            f"Web PubSub returned {status} {reason}, so its `connect` event failed. The app's log "
            "shows whether it rejected the token; without such a line the event did not arrive"
        )
        return True if status == 101 else None

    repeat("a first connection", attempt, lambda: problem)
    return "A client connected: events arrive, and the app accepts the service's token."


def open_socket(url: str) -> tuple[int, str]:
    """Status and reason of a WebSocket handshake; the connection is closed at once."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "wss" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=REQUEST_TIMEOUT_SECONDS)
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dG93bnNxdWFyZS1ob29rIQ==",
        "Sec-WebSocket-Protocol": "json.webpubsub.azure.v1",
    }
    try:
        connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    else:
        return response.status, response.reason
    finally:
        connection.close()


def _try(manager: ResourceManager, action: str) -> None:
    """Call an action that may help; if it fails, waiting goes on without it."""
    try:
        manager.post(action, WEB, retry=frozenset())
    except CallError as error:
        print(f"{error}", flush=True)


if __name__ == "__main__":
    run_hook(main)
