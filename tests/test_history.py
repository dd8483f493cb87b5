"""An acknowledged message is in the history exactly once, in one order for all readers."""

import asyncio
import random
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace
from webpubsub_emulator import serve
from webpubsub_emulator.faults import Fault

from local.parts import Stack, free_ports, start_functions
from realtime.azure.operations import Insert
from realtime.errors import ApiError
from realtime.messages import Change
from realtime.names import direct_log, room_group
from realtime.rooms import contention, draft_queue
from realtime.rooms.draft_queue import MAX_COMMIT_ENTRIES, Stored
from realtime.rooms.drafts import DeleteDraft, Draft, EditDraft, MessageDraft, ReactionDraft
from realtime.rooms.history import read_entries
from realtime.rooms.log_rows import encode_change
from realtime.rooms.retention import purge
from tests.instances import Instance, instance
from tests.proxy import losing_proxy
from tests.users import RELIABLE, Connection, User


def draft(content: str, sender: str = "ann", client_id: str = "") -> Draft:
    return MessageDraft(sender, client_id or uuid.uuid4().hex, content=content)


async def read_log(instance: Instance, room: str) -> list[tuple[int, str]]:
    """The whole log: seq and content."""
    return [(one.seq, one.content) for one in await read_all_entries(instance, room)]


async def read_all_entries(instance: Instance, room: str) -> list[Any]:
    head = await instance.logs.read_head(room)
    return await read_entries(instance.logs, room, head, 1, head.seq)


async def contents(instance: Instance, room: str, stored: list[Stored]) -> list[str]:
    """The contents under the seqs that were acknowledged."""
    by_seq = dict(await read_log(instance, room))
    return [by_seq[one.seq] for one in stored]


async def error_code(awaitable: Any) -> str:
    """The code of the error that is raised."""
    with pytest.raises(ApiError) as raised:
        await awaitable
    return raised.value.code


# --- appending ------------------------------------------------------------------------------


async def test_messages_get_consecutive_seqs(one: Instance, room: str) -> None:
    stored = [await one.appender.append(room, draft(text)) for text in ("a", "b", "c")]

    assert [each.seq for each in stored] == [1, 2, 3]
    assert await read_log(one, room) == [(1, "a"), (2, "b"), (3, "c")]


async def test_messages_that_arrive_during_a_commit_share_the_next_one(
    one: Instance, room: str
) -> None:
    drafts = [draft(str(number)) for number in range(1 + 2 * MAX_COMMIT_ENTRIES)]

    stored = await asyncio.gather(*(one.appender.append(room, each) for each in drafts))

    assert [each.seq for each in stored] == list(range(1, 2 + 2 * MAX_COMMIT_ENTRIES))
    stamps = {one.timestamp for one in await read_all_entries(one, room)}
    assert len(stamps) <= 4  # the first commit has one or more entries, the others are full


async def test_senders_who_send_again_when_they_are_confirmed_share_commits(
    one: Instance, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contention, "BATCH_WINDOW_SECONDS", 1.0)  # enough for a slow machine

    async def talk(sender: int) -> None:
        for number in range(3):
            await one.appender.append(room, draft(str(number), f"s{sender}"))
            for _ in range(sender):  # each sender is slower than the one before
                await asyncio.sleep(0)

    await asyncio.gather(*map(talk, range(10)))

    entries = await read_all_entries(one, room)
    assert len(entries) == 30
    assert len({one.timestamp for one in entries}) <= 4  # 1, 9, 10 and 10 entries


async def test_two_instances_write_one_order_without_gaps_or_duplicates(
    one: Instance, other: Instance, room: str
) -> None:
    drafts = [draft(f"{number}", sender=f"writer{number % 20}") for number in range(200)]

    await asyncio.gather(
        *(random.choice((one, other)).appender.append(room, each) for each in drafts)
    )

    log = await read_log(one, room)
    assert [seq for seq, _ in log] == list(range(1, 201))
    assert sorted(content for _, content in log) == sorted(each.content for each in drafts)
    assert log == await read_log(other, room)


