"""A step of one's own before a message is stored: it decides, and its failures are decided upon."""

import asyncio
import logging
import uuid

import aiohttp
import pytest

from local.parts import Part
from realtime.errors import ApiError
from realtime.users.moderation import Moderation
from tests.service import Service
from tests.strict import KEY

SENTENCE = "Please say it without swearing."


async def check(moderator: object, *, pass_on_failure: bool = False) -> str | None:
    """The code with which a text is refused, or None."""
    moderation = Moderation(moderator, pass_on_failure, timeout_seconds=0.05)  # type: ignore[arg-type]
    try:
        await moderation.check("ann-22222222", "lobby", "what nobody should see in a log")
    except ApiError as refused:
        return refused.code
    return None


async def agrees(*_: str) -> None:
    return None


async def objects(*_: str) -> str:
    return SENTENCE


async def breaks(_sender: str, _where: str, content: str) -> None:
    raise ValueError(content)


async def waits(*_: str) -> None:
    await asyncio.Event().wait()


async def answers_yes(*_: str) -> bool:
    return True


def is_no_coroutine(*_: str) -> None:
    return None


def takes_nothing() -> None:
    return None


async def test_the_moderation_function_decides() -> None:
    assert await check(agrees) is None
    assert await check(objects) == "moderated"


@pytest.mark.parametrize("failing", [breaks, waits, answers_yes, is_no_coroutine, takes_nothing])
async def test_the_setting_decides_when_moderation_fails_or_times_out(
    failing: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        refused = await check(failing)
        passed = await check(failing, pass_on_failure=True)

    assert (refused, passed) == ("moderation_unavailable", None)
    assert caplog.text.count("moderation failed") == 2
    assert "what nobody should see" not in caplog.text


async def test_the_documented_word_list_rejects_words(
    strict: Part, http: aiohttp.ClientSession
) -> None:
    room = f"room-{uuid.uuid4().hex}"
    key = {"x-functions-key": KEY}
    made = await http.put(f"{strict.url}/api/rooms/{room}", json={}, headers=key)
    service = Service(http, strict.url, KEY)

    async def say(content: str) -> tuple[str | None, str | None]:
        said = {"room": room, "content": content, "id": uuid.uuid4().hex}
        answered = await service.send_event("message", said, user="carol-22222222", rooms=[room])
        return answered.code, (answered.json or {}).get("message")

    assert made.status == 200
    assert await say("what the Heck?") == ("moderated", SENTENCE)
    assert await say("heckle and darning are fine") == (None, None)


async def test_a_direct_message_is_moderated(strict: Part, http: aiohttp.ClientSession) -> None:
    key = {"x-functions-key": KEY}
    url = f"{strict.url}/api/users/dave-22222222/message"
    met = await http.post(url, json={"content": "welcome"}, headers=key)
    said = {"to": "dave-22222222", "content": "darn", "id": "1"}

    answered = await Service(http, strict.url, KEY).send_event(
        "direct", said, user="carol-22222222"
    )

    assert (met.status, answered.code) == (200, "moderated")
