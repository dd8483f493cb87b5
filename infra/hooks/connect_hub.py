"""After the deployment: Web PubSub is told where its events go, and we look whether that works.

The address holds the function's key, which exists only now. The order: the app is well, the app
consents to the service's handshake, then the hub gets its handler. It may be run again at any time,
and must be after the key was renewed.
"""

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlsplit

from az import HookError, needed, rest, told

FUNCTION = "pubsub_events"
WEB = "2024-04-01"
WEBPUBSUB = "2024-03-01"

PATIENCE = float(os.environ.get("HOOK_PATIENCE", "600"))
"""Seconds until the app must be well: roles take up to ten minutes to be known everywhere."""

PAUSE = 5.0


def main() -> None:
    app, service = needed("APP_ID"), needed("WEBPUBSUB_ID")
    url, origin = needed("APP_URL"), urlsplit(needed("WEBPUBSUB_ENDPOINT")).hostname or ""
    print(f"The app answers: {await_health(url)}")

    key = rest("post", f"{app}/functions/{FUNCTION}/listkeys", WEB)["default"]
    webhook = f"{url}/api/pubsub/events?code={quote(key)}"
    print(f"The app consents to events from {consent(webhook, origin)}.")

    hub = f"{service}/hubs/{os.environ.get('WEBPUBSUB_HUB') or 'townsquare'}"
    rest("put", hub, WEBPUBSUB, settings(webhook, needed("WEBHOOK_AUDIENCE")))
    kept = await_settings(hub)["eventHandlers"]
    if [one["urlTemplate"] for one in kept] != [webhook]:
        raise HookError(f"The hub has {len(kept)} event handlers, and ours is not the only one.")
    print(f"The hub sends its events to {url}/api/pubsub/events.\nOpen {url}/")


def settings(webhook: str, audience: str) -> dict[str, Any]:
    """The hub: every event comes to us with the service's token; no client comes in without one."""
    handler = {
        "urlTemplate": webhook,
        "userEventPattern": "*",
        "systemEvents": ["connect", "connected", "disconnected"],
        "auth": {"type": "ManagedIdentity", "managedIdentity": {"resource": audience}},
    }
    return {"properties": {"anonymousConnectPolicy": "deny", "eventHandlers": [handler]}}


def await_health(url: str) -> str:
    """What the app says of itself once it is well."""
    deadline = time.monotonic() + PATIENCE
    while True:
        status, _, body = ask(f"{url}/api/health")
        if status == 200:
            return body
        if time.monotonic() > deadline:
            raise HookError(
                f"{url}/api/health answered {status or 'nothing'} for {PATIENCE:.0f} s: {body}\n"
                "Look at the app's log stream, then run `azd hooks run postdeploy`."
            )
        time.sleep(min(PAUSE, PATIENCE / 10))


def await_settings(hub: str) -> Any:
    """What the hub is set to, once Azure has put it into effect."""
    deadline = time.monotonic() + PATIENCE
    while True:
        properties = rest("get", hub, WEBPUBSUB)["properties"]
        state = properties.get("provisioningState", "Succeeded")
        if state == "Succeeded":
            return properties
        if state in {"Failed", "Canceled"} or time.monotonic() > deadline:
            raise HookError(f"Azure says of the hub's settings: {state}.")
        time.sleep(min(PAUSE, PATIENCE / 10))


def consent(webhook: str, origin: str) -> str:
    """Who the app lets send it events, asked as the service asks (CloudEvents' handshake)."""
    status, headers, body = ask(webhook, "OPTIONS", {"WebHook-Request-Origin": origin})
    allowed = headers.get("webhook-allowed-origin", "")
    if not 200 <= status < 300 or allowed.lower() not in {"*", origin.lower()}:
        raise HookError(
            f"The webhook answered {status} and allows {allowed or 'nobody'}; expected 204 and "
            f"{origin}. Is WEBPUBSUB_ENDPOINT of the app https://{origin}? {body}"
        )
    return allowed


def ask(
    url: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], str]:
    """Status, headers by lower-case name, and text; status 0 where nobody answers."""
    request = urllib.request.Request(url, method=method, headers=headers or {})  # noqa: S310 - azd names it
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, _lower(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, _lower(error.headers), error.read().decode(errors="replace")
    except OSError as error:
        return 0, {}, json.dumps(str(error))


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


if __name__ == "__main__":
    told(main)
