"""The API reference at /api/docs: Swagger UI, under the content security policy."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Response, expect

from local.parts import Stack
from pages import openapi
from tests.page.user import WITHIN

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Reference:
    """The reference in a browser, what its console reports, and the hosts that it calls."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.reports: list[str] = []
        self.urls: list[str] = []
        page.on("pageerror", lambda error: self.reports.append(str(error)))
        page.on("console", self._note)
        page.on("request", lambda request: self.urls.append(request.url))

    def _note(self, message: object) -> None:
        kind, text = getattr(message, "type", ""), getattr(message, "text", "")
        if kind in {"error", "warning"} and "the server responded with a status of 4" not in text:
            self.reports.append(text)

    async def open_operation(self, operation_id: str) -> None:
        block = self.page.locator(f'[id$="-{operation_id}"].opblock')
        await block.locator(".opblock-summary-control").click()
        await block.get_by_role("button", name="Try it out").click()

    async def execute(self) -> Response:
        async with self.page.expect_response(re.compile("/api/(?!openapi|docs)")) as response:
            await self.page.get_by_role("button", name="Execute").click()
        return await response.value


@pytest_asyncio.fixture(loop_scope="session")
async def reference(browser: Browser, stack: Stack) -> AsyncIterator[Reference]:
    context = await browser.new_context()
    reference = Reference(await context.new_page())
    reference.page.set_default_timeout(2 * WITHIN)
    response = await reference.page.goto(f"{stack.url}/api/docs")
    assert response is not None
    assert "unsafe" not in response.headers["content-security-policy"]
    await expect(reference.page.locator(".opblock").first).to_be_visible(timeout=2 * WITHIN)
    yield reference
    await context.close()
    assert reference.reports == []
    assert [url for url in reference.urls if not url.startswith((stack.url, "data:"))] == []


async def test_every_operation_is_shown_under_its_tag(reference: Reference) -> None:
    document = openapi.document()

    for tag in document["tags"]:
        await expect(
            reference.page.locator(f'.opblock-tag[data-tag="{tag["name"]}"]')
        ).to_be_visible()
    for item in document["paths"].values():
        for operation in item.values():
            [tag] = operation["tags"]
            block = reference.page.locator(f"#operations-{tag}-{operation['operationId']}")
            await expect(block).to_be_visible()


async def test_an_operation_can_be_called_with_try_it_out(reference: Reference) -> None:
    await reference.open_operation("negotiate_post")

    response = await reference.execute()

    assert response.status == 200
    assert (await response.json())["user_id"].lower().startswith("ann-")
    await expect(reference.page.locator(".live-responses-table")).to_contain_text("user_id")


async def test_an_entered_session_is_sent_with_requests(reference: Reference, stack: Stack) -> None:
    entered = await reference.page.request.post(
        f"{stack.url}/api/negotiate", data={"user_id": "bob"}
    )
    session = (await entered.json())["session"]
    await reference.page.get_by_role("button", name="Authorize").first.click()
    dialog = reference.page.locator(".modal-ux")
    scheme = dialog.locator("form", has_text="bearer")
    await scheme.get_by_role("textbox").fill(session)
    await scheme.get_by_role("button", name="Apply credentials").click()
    await dialog.locator(".close-modal").click()

    await reference.open_operation("room_list")
    response = await reference.execute()

    assert response.request.headers["authorization"] == f"Bearer {session}"
    assert (response.status, await response.json()) == (200, {"rooms": [], "direct": []})
