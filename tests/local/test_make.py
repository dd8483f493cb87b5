"""What `make` says when the installation cannot work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.process import ROOT

TIMEOUT_SECONDS = 550.0


def install(tmp_path: Path, python: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Makes a venv in another folder than that of the project."""
    venv = tmp_path / "venv"
    return subprocess.run(
        ["make", f"VENV={venv}", f"PYTHON={python}", f"{venv}/installed"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def test_a_missing_python_is_named(tmp_path: Path) -> None:
    ended = install(tmp_path, "/no/such/python")

    assert ended.returncode != 0
    assert "There is no /no/such/python." in ended.stdout
    assert "newer" in ended.stdout


def test_an_old_python_is_distinguished_from_a_missing_one(tmp_path: Path) -> None:
    old = tmp_path / "python"
    # A Python that says it is 3.9: the check runs in it.
    program = '"import sys; sys.version_info = (3, 9, 1)\n$1"'
    old.write_text(f"#!/bin/sh\nshift\nexec {sys.executable} -c {program}\n")
    old.chmod(0o755)

    ended = install(tmp_path, str(old))

    assert ended.returncode != 0
    assert f"Townsquare needs Python 3.11 or newer; {old} is 3.9." in ended.stderr
    assert "There is no" not in ended.stdout


@pytest.mark.timeout(600)
def test_an_installation_without_a_network_asks_whether_there_is_one(tmp_path: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_RETRIES": "0"}
    ended = install(tmp_path, sys.executable, PIP_NO_CACHE_DIR="1", **nowhere)

    assert ended.returncode != 0
    assert "Is this machine online?" in ended.stdout


@pytest.mark.parametrize("target", ["start", "test", "bench", "doctor", "picture", "check"])
def test_every_command_can_be_read_by_make(target: str) -> None:
    command = ["make", "--dry-run", "--always-make", target]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
