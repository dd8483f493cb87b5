"""The wheel of the client: built offline, installed in a new environment, typed."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

from local.parts import ROOT, Stack

PACKAGE = ROOT / "clients/python"

PROGRAM = """
import os, sys
sys.path.append(os.environ["DEPENDENCIES"])  # behind the new environment's own packages
import townsquare_client
assert townsquare_client.__file__.startswith(sys.prefix), townsquare_client.__file__
with townsquare_client.Townsquare(os.environ["TOWNSQUARE_URL"], key="any") as townsquare:
    print(len(townsquare.streams()) > 2)
"""


def run(*command: str | Path, **variables: str) -> str:
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_is_built_offline_and_works_in_a_new_environment(
    tmp_path: Path, stack: Stack
) -> None:
    offline = ("--no-index", "--no-deps", "--quiet", "--disable-pip-version-check")
    run(
        *(sys.executable, "-m", "pip", "wheel", *offline, "--no-build-isolation"),
        *("--wheel-dir", tmp_path, PACKAGE),
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", *offline, wheel)

    # The packages that it depends on come from this environment: nothing is downloaded.
    dependencies = sysconfig.get_path("purelib")
    told = run(
        python, "-c", PROGRAM, TOWNSQUARE_URL=stack.url, PYTHONPATH="", DEPENDENCIES=dependencies
    )

    assert told.strip() == "True"
    assert "townsquare_client/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if "test" in name]


def test_the_readme_names_every_method_of_the_client() -> None:
    from townsquare_client import AsyncTownsquare, Townsquare

    readme = (PACKAGE / "README.md").read_text("utf-8")
    methods = {name for name in dir(Townsquare) if not name.startswith("_")}

    assert methods == {name for name in dir(AsyncTownsquare) if not name.startswith("_")}
    inner = {"call", "close", "has_key", "negotiate"}
    assert {name for name in methods - inner if f"`{name}(" not in readme} == set()


def test_a_file_has_at_most_300_lines() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) <= 300, path
