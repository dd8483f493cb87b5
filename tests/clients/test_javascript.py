"""The package townsquare-client: its own tests, run by Node against the running app."""

import gzip
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from local.parts import ROOT, Stack, node

PACKAGE = ROOT / "clients/javascript"
SCRIPTS = sorted((PACKAGE / "test").glob("*.test.mjs"))
MAX_PACKAGE_BYTES = 25 * 1024


@pytest.fixture(autouse=True)
def tools() -> None:
    """The tools of the package's tests; in CI they must be installed."""
    if not (PACKAGE / "node_modules").exists():
        reason = "the package's tools are not installed: `make test`, or `npm ci` in its folder"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_tests_of_the_package_pass(stack: Stack, script: Path) -> None:
    environment = {**os.environ, "TOWNSQUARE_URL": stack.url}
    done = subprocess.run(
        [node(), "--test", "--test-force-exit", script],
        capture_output=True,
        text=True,
        env=environment,
    )

    assert done.returncode == 0, done.stdout


def test_the_package_is_small(tmp_path: Path) -> None:
    """Including the Web PubSub client, compressed as a browser loads it."""
    build: list[str | Path] = [node(), PACKAGE / "build.mjs", tmp_path]
    subprocess.run(build, check=True, capture_output=True)

    bundle = tmp_path / "townsquare-client.js"
    assert len(gzip.compress(bundle.read_bytes())) < MAX_PACKAGE_BYTES


def test_the_page_uses_the_same_web_pubsub_client() -> None:
    """The page's build uses the packages in its own folder."""
    package, page = (
        json.loads((ROOT / path / "package.json").read_text())["dependencies"]
        for path in ("clients/javascript", "web")
    )

    assert page["@azure/web-pubsub-client"] == package["@azure/web-pubsub-client"]


def test_the_readme_says_how_to_install_this_version() -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    readme = (PACKAGE / "README.md").read_text()
    commands = readme.partition("```sh")[2].partition("```")[0]

    assert re.search(rf"npm install \S*/{package['name']}-{package['version']}\.tgz", commands)
    assert readme.index("```sh") < readme.index("```js")
