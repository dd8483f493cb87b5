"""Presence: joins and leaves are announced once, and the roster follows the service."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from webpubsub_emulator import Handler, Settings, serve

from local.parts import HUB, Stack, free_ports, start_functions
from realtime.azure.group_connections import MAX_PAGE_CONNECTIONS
from realtime.messages import PresenceChange
from realtime.names import room_group
from realtime.rooms.announced_users import AnnouncedUsers
from realtime.rooms.notices import NoticePublisher
from tests.instances import Instance, instance
from tests.users import PLAIN, Connection, Frame, User

RELOAD_GRACE = 5.0


def announced(connection: Connection, user: User) -> list[str]:
    """The join and leave events of a user that a connection has received so far."""
    return [
        frame["event"]
        for frame in connection.received
        if frame.get("type") == "system" and frame.get("user_id") == user.id
    ]


async def wait_for_announcements(connection: Connection, room: str) -> None:
    """Receive everything announced before: the service preserves the order of one sender."""
    await connection.send_message(room, marker := uuid.uuid4().hex)
    await connection.receive(type="message", content=marker)


async def read_roster(reader: User, room: str) -> dict[str, int]:
    """The number of connections of each user in the room."""
    users = (await reader.get(f"/api/rooms/{room}/users"))["users"]
    return {user["user_id"]: user["connections"] for user in users}


async def enter(http: aiohttp.ClientSession, one: Instance, room: str, user_id: str) -> Connection:
    """Connect a user to the room's group, and announce the user as a join event does."""
    token = await one.hub.get_client_access_token(user_id, [room_group(room)], [])
    connection = await Connection.open(http, token.url, PLAIN)
    await one.presence.enter(room, user_id)
    return connection


# --- announcements --------------------------------------------------------------------------


async def test_joins_and_leaves_are_published_to_the_room(ann: User, bob: User, room: str) -> None:
    async with ann.connect(room) as ann_tab, bob.connect(room) as bob_tab:
        joined = await ann_tab.receive(type="system", user_id=bob.id)
        await bob_tab.send("leave", {"room": room})
        left = await ann_tab.receive(type="system", user_id=bob.id)

        assert joined == {
            "type": "system",
            "room": room,
            "event": "joined",
            "user_id": bob.id,
            "name": "bob",
            "content": "bob joined",
        }
        assert (left["event"], left["content"]) == ("left", "bob left")
        assert await read_roster(ann, room) == {ann.id: 1}


async def test_closing_and_reloading_tabs_is_not_announced_while_one_is_open(
    ann: User, bob: User, room: str
) -> None:
    """A user with three connections is announced once."""
    async with ann.connect(room) as ann_tab, AsyncExitStack() as tabs:
        connect = [bob.connect(room, subprotocol=PLAIN) for _ in range(3)]
        opened = [await tabs.enter_async_context(tab) for tab in connect]
        assert await read_roster(ann, room) == {ann.id: 1, bob.id: 3}

        for tab in opened:
            await tab.close()
        async with bob.connect(room, subprotocol=PLAIN):  # the reloaded one
            await asyncio.sleep(RELOAD_GRACE + 0.5)  # longer than the grace period
            await wait_for_announcements(ann_tab, room)

            assert announced(ann_tab, bob) == ["joined"]
            assert await read_roster(ann, room) == {ann.id: 1, bob.id: 1}


async def test_a_user_who_joins_while_another_reloads_knows_of_both(
    ann: User, bob: User, room: str
) -> None:
    """Neither "left" nor "joined" follows, so nothing else would tell of the one who reloads."""
    async with ann.connect(room, subprotocol=PLAIN) as old_tab:
        await wait_for_announcements(old_tab, room)
    async with bob.connect(room) as bob_tab:
        [joined] = [frame for frame in bob_tab.received if frame.get("type") == "joined"]
        roster = await read_roster(bob, room)
        async with ann.connect(room):
            await wait_for_announcements(bob_tab, room)
            after = await read_roster(bob, room)

    assert [one["user_id"] for one in joined["users"]] == sorted([ann.id, bob.id])
    assert joined["count"] == 2
    assert roster == {ann.id: 0, bob.id: 1}
    assert announced(bob_tab, ann) == []
    assert after == {ann.id: 1, bob.id: 1}


async def test_a_user_leaves_when_the_last_connection_closes(
    ann: User, bob: User, room: str
) -> None:
    async with ann.connect(room) as ann_tab:
        async with bob.connect(room, subprotocol=PLAIN), bob.connect(room, subprotocol=PLAIN):
            await ann_tab.receive(type="system", user_id=bob.id, event="joined")

        await ann_tab.receive(type="system", user_id=bob.id, event="left", within=RELOAD_GRACE + 30)
        await wait_for_announcements(ann_tab, room)

        assert announced(ann_tab, bob) == ["joined", "left"]
        assert await read_roster(ann, room) == {ann.id: 1}


