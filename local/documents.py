"""Writes what the code says better than a person would: docs/asyncapi.json, and the settings table.

python -m local.documents              writes both; the table goes into README.md, between marks
python -m local.documents --check      says whether they are current, and changes nothing
python -m local.documents --settings   prints the table
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec

from local.parts import ROOT
from negotiate.openapi import shapes
from realtime import messages
from realtime.settings import Settings

MARK = "<!-- settings -->"
README = Path("README.md")
ASYNCAPI = Path("docs/asyncapi.json")

SAID: dict[str, type[msgspec.Struct]] = {
    "join": messages.Join,
    "leave": messages.Leave,
    "message": messages.Say,
    "direct": messages.Direct,
    "typing": messages.Typing,
    "read": messages.Read,
}
"""What a browser can say, by the name of the event."""

SUBPROTOCOLS = ["json.reliable.webpubsub.azure.v1", "json.webpubsub.azure.v1"]

Schema = dict[str, Any]


def heard() -> dict[str, type[msgspec.Struct]]:
    """What a browser can hear: by its `type`, and a stream's frame, which has the stream's own."""
    structs = [
        one
        for one in vars(messages).values()
        if isinstance(one, type) and issubclass(one, msgspec.Struct)
    ]
    tagged = {str(one.__struct_config__.tag): one for one in structs if one.__struct_config__.tag}
    return {**tagged, "frame": messages.Frame}


def asyncapi() -> Schema:
    """The socket as an AsyncAPI 3.0 document: every event and message, with its shape."""
    told = heard()
    structs = dict.fromkeys([*SAID.values(), *told.values()])
    _, schemas = shapes(structs)
    named = {name: struct.__name__ for name, struct in told.items()}
    events = {f"say-{name}": _said(name, struct) for name, struct in SAID.items()}
    frames = {f"hear-{name}": _message(name, named[name]) for name in named}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Townsquare",
            "version": "1",
            "description": (
                "What is said and heard over the socket. POST /api/negotiate gives the address, "
                "with a token in it; the HTTP functions are told by GET /api/openapi.json. A "
                "message that is heard arrives as `data` of Web PubSub's own `message` frame."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {
            "socket": {
                "address": "/client/hubs/townsquare",
                "description": f"A WebSocket; subprotocol {' or '.join(SUBPROTOCOLS)}.",
                "messages": {
                    name: {"$ref": f"#/components/messages/{name}"} for name in [*events, *frames]
                },
            }
        },
        "operations": {
            "say": _operation("send", events, "What a browser says."),
            "hear": _operation("receive", frames, "What a browser hears."),
        },
        "components": {"messages": {**events, **frames}, "schemas": schemas},
    }


def _operation(action: str, names: Schema, meaning: str) -> Schema:
    """`action` is the browser's: it sends what it says."""
    return {
        "action": action,
        "channel": {"$ref": "#/channels/socket"},
        "summary": meaning,
        "messages": [{"$ref": f"#/channels/socket/messages/{name}"} for name in names],
    }


def _said(name: str, struct: type[msgspec.Struct]) -> Schema:
    """An event, in the frame that Web PubSub takes from a browser."""
    event = {
        "type": "object",
        "required": ["type", "event", "dataType", "data"],
        "properties": {
            "type": {"const": "event"},
            "event": {"const": name},
            "ackId": {"type": "integer"},
            "dataType": {"const": "json"},
            "data": {"$ref": f"#/components/schemas/{struct.__name__}"},
        },
    }
    return {"name": name, "title": struct.__name__, "payload": event}


def _message(name: str, struct: str) -> Schema:
    shape = {"$ref": f"#/components/schemas/{struct}"}
    return {"name": name, "title": struct, "payload": shape}


# --- the settings ---------------------------------------------------------------------------


def settings_table() -> str:
    """One line for each setting: name, default, meaning."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for one in fields(Settings):
        default = f"`{one.default}`" if one.default != "" else ""
        lines.append(f"| `{one.name.upper()}` | {default} | {one.metadata['meaning']} |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    """A text with the settings table between its two marks; without marks it stays as it is."""
    parts = text.split(MARK)
    if len(parts) != 3:
        return text
    return f"{parts[0]}{MARK}\n{settings_table()}\n{MARK}{parts[2]}"


# --- the command line -----------------------------------------------------------------------


def documents() -> Iterator[tuple[Path, str]]:
    """Every file and what it should hold."""
    yield ROOT / ASYNCAPI, json.dumps(asyncapi(), indent=2, ensure_ascii=False) + "\n"
    if (readme := ROOT / README).exists():
        yield readme, with_table(readme.read_text(encoding="utf-8"))


def outdated() -> list[tuple[Path, str]]:
    """The files that do not hold what they should, and what that is."""
    return [
        (file, text)
        for file, text in documents()
        if not file.exists() or file.read_text(encoding="utf-8") != text
    ]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m local.documents",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--settings", action="store_true")
    given = parser.parse_args()
    if given.settings:
        print(settings_table())
        return
    old = outdated()
    for file, text in old:
        print(f"{file.relative_to(ROOT)} {'is not current' if given.check else 'is written'}")
        if not given.check:
            file.write_text(text, encoding="utf-8")
    sys.exit(given.check and bool(old))


if __name__ == "__main__":
    main()
