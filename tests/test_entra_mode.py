"""What holds when the tests run with Entra ID: see tests/entra.py."""

import os

import aiohttp
import pytest

from local.parts import Desk
from tests.entra import FOLDER_VARIABLE
from tests.people import Person
from tests.service import Service, event_headers

pytestmark = pytest.mark.skipif(
    FOLDER_VARIABLE not in os.environ, reason="runs with `python -m tests.entra`"
)


async def test_clients_get_https_addresses_and_reach_the_app(
    desk: Desk, http: aiohttp.ClientSession, room: str
) -> None:
    assert desk.webpubsub_url.startswith("https://")

    ann = await Person.enter(http, desk.url, "ann")

    assert ann is not None


async def test_an_event_that_is_signed_with_the_key_but_has_no_token_is_refused(
    desk: Desk, http: aiohttp.ClientSession
) -> None:
    answer = await Service(http, desk.url).call("POST", event_headers("typing"), b"{}")

    assert answer.status == 401
