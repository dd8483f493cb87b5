"""REST requests that the SDK does not send."""

import time
from typing import Any

import jwt
from running_emulator import HUB, RunningEmulator
from webpubsub_emulator.access_keys import DEFAULT_ACCESS_KEY


async def request(
    emulator: RunningEmulator,
    method: str,
    path: str,
    *,
    body: Any = None,
    json: Any = None,
    content_type: str | None = None,
) -> tuple[int, Any, Any]:
    """Return status, headers and body of the response; JSON is decoded."""
    url = f"{emulator.server.endpoint}/api/hubs/{HUB}/{path}"
    claims = {"aud": url.partition("?")[0], "exp": time.time() + 60}
    headers = {"Authorization": "Bearer " + jwt.encode(claims, DEFAULT_ACCESS_KEY)}
    if json is not None:
        content_type = "application/json"
    if content_type:
        headers["Content-Type"] = content_type
    async with emulator.http.request(
        method, url, data=body, json=json, headers=headers, skip_auto_headers=["Content-Type"]
    ) as response:
        text = await response.text()
        is_json = response.content_type == "application/json"
        return response.status, response.headers, await response.json() if is_json else text
