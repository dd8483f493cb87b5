"""The settings file, in the official emulator's shape: keys, hubs and their event handlers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webpubsub_emulator.cloud_events import Handler
from webpubsub_emulator.names import is_event, is_hub


class InvalidSettingsError(ValueError):
    """A settings file that cannot be used; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The event handlers of each hub, in order; hub names are lower-case here."""

    hubs: Mapping[str, Sequence[Handler]] = field(default_factory=dict)
    access_key: str | None = None

    def system_handler(self, hub: str, event: str) -> Handler | None:
        """The first match wins; there is no falling through to a second one."""
        return next((h for h in self.hubs.get(hub, ()) if h.takes_system(event)), None)

    def user_handler(self, hub: str, event: str) -> Handler | None:
        return next((h for h in self.hubs.get(hub, ()) if h.takes_user(event)), None)


def load_settings(file: Path) -> Settings:
    try:
        return read_settings(json.loads(file.read_text("utf-8-sig")))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidSettingsError(f"{file}: {error}") from error


def read_settings(document: Any) -> Settings:
    """Read `{"WebPubSub": {"AccessKey", "Hubs": {hub: {"EventHandlers": [...]}}}}`.

    Names compare ignoring case, as in every .NET settings file.
    """
    section = _object(_object(_fold(document), "the file").get("webpubsub"), "WebPubSub")
    hubs = _object(section.get("hubs"), "Hubs")
    key = section.get("accesskey")
    if key is not None and not isinstance(key, str):
        raise InvalidSettingsError("AccessKey is not a string")
    return Settings(
        hubs={name: _read_hub(name, hub) for name, hub in hubs.items()},
        access_key=key,
    )


def _read_hub(name: str, hub: Any) -> tuple[Handler, ...]:
    if not is_hub(name):
        raise InvalidSettingsError(f"{name!r} is no hub name")
    handlers = _object(hub, f"Hubs:{name}").get("eventhandlers", [])
    if not isinstance(handlers, list):
        raise InvalidSettingsError(f"Hubs:{name}:EventHandlers is not a list")
    return tuple(_read_handler(f"Hubs:{name}:EventHandlers", handler) for handler in handlers)


def _read_handler(place: str, handler: Any) -> Handler:
    handler = _object(handler, place)
    pattern = str(handler.get("eventpattern") or "")
    names = [name.strip() for name in pattern.split(",")]
    if pattern and names != ["*"] and not all(map(is_event, names)):
        raise InvalidSettingsError(f"{place}: EventPattern is '*', a name or a comma list")
    events = {str(event).lower() for event in handler.get("systemevents") or ()}
    try:
        return Handler(str(handler.get("urltemplate") or ""), frozenset(events), pattern)
    except ValueError as error:
        raise InvalidSettingsError(f"{place}: {error}") from error


def _fold(document: Any) -> Any:
    if isinstance(document, list):
        return [_fold(item) for item in document]
    if isinstance(document, dict):
        return {name.lower(): _fold(value) for name, value in document.items()}
    return document


def _object(value: Any, place: str) -> dict[str, Any]:
    """What is left out is empty; what is something else is a mistake."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidSettingsError(f"{place} is not an object")
    return value
