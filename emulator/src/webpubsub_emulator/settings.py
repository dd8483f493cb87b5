"""The settings file, in the format of Microsoft's emulator: access key, hubs and event handlers."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from webpubsub_emulator.cloud_events import SYSTEM_EVENTS
from webpubsub_emulator.names import is_valid_event, is_valid_hub

_URL_PARAMETER = re.compile(r"\{(hub|event)\}", re.IGNORECASE)


class InvalidSettingsError(ValueError):
    """Settings that cannot be used; the message names the wrong one."""


@dataclass(frozen=True, slots=True)
class Handler:
    """An event handler of a hub: its URL and the events that it receives.

    With an `identity_resource`, events have a bearer token whose audience it is.
    """

    url_template: str
    system_events: frozenset[str] = SYSTEM_EVENTS
    event_pattern: str = "*"
    identity_resource: str | None = None

    def __post_init__(self) -> None:
        host = re.match(r"https?://([^/?#]+)", self.url_template)
        if host is None or "{" in host[1]:
            raise ValueError(f"UrlTemplate {self.url_template!r} is no http URL with a host")
        if unknown := self.system_events - SYSTEM_EVENTS:
            raise ValueError(f"SystemEvents has unknown events: {', '.join(sorted(unknown))}")

    @property
    def loggable_url(self) -> str:
        """The URL without its query, which may contain a key."""
        return self.url_template.partition("?")[0]

    def handles_system_event(self, event: str) -> bool:
        return event in self.system_events

    def handles_user_event(self, event: str) -> bool:
        names = [name.strip().lower() for name in self.event_pattern.split(",")]
        return names == ["*"] or event.lower() in names

    def url(self, hub: str, event: str) -> str:
        values = {"hub": quote(hub, safe=""), "event": quote(event, safe="")}
        return _URL_PARAMETER.sub(lambda name: values[name[1].lower()], self.url_template)


@dataclass(frozen=True, slots=True)
class Settings:
    """The event handlers of each hub, in their order. Hub names are in lower case."""

    hubs: Mapping[str, Sequence[Handler]] = field(default_factory=dict)
    access_key: str | None = None
    anonymous_hubs: frozenset[str] = frozenset()

    def system_event_handler(self, hub: str, event: str) -> Handler | None:
        """Return the first handler of the event; later ones are never tried."""
        handlers = self.hubs.get(hub, ())
        return next((handler for handler in handlers if handler.handles_system_event(event)), None)

    def user_event_handler(self, hub: str, event: str) -> Handler | None:
        handlers = self.hubs.get(hub, ())
        return next((handler for handler in handlers if handler.handles_user_event(event)), None)

    def allows_anonymous(self, hub: str) -> bool:
        return hub.lower() in self.anonymous_hubs

    @property
    def needs_identity(self) -> bool:
        """Whether a handler receives the managed identity's tokens."""
        return any(
            handler.identity_resource is not None
            for handlers in self.hubs.values()
            for handler in handlers
        )


def load_settings(file: Path) -> Settings:
    """Read a settings file; raises InvalidSettingsError."""
    try:
        return read_settings(json.loads(file.read_text("utf-8-sig")))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidSettingsError(f"{file}: {error}") from error


def read_settings(document: Any) -> Settings:
    """Read `{"WebPubSub": {"AccessKey", "Hubs": {hub: {"EventHandlers": [...]}}}}`.

    Names are compared ignoring case, as in every .NET settings file, and null means absent.
    """
    section = _read_object(_lower_keys(document), "the file").get("webpubsub")
    section = _read_object(section, "WebPubSub")
    hubs = {
        name: _read_object(hub, f"Hubs:{name}")
        for name, hub in _read_object(section.get("hubs"), "Hubs").items()
    }
    key = section.get("accesskey")
    if key is not None and not isinstance(key, str):
        raise InvalidSettingsError("AccessKey is not a string")
    return Settings(
        hubs={name: _read_handlers(name, hub) for name, hub in hubs.items()},
        access_key=key,
        anonymous_hubs=frozenset(name for name, hub in hubs.items() if _allows(name, hub)),
    )


def _read_handlers(hub_name: str, hub: Mapping[str, Any]) -> tuple[Handler, ...]:
    if not is_valid_hub(hub_name):
        raise InvalidSettingsError(f"{hub_name!r} is no hub name")
    path = f"Hubs:{hub_name}:EventHandlers"
    handlers = hub.get("eventhandlers")
    if handlers is None:
        return ()
    if not isinstance(handlers, list):
        raise InvalidSettingsError(f"{path} is not a list")
    return tuple(_read_handler(path, handler) for handler in handlers)


def _allows(hub_name: str, hub: Mapping[str, Any]) -> bool:
    policy = str(hub.get("anonymousconnectpolicy") or "deny").lower()
    if policy not in ("allow", "deny"):
        path = f"Hubs:{hub_name}:AnonymousConnectPolicy"
        raise InvalidSettingsError(f"{path} is 'allow' or 'deny', not {policy!r}")
    return policy == "allow"


def _read_handler(path: str, document: Any) -> Handler:
    handler = _read_object(document, path)
    pattern = str(handler.get("eventpattern") or "")
    names = [name.strip() for name in pattern.split(",")]
    if pattern and names != ["*"] and not all(map(is_valid_event, names)):
        raise InvalidSettingsError(f"{path}: EventPattern is '*', a name or a comma list")
    events = {str(event).lower() for event in handler.get("systemevents") or ()}
    resource = _read_identity_resource(path, handler.get("auth"))
    try:
        url = str(handler.get("urltemplate") or "")
        return Handler(url, frozenset(events), pattern, resource)
    except ValueError as error:
        raise InvalidSettingsError(f"{path}: {error}") from error


def _read_identity_resource(path: str, document: Any) -> str | None:
    """Read `{"Type": "ManagedIdentity", "ManagedIdentity": {"Resource": audience}}`."""
    auth = _read_object(document, f"{path}:Auth")
    type_ = str(auth.get("type") or "none").lower()
    if type_ == "none":
        return None
    identity = _read_object(auth.get("managedidentity"), f"{path}:Auth:ManagedIdentity")
    resource = identity.get("resource")
    if type_ != "managedidentity" or not isinstance(resource, str) or not resource:
        raise InvalidSettingsError(f"{path}:Auth is None, or ManagedIdentity with a Resource")
    return resource


def _lower_keys(document: Any) -> Any:
    if isinstance(document, list):
        return [_lower_keys(item) for item in document]
    if isinstance(document, dict):
        return {name.lower(): _lower_keys(value) for name, value in document.items()}
    return document


def _read_object(value: Any, path: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidSettingsError(f"{path} is not an object")
    return value
