"""The types of the client packages, judged by what their users have: TypeScript and Pyright."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from local.parts import ROOT, node

TOOLS = ROOT / "tests/clients/node_modules"
ATTW = TOOLS / "@arethetypeswrong/cli/dist/index.js"
PYRIGHT = TOOLS / "pyright/index.js"
PACKAGE = ROOT / "clients/javascript"
PROGRAM = """
import { type Change, type Entry, type PendingMessage, type Room } from "townsquare-client";
import { type Stream, connect } from "townsquare-client";
import { RoomElement } from "townsquare-client/elements";
import { useRoom } from "townsquare-client/react";

const client = connect({ name: "Ann" });
const room: Room = client.room("lobby");
const entries: Entry[] = room.entries;
const pending: PendingMessage[] = room.pending;
const stream: Stream = client.stream("weather");
const sent: Promise<{ id: string }> = useRoom("lobby").send("Hello");
const element: HTMLElement = new RoomElement();
export { type Change, element, entries, pending, sent, stream };
"""


@pytest.fixture(autouse=True)
def tools() -> None:
    """The tools are installed; in CI they must be."""
    if not ATTW.exists():
        reason = (
            "the type checkers are not installed: run `make test`, or `npm ci` in tests/clients"
        )
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The JavaScript package as npm publishes it; its types are generated from the sources."""
    npm = shutil.which("npm", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert npm is not None
    target = tmp_path_factory.mktemp("package")
    subprocess.run(
        [npm, "pack", "--silent", "--pack-destination", target],
        cwd=ROOT / "clients/javascript",
        env={**os.environ, "PATH": f"{Path(npm).parent}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
    )
    (packed,) = target.glob("*.tgz")
    return packed


def test_the_types_are_generated_from_the_sources(archive: Path) -> None:
    with tarfile.open(archive) as files:
        member = files.extractfile("package/types/client.d.ts")
        assert member is not None
        client = member.read().decode()

    assert "export function connect(options?: ConnectOptions): Client;" in client
    assert "room(name: string): Room;" in client


def test_each_import_of_the_javascript_package_has_types(archive: Path) -> None:
    done = subprocess.run(
        [node(), str(ATTW), "--profile", "esm-only", "--no-emoji", str(archive)],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def app(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package is installed."""
    folder = tmp_path_factory.mktemp("app")
    modules = folder / "node_modules"
    shutil.copytree(PACKAGE / "node_modules", modules, symlinks=True, copy_function=os.symlink)
    with tarfile.open(archive) as files:
        files.extractall(modules, filter="data")
    (modules / "package").rename(modules / "townsquare-client")
    return folder


def test_a_program_in_typescript_finds_the_types_of_the_package(app: Path) -> None:
    (app / "app.mts").write_text(PROGRAM)
    tsc = PACKAGE / "node_modules/typescript/bin/tsc"
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--types", "node"]
    command = [node(), tsc, *options, "--target", "es2022", "app.mts"]
    done = subprocess.run(command, cwd=app, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


def test_a_bundle_has_the_elements_that_it_imports(app: Path) -> None:
    """The import has only its side effect: the elements are defined."""
    (app / "app.mjs").write_text('import "townsquare-client/elements";')
    bundle = [PACKAGE / "node_modules/.bin/esbuild", "app.mjs", "--bundle", "--format=esm"]
    done = subprocess.run(bundle, cwd=app, check=True, capture_output=True, text=True)

    assert done.stderr == ""
    assert 'customElements.define("townsquare-room"' in done.stdout


def test_the_types_of_the_python_package_are_complete() -> None:
    command = [node(), str(PYRIGHT), "--ignoreexternal", "--verifytypes", "townsquare_client"]
    environment = {  # Pyright asks the first `python` of PATH where its packages are.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "clients/python/src"),
    }
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout
