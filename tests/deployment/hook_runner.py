"""Runs a hook as azd does: a program of its own with the azd environment."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.deployment.bicep import INFRA

KEPT = ("PATH", "HOME", "SYSTEMROOT", "TMPDIR", "LANG")


@dataclass(frozen=True)
class HookResult:
    code: int
    output: str


def run_hook(name: str, folder: Path, environment: Mapping[str, str]) -> HookResult:
    """The result of a hook for which the azd in `folder` is the first on the PATH."""
    given = {key: os.environ[key] for key in KEPT if key in os.environ}
    path = f"{folder}{os.pathsep}{given.get('PATH', '')}"
    done = subprocess.run(
        [sys.executable, INFRA / "hooks" / f"{name}.py"],
        env={**given, **environment, "PATH": path, "PYTHONUNBUFFERED": "1"},
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert "Traceback" not in output, output
    return HookResult(done.returncode, output)