async def test_a_repeated_message_has_the_seq_of_the_first(
    one: Instance, other: Instance, room: str
) -> None:
    message = draft("once")

    first = await one.appender.append(room, message)
    await one.appender.append(room, draft("between"))
    again = await other.appender.append(room, message)

    assert again == first
    assert await read_log(one, room) == [(1, "once"), (2, "between")]


async def test_a_message_sent_twice_concurrently_is_stored_once(
    one: Instance, other: Instance, room: str
) -> None:
    message = draft("once")

    stored = await asyncio.gather(
        *(each.appender.append(room, message) for each in (one, one, other, other))
    )

    assert {each.seq for each in stored} == {1}
    assert await read_log(one, room) == [(1, "once")]


async def test_repeated_messages_do_not_delay_new_ones(one: Instance, room: str) -> None:
    drafts = [draft(str(number)) for number in range(10)]
    await asyncio.gather(*(one.appender.append(room, each) for each in drafts[::2]))

    stored = await asyncio.gather(*(one.appender.append(room, each) for each in drafts))

    assert sorted(each.seq for each in stored) == list(range(1, 11))
    assert await contents(one, room, stored) == [each.content for each in drafts]


async def test_an_id_used_again_for_another_text_is_a_conflict(one: Instance, room: str) -> None:
    await one.appender.append(room, draft("one thing", client_id="the-id"))

    code = await error_code(one.appender.append(room, draft("another", client_id="the-id")))

    assert code == "id_conflict"
    assert await read_log(one, room) == [(1, "one thing")]


async def test_the_same_id_of_two_users_is_two_messages(one: Instance, room: str) -> None:
    await one.appender.append(room, draft("ann's", sender="ann", client_id="1"))
    await one.appender.append(room, draft("bob's", sender="bob", client_id="1"))

    assert await read_log(one, room) == [(1, "ann's"), (2, "bob's")]


async def test_a_message_for_a_full_queue_is_rejected_at_once(
    one: Instance, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft_queue, "MAX_QUEUE_DRAFTS", 5)
    waiting = [asyncio.ensure_future(one.appender.append(room, draft("x"))) for _ in range(5)]
    await asyncio.sleep(0)  # The drafts are in the queue now.

    code = await error_code(one.appender.append(room, draft("too many")))

    assert code == "busy"
    assert len(await asyncio.gather(*waiting)) == 5


async def test_long_messages_are_split_into_frames_below_the_service_limit(
    one: Instance, room: str
) -> None:
    texts = ["\x01" * 4000 for _ in range(60)]

    stored = await asyncio.gather(*(one.appender.append(room, draft(text)) for text in texts))

    assert sorted(each.seq for each in stored) == list(range(1, 61))


async def test_timestamps_of_a_log_never_decrease(
    one: Instance, other: Instance, room: str
) -> None:
    one.time = datetime(2026, 1, 1, 12, 1, tzinfo=UTC)
    other.time = one.time - timedelta(seconds=90)

    first = await one.appender.append(room, draft("by the fast clock"))
    second = await other.appender.append(room, draft("by the slow clock"))

    assert second.seq == 2
    assert first.seq == 1
    times = [entry.timestamp for entry in await read_all_entries(one, room)]
    assert times[0] == times[1]


# --- faults ---------------------------------------------------------------------------------


async def test_a_commit_whose_response_was_lost_is_recognized(stack: Stack, room: str) -> None:
    """The storage committed the messages, then the response was lost."""
    async with losing_proxy(stack.tables.url) as proxy:
        tables = stack.tables_connection_string.replace(stack.tables.url, proxy.url)
        async with instance(stack, tables=tables) as one:
            await one.appender.append(room, draft("before"))
            proxy.lose = 2

            drafts = [draft(str(number)) for number in range(10)]
            stored = await asyncio.gather(*(one.appender.append(room, each) for each in drafts))

            assert proxy.lost == 2
            assert await contents(one, room, stored) == [each.content for each in drafts]
            log = await read_log(one, room)
            assert [seq for seq, _ in log] == list(range(1, 12))


