"""Runs the oracle tests under Python 3.13, where Azure's runtime library can be installed.

    python -m tests.oracle      finds Python 3.13 or newer and makes a venv with the library

The library, azure-functions-runtime, needs Python 3.13. On an older Python the oracle tests
(tests/local/test_functions_oracle.py) run in a separate process with another Python.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from local.parts import ROOT

VENV = Path(sys.prefix) / "oracle"
PYTHON = VENV / "bin/python"
INSTALLED = VENV / "installed"  # written last; contains the installed requirements
REQUIREMENTS = ROOT / "tests/requirements-oracle.txt"
APP_REQUIREMENTS = ROOT / "requirements.txt"
APP_PACKAGES = ("azure-functions==", "msgspec==")
TESTS = "tests/local/test_functions_oracle.py"

NEWER_VERSIONS = ("3.13", "3.14")
INSTALL_TIMEOUT_SECONDS = 600.0
QUERY_TIMEOUT_SECONDS = 20.0


def is_needed() -> bool:
    """Whether this Python is too old for the library."""
    return sys.version_info < (3, 13)


@cache
def find_python() -> str | None:
    """The path of Python 3.13 or newer, from the PATH or from pyenv."""
    return next(filter(_is_new_enough, _candidates()), None)


def _candidates() -> Iterator[str]:
    for version in NEWER_VERSIONS:
        if found := shutil.which(f"python{version}"):
            yield found
    if found := shutil.which("python3"):
        yield found
    if pyenv := shutil.which("pyenv"):
        root = _output_of(pyenv, "root")
        for version in NEWER_VERSIONS:
            yield from map(str, sorted(Path(root.strip()).glob(f"versions/{version}*/bin/python")))


def _is_new_enough(python: str) -> bool:
    """Returns False also for pyenv's shims of versions that are not selected."""
    return _output_of(python, "-c", "import sys; print(sys.version_info >= (3, 13))") == "True\n"


def _output_of(*command: str) -> str:
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=QUERY_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout


def is_installed() -> bool:
    """Whether the venv exists and has the required versions."""
    return INSTALLED.exists() and INSTALLED.read_text(encoding="utf-8") == _requirements()


def install() -> str:
    """Make the venv unless it is current. Returns why it failed; empty when it succeeded."""
    if is_installed():
        return ""
    if (python := find_python()) is None:
        return "no Python 3.13 or newer was found"
    print("Installing Azure's runtime library under Python 3.13 ...", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [python, "-m", "venv", str(VENV)],
        [*pip, *_app_requirements(), "-r", str(REQUIREMENTS)],
    ):
        result = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_TIMEOUT_SECONDS,
            check=False,
        )
        if result.returncode:
            return (result.stdout.strip().splitlines() or [f"{command[0]} failed"])[-1]
    INSTALLED.write_text(_requirements(), encoding="utf-8")
    return ""


def _requirements() -> str:
    return "\n".join([*_app_requirements(), REQUIREMENTS.read_text(encoding="utf-8")])


def _app_requirements() -> list[str]:
    """What the local host needs of the deployed app's requirements, with the versions."""
    lines = APP_REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return [line.rstrip(" \\") for line in lines if line.startswith(APP_PACKAGES)]


def run() -> subprocess.CompletedProcess[str]:
    """Run the oracle tests in the venv, without tests/conftest.py, which needs the whole app."""
    return subprocess.run(
        [str(PYTHON), "-m", "pytest", "--noconftest", "-q", "-p", "no:cacheprovider", TESTS],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_TIMEOUT_SECONDS,
        check=False,
    )


def main() -> None:
    """The command line. Without the library the oracle tests are skipped, with the reason."""
    if is_needed() and (problem := install()):
        print(f"The oracle tests cannot run: {problem}.", flush=True)


if __name__ == "__main__":
    main()
