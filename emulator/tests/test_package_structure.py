"""The structure of the emulator: only listed modules use the network, and none needs the app."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import webpubsub_emulator
from webpubsub_emulator.testing import TestEmulator

FOLDER = Path(webpubsub_emulator.__file__).parent
NETWORK = {
    *("server.py", "websocket.py", "frame_writer.py", "upstream_http.py", "local_access.py"),
    *("control_endpoint.py", "issuer_endpoint.py", "rest_endpoint.py", "viewer_endpoint.py"),
    "testing_events.py",
}


def imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_only_the_listed_files_use_the_network() -> None:
    found = {
        file.name
        for file in FOLDER.glob("*.py")
        if {"aiohttp", "socket"} & {name.partition(".")[0] for name in imported(file)}
    }

    assert found == NETWORK


def test_only_the_declared_dependencies_are_imported() -> None:
    """The package does not need the app in the same repository."""
    project = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    packages = {re.split(r"[\[<>=~! ]", entry)[0].lower() for entry in project["dependencies"]}
    declared = {"pyjwt": "jwt"}
    allowed = {declared.get(name, name) for name in packages} | set(sys.stdlib_module_names)
    allowed.add("webpubsub_emulator")
    for file in FOLDER.rglob("*.py"):
        tops = {name.partition(".")[0] for name in imported(file)}
        assert tops <= allowed, f"{file.name} imports {tops - allowed}"


def test_no_file_exceeds_the_line_limit() -> None:
    for file in FOLDER.glob("*.py"):
        assert len(file.read_text("utf-8").splitlines()) <= 350, file.name


def test_readme_names_every_command_line_option() -> None:
    readme = (FOLDER.parents[1] / "README.md").read_text("utf-8")
    source = (FOLDER / "__main__.py").read_text("utf-8")

    options = set(re.findall(r'"(--[a-z-]+)"', source))
    assert {option for option in options if f"`{option}" not in readme} == set()


def test_readme_names_every_member_of_the_test_emulator() -> None:
    readme = (FOLDER.parents[1] / "README.md").read_text("utf-8")
    members = {name for name in dir(TestEmulator) if not name.startswith("_")} - {"stop"}

    assert {name for name in members if f"`{name}" not in readme} == set()