async def test_an_unpublished_message_is_published_when_it_is_repeated(
    stack: Stack, room: str, http: aiohttp.ClientSession
) -> None:
    async with serve() as service, instance(stack, hub=service.connection_string) as one:
        token = await one.hub.get_client_access_token("bob", groups=[room_group(room)], roles=[])
        bob = await Connection.open(http, token.url, RELIABLE)
        service.faults.add(Fault("rest", "refuse", count=3, status=400))
        message = draft("hello")

        codes = [await error_code(one.appender.append(room, message)) for _ in range(3)]
        stored = await one.appender.append(room, message)

        assert codes == ["unavailable"] * 3
        assert stored.seq == 1
        assert (await bob.receive(type="message"))["content"] == "hello"
        assert await read_log(one, room) == [(1, "hello")]
        await bob.close()


@pytest.mark.parametrize(
    "change",
    [
        EditDraft("ann", "2", target=1, content="bye"),
        DeleteDraft("ann", "2", target=1),
        ReactionDraft("ann", "2", target=1, emoji="👍"),
    ],
    ids=["edit", "delete", "reaction"],
)
async def test_an_unpublished_change_is_published_when_it_is_repeated(
    stack: Stack, room: str, http: aiohttp.ClientSession, change: Draft
) -> None:
    async with (
        serve() as service,
        instance(stack, hub=service.connection_string) as one,
        instance(stack, hub=service.connection_string) as other,
    ):
        await one.appender.append(room, draft("hello"))
        token = await one.hub.get_client_access_token("bob", groups=[room_group(room)], roles=[])
        bob = await Connection.open(http, token.url, RELIABLE)
        service.faults.add(Fault("rest", "refuse", count=2, status=400))

        codes = [await error_code(each.appender.append(room, change)) for each in (one, other)]
        stored = [await each.appender.append(room, change) for each in (one, other)]

        assert codes == ["unavailable"] * 2
        assert [each.seq for each in stored] == [2, 2]
        assert (await bob.receive(type="messages"))["changes"][0]["seq"] == 2
        assert (await one.logs.read_head(room)).seq == 2
        await bob.close()


async def append_until_stored(one: Instance, room: str, message: Draft) -> Stored:
    """Repeat a message until it is acknowledged, as clients do."""
    while True:
        with suppress(ApiError):
            return await one.appender.append(room, message)


async def test_all_messages_are_published_after_a_failure_of_ten_seconds(
    stack: Stack, room: str, http: aiohttp.ClientSession
) -> None:
    """Senders repeat until they are acknowledged; then every reader has all messages once."""
    async with serve() as service, instance(stack, hub=service.connection_string) as one:
        token = await one.hub.get_client_access_token("bob", groups=[room_group(room)], roles=[])
        bob = await Connection.open(http, token.url, RELIABLE)
        clock = asyncio.get_running_loop().time
        works_again = clock() + 10

        async def sender(name: str) -> None:
            message = draft(name, sender=name)
            while clock() < works_again:
                if not service.faults.has_pending("rest"):
                    service.faults.add(Fault("rest", "refuse", status=400))
                with suppress(ApiError):
                    await one.appender.append(room, message)
                await asyncio.sleep(0.05)
            await append_until_stored(one, room, message)

        await asyncio.gather(*(sender(f"writer{number}") for number in range(5)))
        log = await read_log(one, room)
        await bob.receive_where(lambda _: {seq for seq, _ in bob.texts(room)} >= set(range(1, 6)))

        assert [seq for seq, _ in log] == [1, 2, 3, 4, 5]
        assert set(bob.texts(room)) == set(log)
        await bob.close()


async def test_a_message_published_twice_has_the_same_seq(
    stack: Stack, room: str, http: aiohttp.ClientSession
) -> None:
    ann = await User.create(http, stack.url, "ann")
    async with ann.connect(room) as ann_tab:
        await ann_tab.send_message(room, "hello", client_id="the-id")
        await ann_tab.send_message(room, "hello", client_id="the-id")

        received = [await ann_tab.receive(type="message"), await ann_tab.receive(type="message")]

        assert received[0] == received[1]