async def test_a_user_who_comes_back_while_the_departure_is_announced_stays_announced(
    ann: User,
    one: Instance,
    room: str,
    http: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The user joins between the listing and the removal of the row."""
    remove = AnnouncedUsers.remove
    bob_tabs: list[Connection] = []

    async def join_and_remove(announced_users: AnnouncedUsers, name: str, user_id: str) -> bool:
        if user_id == "bob":
            bob_tabs.append(await enter(http, one, room, "bob"))
        return await remove(announced_users, name, user_id)

    async with ann.connect(room) as ann_tab:
        for user_id in ("bob", "cleo"):  # Neither has a connection.
            await one.presence.enter(room, user_id)
        monkeypatch.setattr(AnnouncedUsers, "remove", join_and_remove)

        await one.presence.announce_left(room, "bob", "cleo")

        await ann_tab.receive(type="system", user_id="cleo", event="left")
        await wait_for_announcements(ann_tab, room)
        of_bob = [frame for frame in ann_tab.received if frame.get("user_id") == "bob"]
        # A second "joined" is possible: the app gets an event of the new connection.
        assert {frame["event"] for frame in of_bob} == {"joined"}
        assert await one.presence.count_announced(room) == 2
        await bob_tabs[0].close()


async def test_a_user_who_comes_back_before_left_is_published_is_announced_after_it(
    ann: User,
    one: Instance,
    room: str,
    http: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The user joins after the row was removed: "joined" is published before "left"."""
    publish = NoticePublisher.publish
    bob_tabs: list[Connection] = []

    async def join_and_publish(notices: NoticePublisher, name: str, change: PresenceChange) -> None:
        if change.event == "left" and not bob_tabs:
            bob_tabs.append(await enter(http, one, room, "bob"))
        await publish(notices, name, change)

    async with ann.connect(room) as ann_tab:
        await one.presence.enter(room, "bob")  # He has no connection.
        monkeypatch.setattr(NoticePublisher, "publish", join_and_publish)

        await one.presence.announce_left(room, "bob")

        await wait_for_announcements(ann_tab, room)
        events = [one["event"] for one in ann_tab.received if one.get("user_id") == "bob"]
        assert "left" in events
        assert events[-1] == "joined"
        assert await one.presence.count_announced(room) == 2
        await bob_tabs[0].close()


async def test_a_user_who_negotiates_a_room_is_announced_without_a_join_event(
    ann: User, bob: User, room: str
) -> None:
    async with ann.connect(room) as ann_tab, bob.connect(room=room):
        await ann_tab.receive(type="system", user_id=bob.id, event="joined")

        assert await read_roster(ann, room) == {ann.id: 1, bob.id: 1}


async def test_a_repeated_join_is_answered_and_announced_once(
    ann: User, bob: User, room: str
) -> None:
    async with ann.connect(room) as ann_tab, bob.connect(room) as bob_tab:
        again = await bob_tab.join(room)
        await wait_for_announcements(ann_tab, room)

        assert again["type"] == "joined"
        assert announced(ann_tab, bob) == ["joined"]


async def test_disconnected_user_is_removed_after_the_recovery_timeout(
    stack: Stack, http: aiohttp.ClientSession, room: str, separate_tables: str
) -> None:
    """Without a close frame, the service waits for its recovery timeout, which is 1 s here."""
    (port,) = free_ports(1)
    handler = Handler(f"http://localhost:{port}/api/pubsub/events")
    async with serve(settings=Settings({HUB: (handler,)}), recovery_timeout=1.0) as service:
        environment = {
            "WEBPUBSUB_CONNECTION_STRING": service.connection_string,
            "TABLES_CONNECTION_STRING": separate_tables,
        }
        host = start_functions(port, {**stack.environment, **environment})
        try:
            await asyncio.to_thread(host.wait)
            ann = await User.create(http, host.url, "ann")
            bob = await User.create(http, host.url, "bob")
            async with ann.connect(room) as ann_tab, bob.connect(room):
                await ann_tab.receive(type="system", user_id=bob.id, event="joined")

                service.drop_connections(user_id=bob.id)

                await ann_tab.receive(type="system", user_id=bob.id, event="left", within=15)
                assert await read_roster(ann, room) == {ann.id: 1}
        finally:
            await asyncio.to_thread(host.stop)


# --- lost, doubled, late events ---------------------------------------------------------------


async def test_the_timer_removes_a_user_whose_disconnected_event_was_lost(
    stack: Stack, http: aiohttp.ClientSession, ann: User, one: Instance, room: str
) -> None:
    """A user was announced as joined, and the disconnected event was lost."""
    async with ann.connect(room) as ann_tab:
        roster = await one.presence.roster(room)
        await one.presence.announce_joined(room, "ghost-123", roster)
        await ann_tab.receive(type="system", user_id="ghost-123", event="joined")

        url = f"{stack.url}/admin/functions/reconcile_presence"
        async with http.post(url, json={}) as response:
            assert response.status == 202

        await ann_tab.receive(
            type="system", user_id="ghost-123", event="left", within=RELOAD_GRACE + 30
        )


async def test_the_timer_announces_a_user_whose_join_was_lost(
    ann: User, one: Instance, room: str
) -> None:
    async with ann.connect(room) as ann_tab:
        await ann_tab.receive(type="system", user_id=ann.id, event="joined")
        await one.hub.add_user_to_group(room_group(room + "-x"), ann.id)
        table = one.tables.open("presence")
        await table.delete_entity(room, ann.id)
        await table.create_entity({"PartitionKey": room, "RowKey": "ghost-123"})

        await one.presence.reconcile()

        await ann_tab.receive(type="system", user_id=ann.id, event="joined")
        await ann_tab.receive(type="system", user_id="ghost-123", event="left")


async def test_joins_and_leaves_handled_by_two_instances_are_announced_once(
    stack: Stack, ann: User, one: Instance, room: str
) -> None:
    async with ann.connect(room) as ann_tab, instance(stack) as other:
        roster = await one.presence.roster(room)
        both = (one.presence, other.presence) * 3

        await asyncio.gather(*(each.announce_joined(room, "ghost-123", roster) for each in both))
        await asyncio.gather(*(each.announce_left(room, "ghost-123") for each in both))
        await wait_for_announcements(ann_tab, room)

        events = [f["event"] for f in ann_tab.received if f.get("user_id") == "ghost-123"]
        assert events == ["joined", "left"]


# --- large rooms ----------------------------------------------------------------------------


async def test_a_crowded_room_is_counted_and_not_announced(
    stack: Stack, http: aiohttp.ClientSession, room: str, separate_tables: str
) -> None:
    async with (
        serve() as service,
        instance(stack, tables=separate_tables, hub=service.connection_string) as one,
    ):
        crowd = await asyncio.gather(
            *(
                connect_to_room(one, http, f"fan{number:03}", room)
                for number in range(MAX_PAGE_CONNECTIONS + 30)
            )
        )

        roster = await one.presence.roster(room)
        await one.presence.announce_joined(room, "fan000", roster)

        assert roster.crowded
        assert len(roster.users) == MAX_PAGE_CONNECTIONS + 30
        first, rest = roster.page(), roster.page(after=roster.page()[-1].user_id)
        assert (len(first), len(rest)) == (MAX_PAGE_CONNECTIONS, 30)
        assert {one.user_id for one in [*first, *rest]} == set(roster.users)
        await one.hub.send_to_group(room_group(room), {"type": "end"})
        await crowd[0].receive(type="end")
        assert [frame for frame in crowd[0].received if frame.get("event") == "joined"] == []
        await asyncio.gather(*(each.close() for each in crowd))


async def test_concurrent_roster_requests_share_listings(
    stack: Stack, http: aiohttp.ClientSession, room: str, separate_tables: str
) -> None:
    """Fifty requests that ask before the listing starts share it."""
    async with (
        serve() as service,
        instance(stack, tables=separate_tables, hub=service.connection_string) as one,
    ):
        await connect_to_room(one, http, "fan", room)
        listings = 0
        list_connections = one.hub.list_connections

        def count_listing(group: str) -> AsyncIterator[object]:
            nonlocal listings
            listings += 1
            return list_connections(group)

        one.hub.list_connections = count_listing  # type: ignore[assignment,method-assign]
        rosters = await asyncio.gather(*(one.presence.roster(room) for _ in range(50)))

        assert listings == 1
        assert all(roster.users == {"fan": 1} for roster in rosters)


async def connect_to_room(
    one: Instance, http: aiohttp.ClientSession, user: str, room: str
) -> Connection:
    """A connection to a service without event handlers, in the group of a room."""
    token = await one.hub.get_client_access_token(user, groups=[room_group(room)], roles=[])
    return await Connection.open(http, token.url, PLAIN)


# --- limits ---------------------------------------------------------------------------------


async def test_a_connection_joins_at_most_fifty_rooms(ann: User, room: str) -> None:
    async with ann.connect() as ann_tab:
        for number in range(50):
            await ann_tab.join(f"{room}-{number}")

        error = await ann_tab.join(f"{room}-50")

        assert error["code"] == "too_many_rooms"
        await ann_tab.send_message(f"{room}-0", "still here")
        await ann_tab.send_message(f"{room}-49", "and here")
        assert (await ann_tab.join(f"{room}-7"))["type"] == "joined"


async def test_leaving_a_room_without_being_in_it_is_rejected(ann: User, room: str) -> None:
    async with ann.connect(room) as ann_tab:
        error = await ann_tab.send_rejected("leave", {"room": "elsewhere"})

        assert error["code"] == "not_in_room"
        await ann_tab.send_message(room, "still here")


async def test_the_online_state_of_a_user_follows_the_service(ann: User, bob: User) -> None:
    async def online() -> bool:
        response: Frame = await ann.get(f"/api/users/{bob.id}/online")
        return bool(response["online"])

    before = await online()
    async with bob.connect():
        during = await online()

    assert (before, during) == (False, True)
