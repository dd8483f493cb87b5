"""The page's files, as they were built, and what a browser may do with them."""

import re
from dataclasses import dataclass
from pathlib import Path

DIST = Path(__file__).parent.parent / "web" / "dist"

TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".map": "application/json",
}

HEADERS = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",  # Without effect on http, so on a desk.
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # For what does not know frame-ancestors.
}


@dataclass(frozen=True)
class File:
    content: bytes
    type: str


def read(name: str) -> File | None:
    """One of the page's files, or None; no other file of the app can be named."""
    path = DIST / name
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name) or path.suffix not in TYPES:
        return None
    try:
        return File(path.read_bytes(), TYPES[path.suffix])
    except OSError:
        return None


def policy(hub: str) -> str:
    """The page's content security policy: our own files and our own hub, nothing else."""
    sockets = "ws" + hub.removeprefix("http")
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self' {sockets}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
