"""Logs that are restored from an older copy begin new epochs, which separates old and new."""

import asyncio
import subprocess
import sys
import uuid
from typing import Any

from local.parts import Stack
from realtime.azure.operations import Replace
from realtime.names import direct_log
from realtime.rooms.drafts import MessageDraft
from realtime.rooms.history import read_entries
from realtime.rooms.log_rows import QUEUE_PREFIX, entry_key, id_key
from realtime.rooms.restoration import begin_epochs
from realtime.users.memberships import Kind, Memberships
from tests.instances import Instance, append


async def copy_rows(one: Instance, room: str) -> list[dict[str, Any]]:
    table = one.tables.open("history")
    rows = table.query_entities("PartitionKey eq @room", parameters={"room": room})
    return [dict(row) async for row in rows]


async def restore(one: Instance, room: str, copy: list[dict[str, Any]]) -> None:
    table = one.tables.open("history")
    for row in await copy_rows(one, room):
        await table.delete_entity(room, row["RowKey"])
    for start in range(0, len(copy), 100):
        await table.submit([Replace(row) for row in copy[start : start + 100]])


async def read_contents(one: Instance, room: str) -> list[tuple[int, str]]:
    head = await one.logs.read_head(room)
    entries = await read_entries(one.logs, room, head, head.first, head.seq)
    return [(entry.seq, entry.content or "") for entry in entries]


async def test_an_instance_that_writes_after_a_restore_begins_a_new_epoch(
    one: Instance, room: str
) -> None:
    """It notices when its commit conflicts with the restored head."""
    await append(one, room, 1, 2, 3)
    copy = await copy_rows(one, room)
    await append(one, room, 4, 5)
    before = await one.logs.read_head(room)

    await restore(one, room, copy)
    await append(one, room, 6)

    head = await one.logs.read_head(room)
    assert head.epoch != before.epoch
    assert await read_contents(one, room) == [(1, "1"), (2, "2"), (3, "3"), (4, "6")]
    assert not (await one.history.read_since(room, 5, before.epoch))[1]


async def test_many_instances_that_notice_a_restore_begin_one_epoch(
    one: Instance, other: Instance, room: str
) -> None:
    await append(one, room, 1, 2)
    copy = await copy_rows(one, room)
    await append(one, room, 3)
    await append(other, room, 4)
    await other.logs.read_head(room)
    await one.logs.read_head(room)

    await restore(one, room, copy)
    await asyncio.gather(append(one, room, 5), append(other, room, 6))

    head = await one.logs.read_head(room)
    assert len(head.spans) == 1
    assert {content for _, content in await read_contents(one, room)} == {"1", "2", "5", "6"}


async def test_the_command_begins_a_new_epoch_of_each_log(
    stack: Stack, one: Instance, other: Instance, room: str
) -> None:
    """Also of one that the restored index does not list."""
    users = [f"{name}-{uuid.uuid4().hex[:8]}" for name in ("ann", "bob")]
    direct = direct_log(*users)
    for name in (room, direct):
        await append(one, name, 1, 2)
    memberships = Memberships(one.tables)
    markers: list[tuple[Kind, str, int]] = [("room", room, 7), ("direct", users[1], 2)]
    for kind, name, read in markers:  # of before the restore, one of them beyond the copy's end
        await memberships.add(users[0], kind, name)
        await memberships.advance_read_marker(users[0], kind, name, read, read)
    before = [(await one.logs.read_head(name)).epoch for name in (room, direct)]
    await one.tables.open("logs").delete_entity("logs", direct)

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "local.restore", "--tables", stack.tables_connection_string],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "begun new epochs" in done.stdout
    after = [(await other.logs.read_head(name)).epoch for name in (room, direct)]
    assert set(before).isdisjoint(after)
    assert await read_contents(other, room) == [(1, "1"), (2, "2")]
    assert direct in [name async for name in other.logs.index.list_names()]
    page, _ = await memberships.list_page(users[0], 10)
    assert [(one.name, one.read, one.read_messages) for one in page] == [
        (users[1], 2, 2),
        (room, 2, 2),
    ]


async def test_a_copy_that_was_made_while_people_wrote_becomes_a_whole_log(
    one: Instance, other: Instance, room: str
) -> None:
    """The rows of a log are not copied at one moment: the head may be older or newer than they."""
    await append(one, room, 1, 2)
    old_head = next(row for row in await copy_rows(one, room) if row["RowKey"] == "head")
    await append(one, room, 3, 4)
    rows = await copy_rows(one, room)
    head = next(row for row in rows if row["RowKey"] == "head")
    newest = {entry_key(4), id_key("ann", "4")}

    await restore(one, room, [old_head, *(row for row in rows if row["RowKey"] != "head")])
    await begin_epochs(other.logs, [room])
    assert await read_contents(other, room) == [(n, str(n)) for n in (1, 2, 3, 4)]
    assert (await other.logs.read_head(room)).messages == 4

    await restore(
        one, room, [head, *(row for row in rows if row["RowKey"] not in newest | {"head"})]
    )
    await begin_epochs(other.logs, [room])
    assert await read_contents(other, room) == [(n, str(n)) for n in (1, 2, 3)]
    await append(other, room, 4)
    assert await read_contents(other, room) == [(n, str(n)) for n in (1, 2, 3, 4)]


async def test_entries_that_the_copy_does_not_have_are_counted(one: Instance, room: str) -> None:
    await append(one, room, 1, 2, 3, 4)
    rows = await copy_rows(one, room)
    lost = {entry_key(2), entry_key(3)}

    await restore(one, room, [row for row in rows if row["RowKey"] not in lost])
    found = await begin_epochs(one.logs, [room])

    assert [(log.name, log.missing) for log in found] == [(room, 2)]
    # Sent again, a message whose row is lost is stored again; the others keep their place.
    await append(one, room, 1, 2, 4)
    assert await read_contents(one, room) == [(1, "1"), (4, "4"), (5, "2")]


async def test_queue_rows_of_the_copy_are_not_stored(one: Instance, room: str) -> None:
    await append(one, room, 1)
    epoch = (await one.logs.read_head(room)).epoch
    lost = [MessageDraft("eve", "x", content="of the copy")]
    await one.logs.insert_queue_row(room, f"{QUEUE_PREFIX}{1:013}-x", epoch, lost)

    await begin_epochs(one.logs, [room])
    await append(one, room, 2)

    assert await read_contents(one, room) == [(1, "1"), (2, "2")]


async def test_an_address_that_is_none_is_refused_in_one_sentence() -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "local.restore", "--tables", "townsquare"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "townsquare" in done.stderr