async def test_acknowledged_messages_survive_a_killed_host(
    stack: Stack, room: str, one: Instance, http: aiohttp.ClientSession
) -> None:
    """The host is killed during traffic and restarted; senders repeat until acknowledged."""
    (port,) = free_ports(1)
    host = start_functions(port=port, environment=stack.environment)
    host.wait()
    acknowledged: dict[str, int] = {}
    thirty_are_acknowledged = asyncio.Event()

    async def sender(name: str) -> None:
        for number in range(15):
            body = {"content": f"{name} {number}", "from": name, "id": f"{number}"}
            while (seq := await post(http, f"{host.url}/api/rooms/{room}/message", body)) is None:
                pass
            acknowledged[body["content"]] = seq
            if len(acknowledged) == 30:
                thirty_are_acknowledged.set()

    async def restart_host() -> None:
        await thirty_are_acknowledged.wait()
        host.kill()
        host.start()

    try:
        await asyncio.gather(restart_host(), *(sender(f"writer{number}") for number in range(6)))
    finally:
        host.stop()

    log = await read_log(one, room)
    assert [seq for seq, _ in log] == list(range(1, 91))
    assert {content: seq for seq, content in log} == acknowledged


async def post(http: aiohttp.ClientSession, url: str, body: Any) -> int | None:
    """The seq of a message, or None when it was not acknowledged."""
    try:
        async with http.post(url, json=body, timeout=aiohttp.ClientTimeout(5)) as response:
            return int((await response.json())["seq"]) if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError):
        await asyncio.sleep(0.05)
        return None


# --- two hosts, many readers ------------------------------------------------------------------


async def test_all_users_receive_the_messages_of_two_hosts_in_one_order(
    stack: Stack, room: str, one: Instance, http: aiohttp.ClientSession
) -> None:
    (port,) = free_ports(1)
    second = start_functions(port=port, environment=stack.environment)
    second.wait()
    ann = await User.create(http, stack.url, "ann")
    bob = await User.create(http, stack.url, "bob")
    try:
        async with ann.connect(room) as first_reader, bob.connect(room) as second_reader:

            async def write_here(number: int) -> None:
                for turn in range(5):
                    await first_reader.send_message(room, f"socket {number} {turn}")

            async def write_there(number: int) -> None:
                for turn in range(5):
                    body = {
                        "content": f"rest {number} {turn}",
                        "from": f"w{number}",
                        "id": f"{turn}",
                    }
                    assert await post(http, f"{second.url}/api/rooms/{room}/message", body)

            await asyncio.gather(
                *(write_here(number) for number in range(10)),
                *(write_there(number) for number in range(10)),
            )
            log = await read_log(one, room)
            for reader in (first_reader, second_reader):
                await reader.receive_where(lambda _: len(reader.texts(room)) >= 100)  # noqa: B023

            assert [seq for seq, _ in log] == list(range(1, 101))
            assert sorted(first_reader.texts(room)) == log
            assert sorted(second_reader.texts(room)) == log
    finally:
        second.stop()


# --- reading missed messages ----------------------------------------------------------------


async def append_numbers(instance: Instance, room: str, count: int) -> None:
    """Append messages with the contents 1, 2, ... at the same time."""
    await asyncio.gather(
        *(instance.appender.append(room, draft(str(number + 1))) for number in range(count))
    )


async def test_read_since_returns_exactly_the_missed_messages(one: Instance, room: str) -> None:
    await append_numbers(one, room, 30)
    epoch = (await one.logs.read_head(room)).epoch

    page, recovered = await one.history.read_since(room, 10, epoch)

    assert recovered
    assert [entry.seq for entry in page.messages] == list(range(11, 31))


async def test_read_since_the_head_returns_no_messages(one: Instance, room: str) -> None:
    await append_numbers(one, room, 3)
    epoch = (await one.logs.read_head(room)).epoch

    page, recovered = await one.history.read_since(room, 3, epoch)

    assert recovered
    assert page.messages == []


async def test_read_since_an_empty_log_returns_all_messages(one: Instance, room: str) -> None:
    empty, _ = await one.history.read_since(room, None, None)
    await append_numbers(one, room, 3)

    page, recovered = await one.history.read_since(room, empty.head.seq, empty.head.epoch)

    assert recovered
    assert [entry.seq for entry in page.messages] == [1, 2, 3]


