"""Users who sign in at the platform or at an issuer: the page has no name form."""

import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, expect

from local.parts import Part, Stack, free_ports, start_functions
from tests.http_server import serve
from tests.issuer import OwnIssuer
from tests.page.conftest import WIDE
from tests.page.site import Forwarder
from tests.strict import QUIET

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLIENT_ID = "the-page"
COOKIE = "AppServiceAuthSession"
CLAIMS = {"auth_typ": "aad", "claims": [{"typ": "name", "val": "Ann"}]}
PRINCIPAL = {
    "X-MS-CLIENT-PRINCIPAL-ID": "0f1e2d3c",
    "X-MS-CLIENT-PRINCIPAL-NAME": "ann@example.com",
    "X-MS-CLIENT-PRINCIPAL": base64.b64encode(json.dumps(CLAIMS).encode()).decode(),
}
CORS = {"Access-Control-Allow-Origin": "*"}


def start_app(stack: Stack, **settings: str) -> Part:
    """Another instance of the app, with another identity provider."""
    (port,) = free_ports(1)
    part = start_functions(port, {**stack.environment, **QUIET, **settings})
    part.wait()
    return part


@pytest.fixture(scope="module")
def easyauth(stack: Stack) -> Iterator[Part]:
    part = start_app(stack, IDENTITY="easyauth", WEBSITE_AUTH_ENABLED="true")
    yield part
    part.stop()


class FrontEnd(Forwarder):
    """A stand-in for App Service Authentication: its URLs, its cookie and its headers."""

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/.auth/login/aad":
            headers = {"Location": request.query["post_login_redirect_uri"]}
            response = web.Response(status=302, headers=headers)
            response.set_cookie(COOKIE, "signed-in", httponly=True)
            return response
        if request.path == "/.auth/logout":
            headers = {"Location": request.query["post_logout_redirect_uri"]}
            response = web.Response(status=302, headers=headers)
            response.del_cookie(COOKIE)
            return response
        return await self.forward(request, PRINCIPAL if COOKIE in request.cookies else {})


async def test_the_platform_signs_in_and_out(context: BrowserContext, easyauth: Part) -> None:
    async with aiohttp.ClientSession() as client:
        front_end = FrontEnd(easyauth.url, client)
        async with serve(front_end.respond, "localhost") as url:
            page = await context.new_page()
            await page.goto(f"{url}/?room=market")
            heading = page.get_by_role("heading", name="Sign in to join")
            await expect(heading).to_be_visible(timeout=30_000)
            await expect(page.locator("#name-form")).to_be_hidden()

            await page.get_by_role("button", name="Sign in").click()
            await is_live_as(page, "Ann")
            await expect(page.locator("#room-title")).to_have_text("#market")

            await sign_out(page)
            await expect(heading).to_be_visible(timeout=30_000)


