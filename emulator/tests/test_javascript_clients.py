"""The official JavaScript client and event handler with the emulator."""

import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from javascript_client import NodeProcess, install, run_node
from running_emulator import GROUP_ROLES, RunningEmulator, handler_settings, run_emulator


@pytest.fixture(scope="module", autouse=True)
def _libraries() -> None:
    install()


@contextlib.asynccontextmanager
async def run_client(
    user: str, roles: tuple[str, ...] = GROUP_ROLES
) -> AsyncIterator[tuple[RunningEmulator, NodeProcess]]:
    """Start an emulator with one JavaScript client."""
    async with (
        run_emulator() as emulator,
        run_node("client.js", emulator.url(user, roles=list(roles))) as client,
    ):
        yield emulator, client


@contextlib.asynccontextmanager
async def run_two_clients() -> AsyncIterator[tuple[RunningEmulator, NodeProcess, NodeProcess]]:
    """Start an emulator with the JavaScript clients of ann and bob."""
    async with run_client("ann") as (emulator, ann):
        url = emulator.url("bob", roles=list(GROUP_ROLES))
        async with run_node("client.js", url) as bob:
            yield emulator, ann, bob


async def test_two_javascript_clients_exchange_messages() -> None:
    async with run_two_clients() as (_, ann, bob):
        await ann.run("join", group="lobby")
        await bob.run("join", group="lobby")
        await bob.run("send", group="lobby", data={"text": "hé"})

        assert await ann.wait_for("group") == {"text": "hé"}


async def test_forbidden_request_fails_in_javascript() -> None:
    async with run_client("ann", roles=()) as (_, ann):
        ann.start("join", group="lobby")

        assert await ann.wait_for("failed") == "Forbidden"


async def test_invocation_fails_in_javascript_without_losing_the_connection() -> None:
    async with run_client("ann") as (emulator, ann):
        connection_id = await ann.wait_for("connected")
        ann.start("invoke", name="say", data=1)

        assert await ann.wait_for("failed") == "NotSupported"
        assert list(emulator.server.service.hub("chat").connections) == [connection_id]
        await ann.run("join", group="lobby")


async def test_dropped_javascript_client_recovers_all_messages() -> None:
    async with run_client("ann") as (emulator, ann):
        await ann.run("join", group="numbers")
        service = emulator.service()
        for number in range(60):
            await emulator.call(service.send_to_group, "numbers", {"number": number})
            if number in (20, 40):
                emulator.server.drop_connections(user_id="ann")

        received = [(await ann.wait_for("group"))["number"] for _ in range(60)]

        assert received == list(range(60))


async def test_stream_parts_are_delivered_in_order() -> None:
    async with run_two_clients() as (_, ann, bob):
        await ann.run("join", group="news")
        await bob.run("open", group="news")
        for part in ("one", "two", "three"):
            await bob.run("write", data=part)
        await bob.run("end")

        assert [await ann.wait_for("part") for _ in range(3)] == ["one", "two", "three"]
        await ann.wait_for("end")


async def test_stream_continues_after_its_publisher_was_dropped() -> None:
    async with run_two_clients() as (emulator, ann, bob):
        await ann.run("join", group="news")
        await bob.run("open", group="news")
        await bob.run("write", data="before")
        emulator.server.drop_connections(user_id="bob")
        await bob.run("write", data="after")
        await bob.run("end")

        assert [await ann.wait_for("part") for _ in range(2)] == ["before", "after"]
        await ann.wait_for("end")


async def test_aborted_stream_fails_for_its_subscribers() -> None:
    async with run_two_clients() as (_, ann, bob):
        await ann.run("join", group="news")
        await bob.run("open", group="news")
        await bob.run("write", data="one")
        await bob.run("abort", message="no more")

        assert await ann.wait_for("part") == "one"
        assert await ann.wait_for("aborted")


async def test_stream_to_a_forbidden_group_is_rejected() -> None:
    async with run_client("bob", roles=()) as (_, bob):
        bob.start("open", group="news")

        assert await bob.wait_for("failed")


async def test_express_middleware_handles_events() -> None:
    async with (
        run_emulator() as emulator,
        run_node("event_handler.js", "http://localhost") as handler,
    ):
        port = await handler.wait_for("listening")
        emulator.server.configure(handler_settings(f"http://127.0.0.1:{port}/events"))
        async with run_node("client.js", emulator.url("ann")) as ann:
            await ann.wait_for("connected")
            await emulator.call(emulator.service().send_to_group, "lobby", "welcome")
            assert await ann.wait_for("group") == "welcome"
            assert await handler.wait_for("connected") == "ann"
            assert await send_event(ann) == {"count": 1, "received": {"text": "hi"}}
            assert await send_event(ann) == {"count": 2, "received": {"text": "hi"}}
            await emulator.call(emulator.service().close_user_connections, "ann")
            assert await handler.wait_for("disconnected") == "ann"

        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await emulator.connect("eve")
        assert refusal.value.status == 401


async def send_event(client: NodeProcess) -> object:
    client.start("event", name="say", data={"text": "hi"})
    return await client.wait_for("server")
