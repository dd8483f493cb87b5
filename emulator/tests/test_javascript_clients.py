"""The official JavaScript client and event handler meet the emulator."""

import aiohttp
import pytest
from javascript_client import Party, install, running
from running_emulator import TALKER, Desk, desk, handled_by


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    install()


def url(d: Desk, user: str) -> str:
    return d.url(user, roles=list(TALKER))


async def test_two_javascript_clients_hear_each_other() -> None:
    async with desk() as d, running("browser.js", url(d, "ann")) as ann:
        await ann.does("join", group="lobby")
        async with running("browser.js", url(d, "bob")) as bob:
            await bob.does("join", group="lobby")
            await bob.does("send", group="lobby", data={"text": "hé"})

            assert await ann.tells("group") == {"text": "hé"}


async def test_what_is_not_allowed_fails_in_javascript() -> None:
    async with desk() as d, running("browser.js", d.url("ann")) as ann:
        ann.starts("join", group="lobby")

        assert await ann.tells("failed") == "Forbidden"


async def test_a_client_that_is_cut_off_misses_nothing() -> None:
    async with desk() as d, running("browser.js", url(d, "ann")) as ann:
        await ann.does("join", group="numbers")
        service = d.service()
        for number in range(60):
            await d.ask(service.send_to_group, "numbers", {"number": number})
            if number in (20, 40):
                d.server.cut(user_id="ann")

        heard = [(await ann.tells("group"))["number"] for _ in range(60)]

        assert heard == list(range(60))


async def test_a_stream_arrives_piece_by_piece() -> None:
    async with desk() as d, running("browser.js", url(d, "ann")) as ann:
        await ann.does("join", group="news")
        async with running("browser.js", url(d, "bob")) as bob:
            await bob.does("open", group="news")
            for piece in ("one", "two", "three"):
                await bob.does("write", data=piece)
            await bob.does("end")

            assert [await ann.tells("piece") for _ in range(3)] == ["one", "two", "three"]
            await ann.tells("end")


async def test_a_stream_goes_on_after_its_publisher_was_cut_off() -> None:
    async with desk() as d, running("browser.js", url(d, "ann")) as ann:
        await ann.does("join", group="news")
        async with running("browser.js", url(d, "bob")) as bob:
            await bob.does("open", group="news")
            await bob.does("write", data="before")
            d.server.cut(user_id="bob")
            await bob.does("write", data="after")
            await bob.does("end")

            assert [await ann.tells("piece") for _ in range(2)] == ["before", "after"]
            await ann.tells("end")


async def test_a_broken_off_stream_breaks_off_for_its_listeners() -> None:
    async with desk() as d, running("browser.js", url(d, "ann")) as ann:
        await ann.does("join", group="news")
        async with running("browser.js", url(d, "bob")) as bob:
            await bob.does("open", group="news")
            await bob.does("write", data="one")
            await bob.does("abort", message="no more")

            assert await ann.tells("piece") == "one"
            assert await ann.tells("broken")


async def test_a_stream_to_a_forbidden_group_is_refused() -> None:
    async with desk() as d, running("browser.js", d.url("bob")) as bob:
        bob.starts("open", group="news")

        assert await bob.tells("failed")


async def test_the_express_middleware_serves_events() -> None:
    async with desk() as d, running("application.js", "http://localhost") as app:
        port = await app.tells("listening")
        d.server.configure(handled_by(f"http://127.0.0.1:{port}/events"))
        async with running("browser.js", d.url("ann")) as ann:
            await ann.tells("connected")
            await d.ask(d.service().send_to_group, "lobby", "welcome")
            assert await ann.tells("group") == "welcome"
            assert await app.tells("connected") == "ann"
            assert await said(ann) == {"said": 1, "heard": {"text": "hi"}}
            assert await said(ann) == {"said": 2, "heard": {"text": "hi"}}
            await d.ask(d.service().close_user_connections, "ann")
            assert await app.tells("disconnected") == "ann"

        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await d.enter("eve")
        assert refusal.value.status == 401


async def said(browser: Party) -> object:
    browser.starts("event", name="say", data={"text": "hi"})
    return await browser.tells("server")
