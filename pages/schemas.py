"""JSON Schemas of the app's types, with an example of each field."""

import inspect
from collections.abc import Iterable
from typing import Any

import msgspec

Schema = dict[str, Any]

FRAME = {
    "type": "stock_update",
    "stream": "stock-prices",
    "tick": 1795255200,
    "timestamp": "2026-11-21T10:00:00.013Z",
    "stale": False,
    "full": True,
    "data": {"source": "simulator", "symbols": {"MSFT": {"price": 512.4}}},
}

EXAMPLES: dict[str, Any] = {
    "active": True,
    "colour": 3,
    "operator": False,
    "signed_out": True,
    "after": 40,
    "age_seconds": 0.4,
    "before": 41,
    "code": "rate_limited",
    "connection_id": "Yk6bS4mvTZ-Wc7GkS1dGqA2e8a1f02K",
    "connections": 1,
    "content": "Good morning",
    "count": 1,
    "data": FRAME["data"],
    "description": "Prices of five symbols.",
    "epoch": "31938aae",
    "event": "message",
    "expires_on": "2026-11-21T11:00:00Z",
    "first": 1,
    "from": "ann-7f3kq2xz",
    "full": True,
    "group": "stocks",
    "groups": ["stocks"],
    "head": 42,
    "id": "8c1f0a52",
    "interval_seconds": 1,
    "last_tick": 1795255200,
    "problem": "Open-Meteo cannot be reached (ConnectError)",
    "latest": FRAME,
    "limit": 100,
    "message": "Too many messages; wait a moment.",
    "name": "stock-prices",
    "private": True,
    "read": 40,
    "retry_after_ms": 500,
    "room": "lobby",
    "seq": 42,
    "session": "eyJhbGciOiJIUzI1NiJ9…",
    "stale": False,
    "status": "sent",
    "stream": "stock-prices",
    "tick": 1795255200,
    "timestamp": "2026-11-21T10:00:00.013Z",
    "title": "Stock prices",
    "to": "bob-4mw82xke",
    "reply_to": 40,
    "mentions": ["bob-4mw82xke"],
    "meta": {"color": "blue"},
    "revision": 1,
    "edited": "2026-11-21T10:00:00.000Z",
    "deleted": False,
    "reactions": {"👍": 2},
    "mine": ["👍"],
    "target": 41,
    "emoji": "👍",
    "on": True,
    "members": 3,
    "changes": [],
    "users": ["ann-7f3kq2xz", "bob-4mw82xke"],
    "token": "eyJhbGciOiJIUzI1NiJ9…",
    "type": "stock_update",
    "unread": 2,
    "owners": ["ann-7f3kq2xz"],
    "topic": "What is new in town",
    "muted_until": "2026-11-21T11:00:00.000Z",
    "removed_until": "2026-11-21T11:00:00.000Z",
    "minutes": 30,
    "Me.blocked": ["bob-4mw82xke"],
    "reason": "insults other users",
    "reporter": "ann-7f3kq2xz",
    "report_id": "8204744799987-1f0c2a9b",
    "url": "wss://example.webpubsub.azure.com/client/hubs/townsquare?access_token=eyJ…",
    "user": "ann-7f3kq2xz",
    "user_id": "ann-7f3kq2xz",
    "Me.colour": 3,
    "Me.name": "Ann Lee",
    "Me.status": "away until noon",
    "ProfileChange.colour": 3,
    "ProfileChange.name": "Ann Lee",
    "ProfileChange.status": "away until noon",
    "NegotiateRequest.name": "Ann Lee",
    "NegotiateResponse.name": "Ann Lee",
    "ConversationSummary.name": "Ann Lee",
    "RoomUser.name": "Ann Lee",
    "RoomUser.status": "away until noon",
    "ProfilesQuery.ids": "ann-7f3kq2xz,bob-4mw82xke",
    "UserProfile.name": "Ann Lee",
    "UserProfile.status": "away until noon",
    "UserProfiles.users": [{"user_id": "ann-7f3kq2xz", "name": "Ann Lee", "colour": 3}],
    "ConversationSummary.status": "away until noon",
    "ProfileEvent.name": "Ann Lee",
    "ProfileEvent.status": "away until noon",
    "PresenceChange.status": "away until noon",
    "SystemEvent.status": "away until noon",
    "SystemEvent.name": "Ann Lee",
    "TypingEvent.name": "Ann Lee",
    "AuditEntry.action": "ban",
    "AuditEntry.actor": "alice",
    "AuditEntry.key": "8204744799987-1f0c2a9b.00",
    "AuditEntry.target": "bob-4mw82xke",
    "AuditQuery.after": "8204744799987-1f0c2a9b.00",
    "SessionRequest.hours": 24,
    "SessionRequest.name": "Alice",
    "SessionResponse.name": "Alice",
    "ConversationSummary.mentions": 1,
    "ConversationSummary.title": "Lobby",
    "RoomChange.listed": True,
    "ConversationQuery.all": True,
    "DirectoryRoom.title": "Lobby",
    "JoinResponse.title": "Lobby",
    "Room.title": "Lobby",
    "RoomChange.title": "Lobby",
    "RoomDetails.title": "Lobby",
    "RoomEvent.title": "Lobby",
    "RoomSettings.title": "Lobby",
    "RoleEvent.name": "Ann Lee",
    "MemberSummary.name": "Ann Lee",
    "MemberQuery.after": "ann-7f3kq2xz",
    "MemberList.next": "ann-7f3kq2xz",
    "RoomDirectory.next": "lobby",
    "ReportQuery.after": "8204744799987-1f0c2a9b",
    "ReportQuery.limit": 50,
    "ReportList.next": "8204744799987-1f0c2a9b",
    "Report.message": {
        "seq": 42,
        "id": "8c1f0a52",
        "from": "bob-4mw82xke",
        "content": "Good morning",
        "timestamp": "2026-11-21T10:00:00.013Z",
    },
    "Report.id": "8204744799987-1f0c2a9b",
    "NewReportResponse.id": "8204744799987-1f0c2a9b",
    "ReportResponse.id": "8204744799987-1f0c2a9b",
    "RemovedEvent.until": "2026-11-21T11:00:00.000Z",
    "MutedEvent.until": "2026-11-21T11:00:00.000Z",
    "ConversationQuery.after": "room:lobby",
    "ConversationList.next": "room:lobby",
    "ExportQuery.after": "WyJlbnRyaWVzIiwibG9iYnkiLCJpOmFubjo4YzFmIl0",
    "ExportedProfile.name": "Ann Lee",
    "ExportedProfile.status": "away until noon",
    "UserExport.profile": {"name": "Ann Lee", "status": "away until noon", "colour": 3},
    "UserExport.next": "WyJlbnRyaWVzIiwibG9iYnkiLCJpOmFubjo4YzFmIl0",
    "UserExport.blocked": ["bob-4mw82xke"],
    "UserExport.streams": ["stock-prices"],
    "UserDeletion.deleted": True,
    "UserDeletion.pending": True,
    "ErrorMessage.message": "Join the room first.",
    "ErrorMessage.code": "not_in_room",
    "HealthStatus.status": "ok",
    "HealthReport.status": "ok",
    "HealthReport.checks": {"tables": "ok", "webpubsub": "ok", "streams": {}},
    "NegotiateRequest.groups": "stocks",
    "NegotiateRequest.user_id": "ann",
    "NegotiateResponse.latest": {"stocks": FRAME},
    "always": True,
    "fresh_seconds": 60.0,
    "history_days": 30,
    "history_hours": 24,
    "off": False,
    "points": 300,
    "since": "2026-11-21T09:00:00Z",
    "span_seconds": 15,
    "until": "2026-11-21T10:00:00Z",
    "PushResponse.frames": 1,
    "PageQuery.after": "ann-7f3kq2xz",
    "ServerMessageRequest.from": "system",
    "SystemEvent.content": "ann has joined.",
    "SystemEvent.event": "joined",
}
"""An example for each field: by `Type.field`, or by the field's name in all other types."""


def make_schemas(types: Iterable[Any]) -> tuple[tuple[Schema, ...], dict[str, Schema]]:
    """The schemas of types, and the components to which they refer.

    Python before 3.13 keeps the indentation of docstrings; a description has none.
    """
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    for name, component in components.items():
        if "description" in component:
            component["description"] = inspect.cleandoc(component["description"])
        for field, schema in component.get("properties", {}).items():
            add_example(schema, name, field)
    return schemas, components


def add_example(schema: Schema, type_name: str, field: str) -> None:
    """Add the field's example, unless the schema has fixed values or is a component itself."""
    found = EXAMPLES.get(f"{type_name}.{field}", EXAMPLES.get(field))
    if found is not None and not is_self_explanatory(schema):
        schema["examples"] = [found]


def is_self_explanatory(schema: Schema) -> bool:
    """Whether a schema needs no example: a reference, a list of references, a choice of values."""
    return bool({"$ref", "enum", "const"} & schema.keys()) or "$ref" in schema.get("items", {})
