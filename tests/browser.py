"""The browser for the tests of the page: an installed one, or one downloaded into the venv.

    python -m tests.browser      installs a browser where the machine has none

Playwright's own download is tried first. Where its address cannot be reached, the npm package
@sparticuz/chromium provides a browser for Linux on x64 and the libraries that it needs.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from playwright.async_api import Playwright, async_playwright

from local.parts import ROOT, node

FOLDER = Path(sys.prefix) / "browser"
PACKAGE = ROOT / "tests/chromium"

INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "msedge")
INSTALLED_ON_MACOS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
# The file name depends on the platform.
HEADLESS_SHELLS = ("chrome-headless-shell", "headless_shell")

# Playwright's own Node needs libatomic, which small container images lack; ours does not.
NODE_OF_PLAYWRIGHT = "PLAYWRIGHT_NODEJS_PATH"

# Under LANG=C, Chromium's language is "en-US@posix", which its own Intl rejects.
LOCALE = {"LC_ALL": "en_US.UTF-8"}

START_TIMEOUT_SECONDS = 60.0
INSTALL_TIMEOUT_SECONDS = 600.0

FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="relative">font-cache</cachedir>
</fontconfig>
"""


@dataclass(frozen=True)
class Browser:
    """A browser that Playwright can start, with its arguments and environment."""

    executable: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def starts(self) -> bool:
        """False where a library is missing, or the file is a script that only prints a hint."""
        try:
            result = subprocess.run(
                [self.executable, "--version"],
                env={**os.environ, **self.environment},
                capture_output=True,
                timeout=START_TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return result.returncode == 0

    def launch_options(self) -> dict[str, Any]:
        """Arguments for Playwright's `launch`."""
        return {
            "executable_path": self.executable,
            "args": list(self.arguments),
            "env": {**os.environ, **LOCALE, **self.environment},
        }


def start_playwright() -> AbstractAsyncContextManager[Playwright]:
    """Playwright's driver with the project's Node.js: `async with start_playwright()`."""
    os.environ.setdefault(NODE_OF_PLAYWRIGHT, node())
    return async_playwright()


@cache
def find_browser() -> Browser | None:
    """The first browser that starts: $CHROMIUM, an installed one, one downloaded into the venv."""
    return next((browser for browser in _candidates() if browser.starts()), None)


def _candidates() -> Iterator[Browser]:
    for name in (os.environ.get("CHROMIUM", ""), *INSTALLED, *INSTALLED_ON_MACOS):
        if name and (found := shutil.which(name)):
            yield Browser(str(Path(found).resolve()))
    for name in HEADLESS_SHELLS:
        for shell in FOLDER.glob(f"chromium_headless_shell-*/*/{name}"):
            yield Browser(str(shell))
    if (packaged := _packaged_browser(FOLDER / "npm")) is not None:
        yield packaged


def _packaged_browser(folder: Path) -> Browser | None:
    executable = folder / "chromium"
    if not executable.exists():
        return None
    environment = {
        "LD_LIBRARY_PATH": str(folder / "lib"),
        "FONTCONFIG_FILE": str(folder / "fonts.conf"),
    }
    return Browser(str(executable), ("--headless=shell",), environment)


def install_browser() -> Browser | None:
    """Return the browser for the tests. Downloads one where none is installed.

    Returns None, and prints the reason, when no browser can be downloaded.
    """
    for download in (_download_with_playwright, _download_with_npm):
        if (browser := find_browser()) is not None:
            return browser
        if problem := download():
            print(problem, flush=True)
        find_browser.cache_clear()
    return find_browser()


def _download_with_playwright() -> str:
    """Returns why it failed; empty when it succeeded."""
    print("No Chromium, Chrome or Edge is installed: downloading one for the tests ...", flush=True)
    return _run(
        [sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"],
        environment={"PLAYWRIGHT_BROWSERS_PATH": str(FOLDER), NODE_OF_PLAYWRIGHT: node()},
    )


def _download_with_npm() -> str:
    """Returns why it failed; empty when it succeeded."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return "The npm package with a browser is for Linux on x64 only."
    print("Trying the browser of the npm package @sparticuz/chromium ...", flush=True)
    folder = FOLDER / "npm"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("node_modules"))
    npm = shutil.which("npm", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if npm is None:
        return "There is no npm: run `make test`, which installs one with pip."
    search_path = {"PATH": f"{Path(npm).parent}:{os.environ['PATH']}"}
    problem = _run([npm, "ci", "--no-audit", "--no-fund"], folder, search_path)
    problem = problem or _run([node(), "unpack.mjs", str(folder)], folder)
    shutil.rmtree(folder / "node_modules", ignore_errors=True)  # 70 MB that are no longer needed
    (folder / "fonts.conf").write_text(FONTS)
    return problem


def _run(
    command: list[str], folder: Path = ROOT, environment: Mapping[str, str] | None = None
) -> str:
    """Returns the first error line of a failed command; empty when it succeeded."""
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {INSTALL_TIMEOUT_SECONDS:.0f} s."
    output = result.stdout.strip().splitlines() or ["no output"]
    errors = [line for line in output if "rror" in line]
    return "" if result.returncode == 0 else (errors or output)[0].strip()


def main() -> None:
    """The command line. Without a browser the tests of the page are skipped."""
    if install_browser() is None:
        print("There is no browser: the tests of the page cannot run.", flush=True)


if __name__ == "__main__":
    main()
