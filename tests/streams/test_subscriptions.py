"""Subscriptions of users to streams."""

import uuid
from collections.abc import Callable

from realtime.streams.definition import Stream
from tests.streams.hosts import (
    NOW,
    Host,
    listening,
    make_stream,
)


async def test_a_subscription_applies_to_all_present_connections(
    host: Host, listed: Stream
) -> None:
    ann = f"ann-{listed.name}"
    async with listening(host, ann) as phone, listening(host, ann) as desktop:
        await host.subscriptions.add(ann, listed)
        await host.run_tick(listed, NOW)

        assert await phone.receive_frame() == await desktop.receive_frame()


async def test_a_subscription_is_stored_for_later_connections_until_it_is_removed(
    start_host: Callable[..., Host], listed: Stream
) -> None:
    ann, bob = f"ann-{listed.name}", f"bob-{listed.name}"
    await start_host().subscriptions.add(ann, listed)

    host = start_host()
    assert await host.subscriptions.list_groups(ann) == [listed.group]
    assert await host.subscriptions.list_groups(bob) == []

    await host.subscriptions.remove(ann, listed)
    assert await host.subscriptions.list_groups(ann) == []


async def test_a_user_receives_no_frame_after_unsubscribing(host: Host, listed: Stream) -> None:
    ann = f"ann-{listed.name}"
    async with (
        listening(host, ann, listed.group) as ann_socket,
        listening(host, "bob", listed.group) as bob,
    ):
        await host.subscriptions.add(ann, listed)
        await host.subscriptions.remove(ann, listed)
        await host.run_tick(listed, NOW)
        await bob.receive_frame()
        await host.hub.send_to_user(ann, {"type": "test", "last": True})

        assert await ann_socket.receive_frame() == {"type": "test", "last": True}


async def test_subscribing_and_unsubscribing_twice_have_no_further_effect(
    host: Host, listed: Stream
) -> None:
    for _ in range(2):
        await host.subscriptions.add("ann", listed)
    for _ in range(2):
        await host.subscriptions.remove("ann", listed)

    assert await host.subscriptions.list_groups("ann") == []


async def test_a_subscription_to_a_removed_stream_is_ignored(host: Host) -> None:
    ann, removed = f"ann-{uuid.uuid4().hex}", make_stream()
    await host.subscriptions.add(ann, removed)

    assert await host.subscriptions.list_groups(ann) == []
