"""Files, headings, commands, tests and settings in the documents exist; examples run."""

import json
import os
import re
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from local.parts import (
    HUB,
    ROOT,
    Stack,
    free_ports,
    node,
    start_webpubsub,
    write_event_handlers,
)
from realtime.settings import Settings

DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "clients").glob("*/README.md"),
        *(ROOT / "examples").glob("*/README.md"),
        ROOT / "web/README.md",
        ROOT / "emulator/README.md",
    ]
)
CLIENT = ROOT / "clients/javascript"
PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*\.(?:py|md|json|bicep|mjs|js|yml|yaml|toml))`")
NOT_IN_GIT = ("web/dist/", "web/node_modules/", "local/node_modules/", "producers/dice.py")
"""Files that a build or the reader makes."""


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, by GitHub's rule."""
    headings = re.findall(r"^#+ (.*)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_relative_link_has_a_target(document: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8")):
        if re.match(r"[a-z]+:|\.\./\.\./actions/", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_path_in_a_document_exists(document: Path) -> None:
    found = {
        one for one in PATH.findall(document.read_text("utf-8")) if not one.startswith(NOT_IN_GIT)
    }

    folders = (ROOT, document.parent, ROOT / "emulator/src", document.parent / "src")
    assert [one for one in sorted(found) if not any((at / one).exists() for at in folders)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_command_and_test_in_a_document_exists(document: Path) -> None:
    text = document.read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    tests = {file.stem for file in ROOT.rglob("tests/**/test_*.py")}
    packages = "local|benchmarks|tests|infra|examples"
    modules = set(re.findall(rf"python -m ((?:{packages})(?:\.\w+)*)", text))

    assert set(re.findall(r"(?:^|`|\$ )make ([a-z]+)", text, re.MULTILINE)) <= targets
    assert {one for one in re.findall(r"`(test_\w+)`", text) if one != "test_"} <= tests
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_every_setting_in_a_command_exists() -> None:
    """`azd env set NAME`: a setting of the app, a parameter, or what a hook reads."""
    settings = {one.name.upper() for one in fields(Settings)}
    parameters = (ROOT / "infra/main.parameters.json").read_text("utf-8")
    hooks = "".join(file.read_text("utf-8") for file in (ROOT / "infra/hooks").glob("*.py"))

    for document in DOCUMENTS:
        for name in re.findall(r"azd env set (?!NAME)(\w+)", document.read_text("utf-8")):
            known = name in settings or f"${{{name}" in parameters or f'"{name}"' in hooks
            assert known, (name_of(document), name)


def first_block(document: str, language: str) -> str:
    text = (ROOT / document).read_text("utf-8")
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found, f"{document} has no {language}"
    return found[1]


async def test_the_stream_of_the_readme_ticks() -> None:
    names: dict[str, Any] = {}

    exec(first_block("README.md", "python"), names)  # noqa: S102 - the document's own example

    data = await names["tick"](None, None)
    assert 1 <= data["eyes"] <= 6
    assert names["STREAM"].name == "dice"


def test_the_client_of_the_readme_sends_and_receives(stack: Stack) -> None:
    """Its twelve lines run unchanged against the running app."""
    if not (CLIENT / "node_modules").exists():
        reason = "the client's packages are not installed: run `make test`"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    example = first_block("README.md", "js").replace("http://localhost:7071", stack.url)
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    stop = """
        const [log, seen] = [console.log, new Set()];
        console.log = (...parts) => {
          log(...parts);
          seen.add(parts.includes("Good morning") ? "message" : "prices");
          if (seen.size === 2) process.exit(0);
        };
    """

    run = subprocess.run(
        [node(), "--input-type=module"],
        input=stop + example,
        cwd=CLIENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert re.search(r"^ann-\w+ Good morning$", run.stdout, re.MULTILINE | re.IGNORECASE), (
        run.stdout
    )
    assert "MSFT" in run.stdout


def test_the_emulator_accepts_the_settings_of_the_document(tmp_path: Path) -> None:
    """docs/core-tools.md, step 3."""
    settings = tmp_path / "hub.json"
    settings.write_text(first_block("docs/core-tools.md", "json"), "utf-8")
    hubs = json.loads(settings.read_text("utf-8"))["WebPubSub"]["Hubs"]
    emulator = start_webpubsub(free_ports(1)[0], settings)
    try:
        emulator.wait()
    finally:
        emulator.stop()

    handler = hubs[HUB]["EventHandlers"][0]
    made = json.loads(write_event_handlers(tmp_path / "made.json", 7071).read_text("utf-8"))
    assert handler == made["WebPubSub"]["Hubs"][HUB]["EventHandlers"][0]
