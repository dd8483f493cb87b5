"""The moderation function: it accepts or rejects a text before the text is stored."""

import asyncio
import base64
import json
import logging
import uuid

import aiohttp
import pytest

from local.parts import Part, Stack, free_ports, start_functions
from realtime.errors import ApiError
from realtime.users.moderation import Moderation
from tests.service import Service
from tests.strict import KEY, QUIET

REJECTION = "Please say it without swearing."


async def check(moderator: object, *, pass_on_failure: bool = False) -> str | None:
    """The error code of a rejected text, or None."""
    moderation = Moderation(moderator, pass_on_failure, timeout_seconds=0.05)  # type: ignore[arg-type]
    try:
        await moderation.check("ann-22222222", "lobby", "a private text")
    except ApiError as error:
        return error.code
    return None


async def accept(*_: str) -> None:
    return None


async def reject(*_: str) -> str:
    return REJECTION


async def fail(_sender: str, _where: str, content: str) -> None:
    raise ValueError(content)


async def never_return(*_: str) -> None:
    await asyncio.Event().wait()


async def return_true(*_: str) -> bool:
    return True


def synchronous(*_: str) -> None:
    return None


def without_parameters() -> None:
    return None


async def test_the_moderation_function_decides() -> None:
    assert await check(accept) is None
    assert await check(reject) == "moderated"


@pytest.mark.parametrize(
    "failing", [fail, never_return, return_true, synchronous, without_parameters]
)
async def test_the_setting_decides_when_moderation_fails_or_times_out(
    failing: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        refused = await check(failing)
        passed = await check(failing, pass_on_failure=True)

    assert (refused, passed) == ("moderation_unavailable", None)
    assert caplog.text.count("moderation failed") == 2
    assert "a private text" not in caplog.text


async def test_the_documented_word_list_rejects_words(
    strict: Part, http: aiohttp.ClientSession
) -> None:
    room = f"room-{uuid.uuid4().hex}"
    key = {"x-functions-key": KEY}
    made = await http.put(f"{strict.url}/api/rooms/{room}", json={}, headers=key)
    service = Service(http, strict.url, KEY)

    async def send(content: str) -> tuple[str | None, str | None]:
        message = {"room": room, "content": content, "id": uuid.uuid4().hex}
        response = await service.send_event("message", message, user="carol-22222222", rooms=[room])
        return response.code, (response.json or {}).get("message")

    assert made.status == 200
    assert await send("what the Heck?") == ("moderated", REJECTION)
    assert await send("heckle and darning are fine") == (None, None)


async def test_a_direct_message_is_moderated(strict: Part, http: aiohttp.ClientSession) -> None:
    key = {"x-functions-key": KEY}
    url = f"{strict.url}/api/users/dave-22222222/message"
    first = await http.post(url, json={"content": "welcome"}, headers=key)
    message = {"to": "dave-22222222", "content": "darn", "id": "1"}

    response = await Service(http, strict.url, KEY).send_event(
        "direct", message, user="carol-22222222"
    )

    assert (first.status, response.code) == (200, "moderated")


async def test_a_rejected_name_of_an_account_is_replaced(
    stack: Stack, strict: Part, http: aiohttp.ClientSession
) -> None:
    """`strict` has the module of the moderation function in its PYTHONPATH."""
    settings = {
        "IDENTITY": "easyauth",
        "WEBSITE_AUTH_ENABLED": "true",
        "MODERATE": "word_list:check",
    }
    folder = strict.environment["PYTHONPATH"]
    environment = {**stack.environment, **QUIET, **settings, "PYTHONPATH": folder}
    part = start_functions(free_ports(1)[0], environment)
    try:
        part.wait()
        names = []
        for name in ("Darn Bob", "Good Bob"):
            claims = {"auth_typ": "aad", "claims": [{"typ": "name", "val": name}]}
            principal = base64.b64encode(json.dumps(claims).encode()).decode()
            headers = {
                "X-MS-CLIENT-PRINCIPAL": principal,
                "X-MS-CLIENT-PRINCIPAL-ID": uuid.uuid4().hex,
                "X-MS-CLIENT-PRINCIPAL-NAME": "bob@example.com",
            }
            url = f"{part.url}/api/negotiate"
            async with http.post(url, json={}, headers=headers) as answer:
                assert answer.status == 200, await answer.text()
                names.append((await answer.json())["name"])
    finally:
        part.stop()

    assert names == ["user", "Good Bob"]
