"""The OpenAPI document as a page for people: no script, nothing from elsewhere."""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

import msgspec

STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { max-width: 56rem; margin: 3rem auto; padding: 0 1.25rem; font: 1rem/1.55 system-ui; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; }
details { border-top: 1px solid var(--line); padding: .55rem 0; }
summary { cursor: pointer; }
summary code { font-weight: 600; }
summary span { opacity: .75; margin-left: .75rem; }
table { border-collapse: collapse; margin: .75rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .9rem .3rem 0; text-align: left; }
code { font: .9em/1.4 ui-monospace, monospace; }
"""

_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Schema = dict[str, Any]


def render_reference(document: Schema) -> str:
    """The whole page; everything that comes from the document is escaped."""
    info = document["info"]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}: HTTP functions</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])}</h1><p>{escape(info['summary'])} The same for programs: "
        '<a href="openapi.json">openapi.json</a>.</p>'
        f"{''.join(_groups(document))}"
        f"<h2>What travels</h2>{''.join(_shapes(document['components']['schemas']))}"
        "</body></html>\n"
    )


def _groups(document: Schema) -> Iterator[str]:
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'].capitalize())}</h2>"
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if tag["name"] in operation["tags"]:
                    yield _operation(path, method, operation)


def _operation(path: str, method: str, operation: Schema) -> str:
    rows = [
        (one["name"], one["in"], _kind(one["schema"]), _need(one["required"]))
        for one in operation["parameters"]
    ]
    if said := operation.get("requestBody"):
        rows.append(("body", "", _content(said), _need(said["required"])))
    if answer := _content(operation["responses"]["200"]):
        rows.append(("answer", "", answer, ""))
    return _details(f"{method.upper()} {path}", operation["summary"], rows)


def _shapes(schemas: dict[str, Schema]) -> Iterator[str]:
    for name, schema in schemas.items():
        required = schema.get("required", ())
        rows = [
            (field, _kind(shape), _need(field in required))
            for field, shape in schema.get("properties", {}).items()
        ]
        yield _details(name, schema.get("description", ""), rows, name)


def _details(
    title: str, meaning: str, rows: Iterable[tuple[str, ...]], anchor: str | None = None
) -> str:
    # A link to what is folded away unfolds it, so the anchor is within.
    at = f' id="{escape(anchor)}"' if anchor else ""
    lines = ("".join(f"<td>{_cell(cell)}</td>" for cell in row) for row in rows)
    table = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f"<details><summary><code>{escape(title)}</code><span>{escape(meaning)}</span></summary>"
        f"<table{at}>{table}</table></details>"
    )


def _cell(text: str) -> str:
    """A cell; the name of a shape, the only words with a capital, leads to it."""
    linked = re.sub(r"\b([A-Z]\w*)", r'<a href="#\1">\1</a>', escape(text))
    return f"<code>{linked}</code>" if text else ""


def _need(required: bool) -> str:  # noqa: FBT001 - it is the value that is told
    return "" if required else "may be left out"


def _content(part: Schema) -> str:
    return " or ".join(_kind(one["schema"]) for one in part.get("content", {}).values())


def _kind(schema: Schema) -> str:
    """A schema in a few words: `Entry[]`, `string or null`, `integer from 1 to 200`."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if schema.get("type") == "array":
        return f"{_kind(schema.get('items', {}))}[]"
    if "enum" in schema:
        return " or ".join(msgspec.json.encode(one).decode() for one in schema["enum"])
    words = [schema.get("type", "anything")]
    if "minimum" in schema:
        words.append(f"from {schema['minimum']}")
    if "maximum" in schema:
        words.append(f"to {schema['maximum']}")
    return " ".join(words)
