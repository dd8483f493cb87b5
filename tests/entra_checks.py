"""Tests that run only with Entra ID: see tests/entra.py."""

import aiohttp

from local.parts import Stack
from tests.service import Service, event_headers
from tests.users import User


async def test_the_app_issues_tokens_for_an_https_service(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    ann = await User.create(http, stack.url, "ann")

    issued = await ann.negotiate()

    address = issued["url"].partition("/client/")[0]
    assert address.startswith("wss://")
    assert f"Endpoint={address.replace('wss', 'https')};" in stack.webpubsub_connection_string


async def test_an_event_signed_with_the_key_and_without_a_token_is_rejected(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    response = await Service(http, stack.url).call("POST", event_headers("typing"), b"{}")

    assert response.status == 401
