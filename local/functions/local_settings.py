"""local.settings.json: the app's settings on one machine, and where its host listens.

https://learn.microsoft.com/azure/azure-functions/functions-develop-local#local-settings-file
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from local.functions.errors import LoadError
from local.functions.json_files import read_json_object

DEFAULT_ADDRESS = "127.0.0.1"
DEFAULT_PORT = 7071


class LocalSettings(NamedTuple):
    """The section Host of the file."""

    address: str = DEFAULT_ADDRESS
    port: int = DEFAULT_PORT
    cors_origins: frozenset[str] = frozenset()
    cors_credentials: bool = False


def read_local_settings(app: Path) -> LocalSettings:
    """Where to listen; the app's settings go to the environment, which wins. Raises LoadError."""
    content = read_json_object(app / "local.settings.json") or read_json_object(
        app / "local.settings.json.example"
    )
    if content.get("IsEncrypted"):
        raise LoadError("local.settings.json is encrypted: run `func settings decrypt` first")
    for name, value in _app_settings(content):
        os.environ.setdefault(name, value)
    os.environ["AZURE_FUNCTIONS_ENVIRONMENT"] = "Development"
    host = {"CORS": "", "CORSCredentials": False, **_section(content, "Host")}
    origins = _expect(host, "CORS", str, None, "a string with origins separated by commas")
    return LocalSettings(
        address=_expect(host, "LocalHttpAddress", str, DEFAULT_ADDRESS, "an address"),
        port=_expect(host, "LocalHttpPort", int, DEFAULT_PORT, "a number"),
        cors_origins=parse_origins(origins),
        cors_credentials=_expect(host, "CORSCredentials", bool, None, "true or false"),
    )


def parse_origins(text: str) -> frozenset[str]:
    """The origins of a list that is separated by commas."""
    return frozenset(one.strip().rstrip("/") for one in text.split(",")) - {""}


def _app_settings(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The names and values of the environment, as Core Tools makes them."""
    for name, value in _section(content, "Values").items():
        if isinstance(value, dict | list):
            raise LoadError(f"local.settings.json: Values.{name} is {value!r}; expected a string")
        yield name, "" if value is None else str(value)
    for name, value in _section(content, "ConnectionStrings").items():
        string = value.get("ConnectionString") if isinstance(value, dict) else value
        if not isinstance(string, str):
            raise LoadError(
                f"local.settings.json: ConnectionStrings.{name} is no connection string; "
                "expected a string, or an object with ConnectionString"
            )
        yield f"ConnectionStrings:{name}", string


def _section(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    section: dict[str, Any] = _expect(content, name, dict, {}, "an object")
    return section


def _expect(content: Mapping[str, Any], name: str, kind: type, default: Any, wanted: str) -> Any:
    value = content.get(name, default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise LoadError(f"local.settings.json: {name} is {value!r}; expected {wanted}")
    return value
