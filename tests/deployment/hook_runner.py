"""Runs a hook as azd does: as a program with the azd environment."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.deployment.bicep import INFRA

INHERITED = ("PATH", "HOME", "SYSTEMROOT", "TMPDIR", "LANG", "SSL_CERT_FILE")


@dataclass(frozen=True)
class HookResult:
    code: int
    output: str


def run_hook(name: str, folder: Path, environment: Mapping[str, str]) -> HookResult:
    """Run a hook with the `azd` in `folder` first on the PATH."""
    inherited = {key: os.environ[key] for key in INHERITED if key in os.environ}
    path = f"{folder}{os.pathsep}{inherited.get('PATH', '')}"
    result = subprocess.run(
        [sys.executable, INFRA / "hooks" / f"{name}.py"],
        env={**inherited, **environment, "PATH": path, "PYTHONUNBUFFERED": "1"},
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    output = result.stdout + result.stderr
    assert "Traceback" not in output, output
    return HookResult(result.returncode, output)
