"""The emulator's shape: a core that opens no socket and knows nothing of any application."""

import ast
from pathlib import Path

import local.webpubsub

FOLDER = Path(local.webpubsub.__file__).parent
NETWORK = {"server.py", "door.py", "outbox.py"}


def imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_only_three_files_know_the_network() -> None:
    knowing = {
        file.name
        for file in FOLDER.glob("*.py")
        if {"aiohttp", "socket"} & {name.partition(".")[0] for name in imported(file)}
    }

    assert knowing == NETWORK


def test_nothing_of_the_application_is_imported() -> None:
    ours = {path.stem for path in FOLDER.parents[1].glob("*") if path.name != "local"}
    for file in FOLDER.glob("*.py"):
        for name in imported(file):
            assert name.partition(".")[0] not in ours, f"{file.name} imports {name}"
            if name.startswith("local"):
                assert name.startswith("local.webpubsub"), f"{file.name} imports {name}"


def test_no_file_is_longer_than_it_should_be() -> None:
    for file in FOLDER.glob("*.py"):
        assert len(file.read_text("utf-8").splitlines()) <= 350, file.name
