"""The files of the page as they were built, and their headers."""

import gzip
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from realtime.settings import Settings

DIST = Path(__file__).parent.parent / "web" / "dist"

TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
    ".map": "application/json",
}

HEADERS = {
    "Cache-Control": "no-cache",  # The browser asks each time whether the ETag is still valid.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",  # Browsers ignore it over http.
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # For browsers without frame-ancestors.
}

ORIGIN = r"https?://[A-Za-z0-9.:\[\]-]+"
"""An issuer's document names its endpoints: other characters could add rules to the policy."""


class File(Struct, frozen=True):
    """A file as it is sent; `compressed` is the content in gzip, `etag` has no quotes."""

    content: bytes
    compressed: bytes
    type: str
    etag: str


def read_file(name: str) -> File | None:
    """A file of the page, or None. Other files of the app cannot be addressed."""
    path = DIST / name
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name) or path.suffix not in TYPES:
        return None
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError:
        return None


@cache
def _read(path: Path, _modified: int) -> File:
    """Read once, and again after the page was built again."""
    return _make_file(path.read_bytes(), path.suffix)


@cache
def _make_file(content: bytes, suffix: str) -> File:
    digest = hashlib.sha256(content).hexdigest()[:16]
    return File(content, gzip.compress(content), TYPES[suffix], digest)


def read_page(settings: Settings) -> File | None:
    """The page, with how it identifies its users in the attributes of its root element."""
    file = read_file("index.html")
    if file is None or settings.identity == "guest":
        return file
    values = {"identity": settings.identity}
    if settings.identity == "oidc":
        values |= {
            "issuer": settings.oidc_issuer,
            "client-id": settings.oidc_client_id,
            "audience": settings.oidc_audience,
            "scope": settings.oidc_scope,
        }
    attributes = " ".join(f'data-{name}="{escape(value)}"' for name, value in values.items())
    return _make_file(file.content.replace(b'data-identity="guest"', attributes.encode()), ".html")


def content_security_policy(
    hub: str = "", issuer: Iterable[str] = (), embedding_origins: Iterable[str] = ()
) -> str:
    """The policy of a page: the app's own files, and the hub and the issuer at these URLs.

    Pages of `embedding_origins` may show the page in a frame.
    """
    hubs = ["ws" + hub.removeprefix("http")] if hub else []
    origins = [origin for url in issuer if re.fullmatch(ORIGIN, origin := _origin_of(url))]
    connections = " ".join(dict.fromkeys(["'self'", *hubs, *origins]))
    ancestors = " ".join(embedding_origins) or "'none'"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src {connections}; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors {ancestors}"
    )


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
