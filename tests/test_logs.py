"""Logs: what happened can be read in them, and what people say and hold cannot.

Beside these tests, the fixture `stack` looks through all that was logged in the whole run.
"""

import asyncio
import json

import aiohttp

from local.parts import ACCESS_KEY, Stack
from tests import logs
from tests.service import Service, event_headers, new_connection, signature
from tests.strict import KEY
from tests.users import User

SAID = "a sentence that is nobody's business"


async def logged(stack: Stack, text: str) -> None:
    """The app has logged this."""
    await asyncio.to_thread(stack.functions.wait_for_output, lambda line: text in line)


async def test_a_rejected_event_is_logged_without_its_content(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    ann = await User.create(http, stack.url, "ann")
    logs.add_private_texts(SAID)
    forged = event_headers("message", user=ann.id, rooms=["lobby"])
    forged["ce-signature"] = signature(new_connection())
    body = json.dumps({"room": "lobby", "content": SAID, "id": SAID}).encode()

    await Service(http, stack.url, KEY).call("POST", forged, body)
    await Service(http, stack.url, KEY).send_event(
        "message", {"content": SAID, "id": SAID}, user=ann.id
    )
    await Service(http, stack.url).call("OPTIONS", {"WebHook-Request-Origin": ann.session})
    await ann.ask("GET", f"/api/rooms/{SAID}/history")
    await ann.ask("POST", "/api/negotiate", data=SAID)

    await logged(stack, "event rejected: wrong signature")
    await logged(stack, "handshake rejected: the origin is not localhost")
    assert logs.find_leaks(logs.lines) == []


async def test_messages_are_not_logged(stack: Stack, http: aiohttp.ClientSession) -> None:
    ann, bob = [await User.create(http, stack.url, name) for name in ("ann", "bob")]

    async with ann.connect("lobby") as speaking, bob.connect("lobby") as hearing:
        await speaking.send_message("lobby", SAID)
        await hearing.receive(type="message", content=SAID)

    assert logs.find_leaks(logs.lines) == []


def test_find_leaks_finds_keys_and_messages() -> None:
    logs.add_private_texts(SAID)

    found = logs.find_leaks(["all is well", f"connecting with {ACCESS_KEY}", f"stored: {SAID}"])

    assert sorted(found) == ["ABCDEF… (44 characters)", f"a sent… ({len(SAID)} characters)"]
    assert SAID not in str(found)