class SigningIssuer(OwnIssuer):
    """An issuer with a sign-in: authorization code with PKCE, verified by RFC 7636."""

    app_url = ""
    token_url = ""

    def __init__(self) -> None:
        super().__init__()
        self.challenges: dict[str, str] = {}
        self.refreshes = 0
        self.expires_in = 600

    async def answer(self, request: web.BaseRequest) -> web.Response:
        return await self._respond(request)

    async def _respond(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/.well-known/openid-configuration":
            endpoints = {"authorization": "authorize", "token": "token", "end_session": "logout"}
            urls = {f"{name}_endpoint": f"{self.url}/{path}" for name, path in endpoints.items()}
            urls["token_endpoint"] = f"{self.token_url or self.url}/token"
            document = {"issuer": self.name, "jwks_uri": f"{self.url}/keys", **urls}
            return web.json_response(document, headers=CORS)
        if request.path == "/authorize":
            return self._authorize(request)
        if request.path == "/token":
            return self._give_token(parse_qs((await request.read()).decode()))
        if request.path == "/logout":
            raise web.HTTPFound(request.query["post_logout_redirect_uri"])
        return await super()._respond(request)

    def _authorize(self, request: web.BaseRequest) -> web.Response:
        query = request.query
        assert (query["client_id"], query["response_type"]) == (CLIENT_ID, "code")
        assert query["redirect_uri"] == f"{self.app_url}/"
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_hex(8)
        self.challenges[code] = query["code_challenge"]
        parameters = urlencode({"code": code, "state": query["state"]})
        return web.Response(
            status=302, headers={"Location": f"{query['redirect_uri']}?{parameters}"}
        )

    def _give_token(self, form: dict[str, list[str]]) -> web.Response:
        if form["grant_type"] == ["authorization_code"]:
            challenge = self.challenges.pop(form["code"][0])
            digest = hashlib.sha256(form["code_verifier"][0].encode()).digest()
            assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == challenge
        else:
            assert form["refresh_token"] == ["refresh"]
            self.refreshes += 1
        tokens: dict[str, Any] = {
            "id_token": self.token(aud=CLIENT_ID, name="Ann"),
            "access_token": "opaque",
            "refresh_token": "refresh",
            "expires_in": self.expires_in,
        }
        return web.json_response(tokens, headers=CORS)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def issuer() -> AsyncIterator[SigningIssuer]:
    """Its token endpoint has another origin, as Google's has."""
    async with SigningIssuer() as issuer, serve(issuer.answer) as issuer.token_url:
        yield issuer


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport=WIDE)
    context.set_default_timeout(20_000)
    yield context
    await context.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def app(stack: Stack, issuer: SigningIssuer) -> AsyncIterator[Part]:
    settings = {"OIDC_ISSUER": issuer.url, "OIDC_AUDIENCE": CLIENT_ID, "OIDC_CLIENT_ID": CLIENT_ID}
    part = start_app(stack, IDENTITY="oidc", **settings)
    issuer.app_url = part.url
    yield part
    part.stop()


async def test_an_issuer_signs_in_and_out(context: BrowserContext, app: Part) -> None:
    page = await context.new_page()
    await page.goto(f"{app.url}/?room=market")
    await expect(page.locator("#name-form")).to_be_hidden()

    await page.get_by_role("button", name="Sign in").click()

    await is_live_as(page, "Ann")
    await expect(page.locator("#room-title")).to_have_text("#market")
    assert "code=" not in page.url
    await page.reload()
    await is_live_as(page, "Ann")
    await sign_out(page)
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    tokens = "Object.keys(sessionStorage).filter((key) => key.includes('oidc'))"
    assert await page.evaluate(tokens) == []


async def test_a_token_is_renewed_before_it_expires(
    context: BrowserContext, issuer: SigningIssuer, app: Part
) -> None:
    issuer.expires_in = 30  # less than the margin: each request renews it
    page = await context.new_page()
    await page.goto(app.url)

    await page.get_by_role("button", name="Sign in").click()

    await is_live_as(page, "Ann")
    assert issuer.refreshes >= 1
    issuer.expires_in = 600


async def test_an_unavailable_issuer_is_shown(
    context: BrowserContext, issuer: SigningIssuer, app: Part
) -> None:
    page = await context.new_page()
    await page.goto(app.url)
    await context.route(f"{issuer.url}/**", lambda route: route.abort())

    await page.get_by_role("button", name="Sign in").click()

    await expect(page.locator("#sign-in-error")).to_contain_text("The sign-in failed.")


async def test_a_renewal_that_fails_is_repeated(
    context: BrowserContext, issuer: SigningIssuer, app: Part
) -> None:
    page = await context.new_page()
    await page.goto(app.url)
    await page.get_by_role("button", name="Sign in").click()
    await is_live_as(page, "Ann")
    refreshes = issuer.refreshes
    await context.route(f"{issuer.url}/**", lambda route: route.abort())
    expire = """() => { const name = "townsquare.oidc.tokens";
        const tokens = JSON.parse(sessionStorage.getItem(name));
        sessionStorage.setItem(name, JSON.stringify({ ...tokens, expiresAt: Date.now() })); }"""
    await page.evaluate(expire)
    await page.reload()
    await expect(page.locator("#notice")).to_contain_text("No connection yet.")

    await context.unroute(f"{issuer.url}/**")

    await is_live_as(page, "Ann")
    assert issuer.refreshes > refreshes


async def is_live_as(page: Page, name: str) -> None:
    await expect(page.locator("#state")).to_have_text("Live", timeout=30_000)
    await expect(page.locator("#user")).to_contain_text(name)


async def sign_out(page: Page) -> None:
    await page.locator("#sign-out").click()
    await page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
