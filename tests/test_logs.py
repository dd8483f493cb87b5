"""Logs: what happened can be read in them, and what people say and hold cannot.

Beside these tests, the fixture `desk` looks through all that was logged in the whole run.
"""

import asyncio
import json

import aiohttp

from local.parts import ACCESS_KEY, Desk
from tests import logs
from tests.people import Person
from tests.service import Service, event_headers, new_connection, signature
from tests.strict import KEY

SAID = "a sentence that is nobody's business"


async def logged(desk: Desk, text: str) -> None:
    """The app has logged this."""
    await asyncio.to_thread(desk.functions.hear, lambda line: text in line)


async def test_a_refusal_is_logged_without_what_was_refused(
    desk: Desk, http: aiohttp.ClientSession
) -> None:
    ann = await Person.enter(http, desk.url, "ann")
    logs.keep_private(SAID)
    forged = event_headers("message", user=ann.id, rooms=["lobby"])
    forged["ce-signature"] = signature(new_connection())
    body = json.dumps({"room": "lobby", "content": SAID, "id": SAID}).encode()

    await Service(http, desk.url, KEY).call("POST", forged, body)
    await Service(http, desk.url, KEY).says("message", {"content": SAID, "id": SAID}, user=ann.id)
    await Service(http, desk.url).call("OPTIONS", {"WebHook-Request-Origin": ann.session})
    await ann.ask("GET", f"/api/rooms/{SAID}/history")
    await ann.ask("POST", "/api/negotiate", data=SAID)

    await logged(desk, "event rejected: wrong signature")
    await logged(desk, "handshake rejected: the origin is not localhost")
    assert logs.leaks(logs.lines) == []


async def test_what_was_said_and_heard_is_in_no_log(
    desk: Desk, http: aiohttp.ClientSession
) -> None:
    ann, bob = [await Person.enter(http, desk.url, name) for name in ("ann", "bob")]

    async with ann.connect("lobby") as speaking, bob.connect("lobby") as hearing:
        await speaking.say("lobby", SAID)
        await hearing.hear(type="message", content=SAID)

    assert logs.leaks(logs.lines) == []


def test_the_search_would_find_them() -> None:
    logs.keep_private(SAID)

    found = logs.leaks(["all is well", f"connecting with {ACCESS_KEY}", f"kept: {SAID}"])

    assert sorted(found) == ["ABCDEF… (44 characters)", f"a sent… ({len(SAID)} characters)"]
    assert SAID not in str(found)
