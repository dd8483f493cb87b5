"""The page's files, as they were built, and what a browser may do with them."""

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
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
    "Cache-Control": "no-cache",  # Ask each time whether it is still the same.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",  # Without effect on http, so on a desk.
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # For what does not know frame-ancestors.
}


@dataclass(frozen=True)
class File:
    """A file as it is sent; `packed` is the same by gzip, a third of its size."""

    content: bytes
    packed: bytes
    type: str
    etag: str


def read(name: str) -> File | None:
    """One of the page's files, or None; no other file of the app can be named."""
    path = DIST / name
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name) or path.suffix not in TYPES:
        return None
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError:
        return None


@cache
def _read(path: Path, _modified: int) -> File:
    """Read once, and again when the page was built anew."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    return File(content, gzip.compress(content), TYPES[path.suffix], f'"{digest}"')


def policy(hub: str) -> str:
    """The page's content security policy: our own files and our own hub, nothing else."""
    sockets = "ws" + hub.removeprefix("http")
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self' {sockets}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