async def test_read_since_returns_the_newest_page_when_too_many_are_missed(
    one: Instance, room: str
) -> None:
    await append_numbers(one, room, 250)
    epoch = (await one.logs.read_head(room)).epoch

    page, recovered = await one.history.read_since(room, 10, epoch)

    assert not recovered
    assert [entry.seq for entry in page.messages] == list(range(201, 251))
    assert page.more


async def test_read_since_without_a_position_returns_the_newest_page(
    one: Instance, room: str
) -> None:
    await append_numbers(one, room, 60)

    page, recovered = await one.history.read_since(room, None, None)

    assert not recovered
    assert [entry.seq for entry in page.messages] == list(range(11, 61))


async def test_a_log_that_was_deleted_begins_a_new_epoch(one: Instance, room: str) -> None:
    await append_numbers(one, room, 3)
    before = await one.logs.read_head(room)
    await delete_log(one, room)
    await append_numbers(one, room, 5)

    page, recovered = await one.history.read_since(room, 3, before.epoch)

    assert page.head.epoch != before.epoch
    assert not recovered
    assert [entry.seq for entry in page.messages] == [1, 2, 3, 4, 5]


async def test_a_log_without_its_head_stores_the_same_messages_again(
    one: Instance, other: Instance, room: str
) -> None:
    """Only the head is deleted: rows of the old log are not read and do not block new ones."""
    drafts = [draft(text) for text in "abc"]
    for each in drafts:
        await one.appender.append(room, each)
    table = one.tables.open("history")
    await table.delete_entity(room, "head")

    again = [await other.appender.append(room, each) for each in drafts[:2]]

    assert [stored.seq for stored in again] == [1, 2]
    page = await other.history.read_page(room)
    assert [entry.content for entry in page.messages] == ["a", "b"]


async def delete_log(instance: Instance, room: str) -> None:
    table = instance.tables.open("history")
    async for row in table.query_entities("PartitionKey eq @p", parameters={"p": room}):
        await table.delete_entity(row["PartitionKey"], row["RowKey"])


# --- pages ----------------------------------------------------------------------------------


async def test_pages_cover_the_whole_history_in_both_directions(one: Instance, room: str) -> None:
    await append_numbers(one, room, 57)

    backward, more, before = [], True, None
    while more:
        page = await one.history.read_page(room, 10, before=before)
        backward = [entry.seq for entry in page.messages] + backward
        before, more = page.messages[0].seq, page.more
    forward, more = [], True
    while more:
        page = await one.history.read_page(room, 10, after=len(forward))
        forward += [entry.seq for entry in page.messages]
        more = page.more

    assert backward == forward == list(range(1, 58))


async def test_pages_are_correct_during_concurrent_writes(one: Instance, room: str) -> None:
    await append_numbers(one, room, 40)
    writing = asyncio.ensure_future(append_numbers(one, room, 150))

    back, before = [], 41
    while before > 1:
        page = await one.history.read_page(room, 7, before=before)
        back = [entry.seq for entry in page.messages] + back
        before = page.messages[0].seq
    await writing

    assert back == list(range(1, 41))


@pytest.mark.parametrize(
    "cursor", [{"after": 4}, {"before": 5}, {"before": 2, "after": 1}], ids=str
)
async def test_a_cursor_outside_the_log_is_rejected(
    one: Instance, room: str, cursor: dict[str, int]
) -> None:
    await append_numbers(one, room, 3)

    assert await error_code(one.history.read_page(room, 10, **cursor)) == "invalid_cursor"


async def test_a_small_page_has_messages_from_before_many_changes(one: Instance, room: str) -> None:
    await append_numbers(one, room, 2)
    head = await one.logs.read_head(room)
    changes = [
        Change(seq, "reaction", 1, f"{seq}", "ann", head.timestamp, emoji="👍", on=True, count=1)
        for seq in range(3, 1503)
    ]
    rows = [Insert(encode_change(room, head.epoch, one)) for one in changes]
    for start in range(0, len(rows), 100):
        await one.tables.open("history").submit(rows[start : start + 100])
    await one.logs.update_head(room, replace(head, seq=changes[-1].seq))

    newest = await one.history.read_page(room, 1)
    earlier = await one.history.read_page(room, 1, before=2)

    assert ([one.seq for one in newest.messages], newest.more) == ([2], True)
    assert ([one.seq for one in earlier.messages], earlier.more) == ([1], False)


