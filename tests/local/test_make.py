"""Messages of `make` when the installation fails."""

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
    result = install(tmp_path, "/no/such/python")

    assert result.returncode != 0
    assert "There is no /no/such/python." in result.stdout
    assert "newer" in result.stdout


def test_an_old_python_is_distinguished_from_a_missing_one(tmp_path: Path) -> None:
    old = tmp_path / "python"
    # A Python that reports version 3.9.
    program = '"import sys; sys.version_info = (3, 9, 1)\n$1"'
    old.write_text(f"#!/bin/sh\nshift\nexec {sys.executable} -c {program}\n")
    old.chmod(0o755)

    result = install(tmp_path, str(old))

    assert result.returncode != 0
    assert f"Townsquare needs Python 3.11 or newer; {old} is 3.9." in result.stderr
    assert "There is no" not in result.stdout


@pytest.mark.timeout(600)
def test_an_installation_without_a_network_prints_a_hint(tmp_path: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_RETRIES": "0"}
    result = install(tmp_path, sys.executable, PIP_NO_CACHE_DIR="1", **nowhere)

    assert result.returncode != 0
    assert "Is this machine online?" in result.stdout


@pytest.mark.parametrize(
    "target", ["start", "test", "bench", "faults", "doctor", "picture", "check"]
)
def test_every_make_target_is_valid(target: str) -> None:
    command = ["make", "--dry-run", "--always-make", target]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
