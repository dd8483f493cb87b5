"""The access keys of the service and its connection string."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

# The key of Microsoft's emulator, so that either emulator can replace the other.
DEFAULT_ACCESS_KEY = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGH"
_MIN_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class AccessKeys:
    """The primary and the secondary key; both are valid, so that one can be replaced in use."""

    primary: str = DEFAULT_ACCESS_KEY
    secondary: str | None = None

    def __post_init__(self) -> None:
        for key in self:
            if len(key.encode()) < _MIN_KEY_BYTES or key != key.strip() or not _is_printable(key):
                raise ValueError(
                    "an access key has at least 32 bytes, no ';', no control characters "
                    f"and no spaces around it; this one has {len(key.encode())} bytes"
                )

    def __iter__(self) -> Iterator[str]:
        yield self.primary
        if self.secondary:
            yield self.secondary


def format_connection_string(endpoint: str, keys: AccessKeys) -> str:
    return f"Endpoint={endpoint};AccessKey={keys.primary};Version=1.0;"


def endpoint_host(endpoint: str) -> str:
    """Return the host without its port: the name of the service towards event handlers."""
    return urlsplit(endpoint).hostname or "localhost"


def _is_printable(key: str) -> bool:
    return ";" not in key and key.isprintable()