async def test_an_empty_room_has_an_empty_history(one: Instance, room: str) -> None:
    page = await one.history.read_page(room)

    assert (page.messages, page.more, page.head.seq) == ([], False, 0)


# --- retention ------------------------------------------------------------------------------

DAY = timedelta(days=1)


async def test_old_messages_are_purged_and_seqs_continue(one: Instance, room: str) -> None:
    one.time = datetime.now(UTC) - 10 * DAY
    await append_numbers(one, room, 120)
    one.time = None
    await one.appender.append(room, draft("new"))

    await purge(one.logs, datetime.now(UTC), days=7)

    page = await one.history.read_page(room)
    assert [(entry.seq, entry.content) for entry in page.messages] == [(121, "new")]
    assert (page.more, page.head.first) == (False, 121)
    assert (await one.appender.append(room, draft("newer"))).seq == 122


async def test_a_position_before_the_purged_messages_is_not_recovered(
    one: Instance, room: str
) -> None:
    one.time = datetime.now(UTC) - 10 * DAY
    await append_numbers(one, room, 60)
    one.time = None
    await one.appender.append(room, draft("new"))
    epoch = (await one.logs.read_head(room)).epoch

    await purge(one.logs, datetime.now(UTC), days=7)

    page, recovered = await one.history.read_since(room, 10, epoch)
    assert not recovered
    assert [entry.seq for entry in page.messages] == [61]
    assert (await one.history.read_since(room, 60, epoch))[1]


async def test_purged_messages_are_not_unread(
    one: Instance, room: str, ann: User, bob: User
) -> None:
    async with ann.connect(room), bob.connect(room) as reader:
        one.time = datetime.now(UTC) - 10 * DAY
        await append_numbers(one, room, 60)
        one.time = None
        await one.appender.append(room, draft("new"))
        await reader.send("read", {"room": room, "seq": 61})
        await purge(one.logs, datetime.now(UTC), days=7)
        await one.appender.append(room, draft("newer"))

        found = [(await user.get("/api/rooms"))["rooms"] for user in (ann, bob)]

    assert [[(one["room"], one["unread"]) for one in rooms] for rooms in found] == [
        [(room, 2)], [(room, 1)],
    ]  # fmt: skip


async def test_an_interrupted_purge_continues(one: Instance, room: str) -> None:
    one.time = datetime.now(UTC) - 10 * DAY
    await append_numbers(one, room, 100)
    one.time = None
    rows = [row async for row in one.logs.query_rows(room, "m:", "m;")]
    table = one.tables.open("history")
    await table.delete_entity(
        room, f"i:ann:{rows[0]['id']}"
    )  # As when a purge stops between the two deletes.

    await purge(one.logs, datetime.now(UTC), days=7)

    head = await one.logs.read_head(room)
    assert await read_entries(one.logs, room, head, 1, head.seq) == []
    remaining = [
        r["RowKey"]
        async for r in table.query_entities("PartitionKey eq @p", parameters={"p": room})
    ]
    assert remaining == ["head"], remaining


async def test_messages_are_stored_during_a_purge(one: Instance, room: str) -> None:
    one.time = datetime.now(UTC) - 10 * DAY
    await append_numbers(one, room, 100)
    one.time = None

    await asyncio.gather(purge(one.logs, datetime.now(UTC), days=7), append_numbers(one, room, 100))

    page = await one.history.read_page(room, 200)
    assert [entry.seq for entry in page.messages] == list(range(101, 201))


# --- direct conversations -------------------------------------------------------------------


async def test_both_users_of_a_direct_conversation_write_one_log(one: Instance) -> None:
    ann, bob = f"ann-{uuid.uuid4().hex[:8]}", f"bob-{uuid.uuid4().hex[:8]}"

    await one.appender.append(direct_log(ann, bob), draft("hi bob", sender=ann))
    await one.appender.append(direct_log(bob, ann), draft("hi ann", sender=bob))

    assert await read_log(one, direct_log(ann, bob)) == [(1, "hi bob"), (2, "hi ann")]
