"""A headless browser for the tests of the traffic viewer."""

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, async_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "msedge")


@contextlib.asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Start a browser. Without one the test is skipped, except in CI."""
    options = find_browser()
    if options is None:
        reason = "no Chromium, Chrome or Edge: install one, or set CHROMIUM to the path of one"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**options)
        try:
            yield browser
        finally:
            await browser.close()


def find_browser() -> dict[str, Any] | None:
    """Return the arguments of Playwright's `launch`."""
    with contextlib.suppress(ImportError):
        # In the repository of the emulator, `make test` installs a browser where there is none.
        from tests.browser import NODE_OF_PLAYWRIGHT, node
        from tests.browser import find_browser as find_in_repository

        os.environ.setdefault(NODE_OF_PLAYWRIGHT, node())
        found = find_in_repository()
        return found.launch_options() if found else None
    for name in (os.environ.get("CHROMIUM", ""), *_NAMES):
        if name and (path := shutil.which(name)):
            return {"executable_path": path, "args": ["--no-sandbox"]}
    return None
