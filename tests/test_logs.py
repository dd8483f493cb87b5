"""Logs contain what happened, and no messages, names or tokens of users.

The fixture `stack` also searches all log lines of the test run.
"""

import asyncio
import json

import aiohttp

from local.parts import ACCESS_KEY, Stack
from tests import logs
from tests.service import Service, event_headers, new_connection, signature
from tests.strict import KEY
from tests.users import User

PRIVATE_TEXT = "a private sentence"


async def wait_for_log(stack: Stack, text: str) -> None:
    await asyncio.to_thread(stack.functions.wait_for_output, lambda line: text in line)


async def test_a_rejected_event_is_logged_without_its_content(
    stack: Stack, http: aiohttp.ClientSession
) -> None:
    ann = await User.create(http, stack.url, "ann")
    logs.add_private_texts(PRIVATE_TEXT)
    forged = event_headers("message", user=ann.id, rooms=["lobby"])
    forged["ce-signature"] = signature(new_connection())
    body = json.dumps({"room": "lobby", "content": PRIVATE_TEXT, "id": PRIVATE_TEXT}).encode()

    await Service(http, stack.url, KEY).call("POST", forged, body)
    await Service(http, stack.url, KEY).send_event(
        "message", {"content": PRIVATE_TEXT, "id": PRIVATE_TEXT}, user=ann.id
    )
    await Service(http, stack.url).call("OPTIONS", {"WebHook-Request-Origin": ann.session})
    await ann.ask("GET", f"/api/rooms/{PRIVATE_TEXT}/history")
    await ann.ask("POST", "/api/negotiate", data=PRIVATE_TEXT)

    await wait_for_log(stack, "event rejected: wrong signature")
    await wait_for_log(stack, "handshake rejected: the origin is not localhost")
    assert logs.find_leaks(logs.lines) == []


async def test_messages_are_not_logged(stack: Stack, http: aiohttp.ClientSession) -> None:
    ann, bob = [await User.create(http, stack.url, name) for name in ("ann", "bob")]

    async with ann.connect("lobby") as sender, bob.connect("lobby") as receiver:
        await sender.send_message("lobby", PRIVATE_TEXT)
        await receiver.receive(type="message", content=PRIVATE_TEXT)

    assert logs.find_leaks(logs.lines) == []


def test_find_leaks_finds_keys_and_messages() -> None:
    logs.add_private_texts(PRIVATE_TEXT)

    found = logs.find_leaks(
        ["no problem", f"connecting with {ACCESS_KEY}", f"stored: {PRIVATE_TEXT}"]
    )

    assert sorted(found) == ["ABCDEF… (44 characters)", f"a priv… ({len(PRIVATE_TEXT)} characters)"]
    assert PRIVATE_TEXT not in str(found)
