"""Generates docs/asyncapi.json and docs/settings.md from the code.

python -m local.documents           writes both
python -m local.documents --check   reports those that are not current and changes nothing
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec

from events.handlers import CLIENT_EVENTS
from local.parts import ROOT
from pages.schemas import make_schemas
from realtime import messages
from realtime.settings import Settings

SETTINGS = Path("docs/settings.md")
ASYNCAPI = Path("docs/asyncapi.json")

SUBPROTOCOLS = ["json.reliable.webpubsub.azure.v1", "json.webpubsub.azure.v1"]

TOKEN = {"$ref": "#/components/securitySchemes/token"}

Schema = dict[str, Any]


def server_messages() -> dict[str, type[msgspec.Struct]]:
    """What clients receive, by `type`; a stream's frame has the type that the stream declares."""
    structs = [
        one
        for one in vars(messages).values()
        if isinstance(one, type) and issubclass(one, msgspec.Struct)
    ]
    tagged = {str(one.__struct_config__.tag): one for one in structs if one.__struct_config__.tag}
    return {**tagged, "frame": messages.Frame}


def asyncapi() -> Schema:
    """The WebSocket protocol as an AsyncAPI 3.0 document."""
    requests = {name: event.request for name, event in CLIENT_EVENTS.items()}
    received = server_messages()
    _, schemas = make_schemas(dict.fromkeys([*requests.values(), *received.values()]))
    sent_messages = {f"send-{name}": _event(name, kind) for name, kind in requests.items()}
    received_messages = {f"receive-{name}": _message(name, kind) for name, kind in received.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Townsquare",
            "version": "1",
            "description": (
                "The messages that a client sends and receives over its WebSocket. "
                "POST /api/negotiate returns the URL with a token; GET /api/openapi.json describes "
                "the HTTP API. A received message is the `data` of Web PubSub's `message` frame."
            ),
            "license": {"name": "MIT", "url": "https://opensource.org/license/mit"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "webpubsub": {
                "host": "{resource}.webpubsub.azure.com",
                "protocol": "wss",
                "description": "The `url` of POST /api/negotiate has the host, path and token.",
                "variables": {"resource": {"description": "The name of the Web PubSub resource."}},
                "security": [TOKEN],
            }
        },
        "channels": {
            "socket": {
                "address": "/client/hubs/townsquare",
                "description": f"A WebSocket; subprotocol {' or '.join(SUBPROTOCOLS)}.",
                "messages": {
                    name: {"$ref": f"#/components/messages/{name}"}
                    for name in [*sent_messages, *received_messages]
                },
            }
        },
        "operations": {
            "send": _operation("send", sent_messages, "The events that a client sends."),
            "receive": _operation("receive", received_messages, "What a client receives."),
        },
        "components": {
            "messages": {**sent_messages, **received_messages},
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "httpApiKey",
                    "in": "query",
                    "name": "access_token",
                    "description": "The `token` of POST /api/negotiate.",
                }
            },
        },
    }


def _operation(action: str, names: Schema, summary: str) -> Schema:
    """`action` is the client's."""
    return {
        "action": action,
        "channel": {"$ref": "#/channels/socket"},
        "summary": summary,
        "security": [TOKEN],
        "messages": [{"$ref": f"#/channels/socket/messages/{name}"} for name in names],
    }


def _event(name: str, kind: type[msgspec.Struct]) -> Schema:
    """A client event, in the frame that Web PubSub takes from a client."""
    frame = {
        "type": "object",
        "required": ["type", "event", "dataType", "data"],
        "properties": {
            "type": {"const": "event"},
            "event": {"const": name},
            "ackId": {"type": "integer"},
            "dataType": {"const": "json"},
            "data": {"$ref": f"#/components/schemas/{kind.__name__}"},
        },
    }
    return {"name": name, "title": kind.__name__, "payload": frame}


def _message(name: str, kind: type[msgspec.Struct]) -> Schema:
    payload = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {"name": name, "title": kind.__name__, "payload": payload}


# --- the settings ---------------------------------------------------------------------------

SETTINGS_INTRODUCTION = """# Settings

In Azure these are the application settings of the function app. Locally they are the `Values` of
`local.settings.json`; without that file, those of `local.settings.json.example` are used.

`make doctor` names settings that are missing, unknown or invalid.
This page is generated from `realtime/settings.py` by `python -m local.documents`.
"""


def settings_page() -> str:
    """One line for each setting: name, default, meaning."""
    lines = [SETTINGS_INTRODUCTION, "| setting | default | meaning |", "|---|---|---|"]
    for one in fields(Settings):
        default = f"`{one.default}`" if one.default != "" else ""
        lines.append(f"| `{one.name.upper()}` | {default} | {one.metadata['meaning']} |")
    return "\n".join(lines) + "\n"


# --- the command line -----------------------------------------------------------------------


def documents() -> Iterator[tuple[Path, str]]:
    """Every generated file and its contents."""
    yield ROOT / ASYNCAPI, json.dumps(asyncapi(), indent=2, ensure_ascii=False) + "\n"
    yield ROOT / SETTINGS, settings_page()


def outdated() -> list[tuple[Path, str]]:
    """The files with other contents than generated, and the generated contents."""
    return [
        (file, text)
        for file, text in documents()
        if not file.exists() or file.read_text(encoding="utf-8") != text
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m local.documents",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    old = outdated()
    for file, text in old:
        print(f"{file.relative_to(ROOT)} {'is not current' if given.check else 'is written'}")
        if not given.check:
            file.write_text(text, encoding="utf-8")
    sys.exit(given.check and bool(old))


if __name__ == "__main__":
    main()
