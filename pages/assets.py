"""The files of the page as they were built, and their headers."""

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


@dataclass(frozen=True)
class File:
    """A file as it is sent; `compressed` is the content in gzip."""

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
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    return File(content, gzip.compress(content), TYPES[path.suffix], f'"{digest}"')


def content_security_policy(hub: str = "") -> str:
    """The policy of a page: the app's own files and the hub at this URL, nothing else."""
    connections = " ".join(["'self'", *(["ws" + hub.removeprefix("http")] if hub else [])])
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src {connections}; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
