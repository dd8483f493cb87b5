"""Small apps for tests, run by `python -m local.functions` on a free port."""

import contextlib
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from local.parts import Part, free_ports, start_functions

HEAD = """
import asyncio, json, logging, os, threading, time
import azure.functions as func
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""


def write_app(
    folder: Path,
    source: str,
    *,
    host: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Write function_app.py and the given JSON files. Returns the folder."""
    (folder / "function_app.py").write_text(HEAD + textwrap.dedent(source))
    if host is not None:
        (folder / "host.json").write_text(json.dumps(host))
    if settings is not None:
        (folder / "local.settings.json").write_text(json.dumps(settings))
    return folder


@contextlib.contextmanager
def host_app(
    app: Path,
    *,
    environment: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    data: Path | None = None,
) -> Iterator[Part]:
    """A running host with the app."""
    [port] = free_ports(1)
    part = start_functions(port, environment or {}, app, data, options)
    try:
        part.wait()
        yield part
    finally:
        part.stop()
