"""Delivery of the page's files. Their behaviour is tested in tests/page."""

import asyncio

import aiohttp
import pytest

from local.parts import Stack
from pages.health import REPORT_CACHE_SECONDS, Health, HealthReport

FILES = [
    "/",
    "/assets/app.js",
    "/assets/app.css",
    "/assets/icon.svg",
    "/assets/manifest.webmanifest",
    "/assets/townsquare-elements.js",
    "/api/docs",
    "/assets/api-docs.js",
]


async def fetch(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.get(url, headers=headers) as response,
    ):
        return (
            response.status,
            await response.read(),
            {k.lower(): v for k, v in response.headers.items()},
        )


@pytest.mark.parametrize("path", FILES)
async def test_a_file_is_compressed_and_not_sent_again_when_unchanged(
    stack: Stack, path: str
) -> None:
    status, plain, _ = await fetch(stack.url + path, **{"Accept-Encoding": "identity"})
    assert status == 200

    status, packed, headers = await fetch(stack.url + path, **{"Accept-Encoding": "br, gzip"})
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert len(packed) < len(plain)

    tag = headers["etag"]
    strong = tag.removeprefix("W/")
    for tags in (tag, strong, f'"old", {tag}', f'{strong},"old"', "*"):
        status, again, _ = await fetch(stack.url + path, **{"If-None-Match": tags})
        assert (status, again) == (304, b""), tags


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("*", "gzip"),
        ("gzip;q=0.1, br", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0, *", None),
        ("br", None),
        ("", None),
    ],
)
async def test_a_file_is_compressed_only_if_the_browser_accepts_it(
    stack: Stack, accepted: str, encoding: str | None
) -> None:
    status, _, headers = await fetch(f"{stack.url}/assets/app.js", **{"Accept-Encoding": accepted})

    assert (status, headers.get("content-encoding")) == (200, encoding)


async def test_a_file_that_has_changed_is_sent(stack: Stack) -> None:
    status, body, headers = await fetch(stack.url, **{"If-None-Match": '"old", W/"older"'})

    assert (status, bool(body)) == (200, True)
    assert headers["etag"].startswith('W/"')  # plain and compressed, one tag


@pytest.mark.parametrize("path", [*FILES, "/api/health", "/api/health/details"])
async def test_monitors_may_ask_with_head(
    stack: Stack, http: aiohttp.ClientSession, path: str
) -> None:
    async with http.head(stack.url + path) as response:
        assert (response.status, await response.read()) == (200, b"")


@pytest.mark.parametrize(
    "name", ["function_app.py", "..%2Fhost.json", "%2e%2e%2fhost.json", "app.js%00", "nothing.js"]
)
async def test_only_asset_files_are_served(stack: Stack, name: str) -> None:
    status, body, _ = await fetch(f"{stack.url}/assets/{name}")

    assert status == (400 if "%00" in name else 404)  # the host itself refuses a NUL
    assert b"version" not in body


async def test_the_page_sends_security_headers(stack: Stack) -> None:
    _, _, headers = await fetch(stack.url)

    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "ws://localhost" in policy
    assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")


async def test_health_details_have_the_state_of_each_dependency(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"{stack.url}/api/health") as response:
        public = await response.json()
    async with http.get(f"{stack.url}/api/health/details") as response:
        report = await response.json()

    assert public == {"status": "ok"}
    assert (response.status, report["status"]) == (200, "ok")
    assert (report["checks"]["tables"], report["checks"]["webpubsub"]) == ("ok", "ok")
    assert set(report["checks"]["streams"]) >= {"stock-prices", "system-metrics", "weather"}


async def test_health_checks_run_at_most_once_in_five_seconds() -> None:
    time, checks = 1000.0, 0

    async def check() -> HealthReport:
        nonlocal checks
        checks += 1
        await asyncio.sleep(0)
        return HealthReport("ok", {})

    health = Health(check, clock=lambda: time)
    await asyncio.gather(*(health.report() for _ in range(50)))
    time += REPORT_CACHE_SECONDS - 0.1
    await health.report()
    first = checks
    time += 0.1
    await health.report()

    assert (first, checks) == (1, 2)
