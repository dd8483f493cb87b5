"""Checks of the app over HTTP: its health, its clock, negotiate and the webhook."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from local.doctor.findings import WHERE_TO_SET, CheckFailedError, CheckSkippedError
from local.doctor.target import Target, describe_error

MAX_CLOCK_SKEW_SECONDS = 60.0
"""Tokens are valid from the time at which they are issued."""


async def check_app(target: Target) -> str:
    """Reads the app's health; the details require the function key where there is one."""
    status, headers, report = await target.call("GET", "/api/health")
    if not isinstance(report, dict) or "status" not in report:
        what = _recognize(headers, report)
        raise CheckFailedError(
            f"/api/health returned {status} {describe_error(report)}; expected 200. "
            f"Is {target.url} the app? {what}"
        )
    key = {"x-functions-key": target.key} if target.key else {}
    _, _, details = await target.call("GET", "/api/health/details", headers=key)
    checks = details.get("checks", {}) if isinstance(details, dict) else {}
    down = [name for name, state in checks.items() if state == "down"]
    if report["status"] != "ok" and not down:
        raise CheckFailedError(
            f"The app does not reach its tables or Web PubSub. Its log names it. {WHERE_TO_SET}"
        )
    if down:
        settings = {"tables": "TABLES_*", "webpubsub": "WEBPUBSUB_*"}
        names = " and ".join(settings.get(one, one) for one in down)
        raise CheckFailedError(
            f"The app does not reach {' and '.join(down)}. Look at its {names}. {WHERE_TO_SET}"
        )
    return f"healthy; {len(checks['streams'])} streams" if "streams" in checks else "healthy"


def _recognize(headers: Mapping[str, str], body: Any) -> str:
    """Recognizes another part whose address was given by mistake."""
    server = headers.get("Server", "")
    if server.startswith("Azurite"):
        return "This is Azurite; the app's usual port is 7071."
    if "x-ms-request-id" in headers or "Microsoft-HTTPAPI" in server:
        return "This looks like Azure Storage."
    if body == "" and "X-Azure-Ref" not in headers and headers.get("Content-Type") is None:
        return "This may be Web PubSub or its emulator; the app's usual port is 7071."
    return ""


async def check_clock(target: Target) -> str:
    """Compares the clock of the app's machine with this one."""
    _, headers, _ = await target.call("GET", "/api/health")
    try:
        theirs = parsedate_to_datetime(headers["Date"])
    except (KeyError, ValueError):
        raise CheckSkippedError("the response has no date") from None
    skew = abs((datetime.now(UTC) - theirs).total_seconds())
    if skew > MAX_CLOCK_SKEW_SECONDS:
        raise CheckFailedError(
            f"This clock and the app's differ by {skew:.0f} s; expected less than "
            f"{MAX_CLOCK_SKEW_SECONDS:.0f} s, else tokens are refused. Set the clock of the "
            "machine (NTP)."
        )
    return f"{skew:.0f} s apart"


async def check_negotiate(target: Target) -> str:
    """Negotiates as the page does."""
    body = {"user_id": "doctor", "room": f"doctor-{datetime.now(UTC):%H%M%S%f}"}
    headers = target.authorization()
    status, _, response = await target.call("POST", "/api/negotiate", json=body, headers=headers)
    if status == 401 and not target.token:
        raise CheckSkippedError("guests are not allowed here; give --token with a token")
    if status != 200 or not isinstance(response, dict):
        raise CheckFailedError(f"/api/negotiate returned {status}: {describe_error(response)}")
    if missing := [name for name in ("url", "user_id", "room") if name not in response]:
        raise CheckFailedError(f"The response of /api/negotiate has no {', '.join(missing)}.")
    target.negotiated = response
    return f"received an address for {response['user_id']}"


async def check_webhook(target: Target) -> str:
    """Sends the validation handshake to the webhook, as Web PubSub does."""
    origin = urlsplit(get_negotiated(target)["url"]).hostname or ""
    headers = {"WebHook-Request-Origin": origin}
    if target.key:
        headers["x-functions-key"] = target.key
    status, received, body = await target.call("OPTIONS", "/api/pubsub/events", headers=headers)
    if status == 401:
        raise CheckSkippedError("the webhook requires the function key; give --key to check it")
    allowed = received.get("WebHook-Allowed-Origin", "")
    if status >= 300 or allowed.lower() not in {"*", origin.lower()}:
        raise CheckFailedError(
            f"The webhook returned {status} and allows events from {allowed or 'no service'}; "
            f"expected 204 and {origin}. {describe_error(body)}"
        )
    return f"accepts events from {allowed}"


def get_negotiated(target: Target) -> dict[str, Any]:
    """The response of negotiate. Raises CheckSkippedError when there is none."""
    if not target.negotiated:
        raise CheckSkippedError("negotiate has to succeed first")
    return target.negotiated
