"""The app that is checked: its address, and what the checks found out about it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from local.doctor.findings import CheckFailedError
from realtime.settings import Settings

LOCAL_URL = "http://localhost:7071"
TIMEOUT_SECONDS = 10.0
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def parse_url(text: str) -> str:
    """The URL of an app; the scheme can be left out. Raises CheckFailedError."""
    text = text.strip()
    if "://" not in text:
        name = urlsplit(f"//{text}").hostname
        text = f"{'http' if name in _LOCAL_NAMES else 'https'}://{text}"
    try:
        parts = urlsplit(text)
        is_valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number
        is_valid = False
    if not is_valid:
        raise CheckFailedError(
            f"{text!r} is not an address; expected one like {LOCAL_URL} or https://<app>.azurewebsites.net."
        )
    return text.rstrip("/")


def is_local(url: str) -> bool:
    """Whether an address is that of an app on this machine."""
    return urlsplit(url).hostname in _LOCAL_NAMES


@dataclass
class Target:
    """The app, and how it is called."""

    url: str
    http: aiohttp.ClientSession
    key: str = ""
    token: str = ""
    settings: Settings | None = None
    timeout_seconds: float = TIMEOUT_SECONDS
    negotiated: dict[str, Any] = field(default_factory=dict)

    async def call(
        self, method: str, path: str, **options: Any
    ) -> tuple[int, Mapping[str, str], Any]:
        """Status, headers and body of the app's response. Raises CheckFailedError."""
        try:
            async with self.http.request(method, self.url + path, **options) as response:
                text = (await response.read()).decode(errors="replace")
                return response.status, response.headers, _parse(text)
        except (aiohttp.ClientError, ValueError) as error:
            raise CheckFailedError(
                f"Nothing responds at {self.url} ({type(error).__name__}); expected the app. "
                "Is it started (make start), is the address right (--url)?"
            ) from None

    def authorization(self) -> dict[str, str]:
        """The header with the session of this check, or with the given token."""
        session = self.negotiated.get("session") or self.token
        return {"Authorization": f"Bearer {session}"} if session else {}


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def describe_error(body: Any) -> str:
    """Code and message of an error response, or the beginning of any other body."""
    if isinstance(body, dict) and isinstance(error := body.get("error"), dict):
        return f"{error.get('code')}, {error.get('message')}"
    return str(body)[:200]
