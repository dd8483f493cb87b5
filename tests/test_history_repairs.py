"""Logs in states that no commit leaves: after errors, wrong clocks and partial deletions."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from realtime.errors import ApiError
from realtime.rooms.drafts import MessageDraft
from realtime.rooms.history import read_entries
from realtime.rooms.log_rows import entry_key
from realtime.rooms.retention import purge
from tests.instances import Instance, append


async def stored(one: Instance, room: str) -> list[Any]:
    head = await one.logs.read_head(room)
    return await read_entries(one.logs, room, head, 1, head.seq)


async def test_an_unexpected_error_in_a_commit_leaves_the_room_usable(
    one: Instance, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(one.logs, "commit", fail)
        with pytest.raises(ApiError) as refused:
            await append(one, room, 1)

    assert refused.value.retry
    await append(one, room, 1, 2)
    assert [entry.content for entry in await stored(one, room)] == ["1", "2"]


async def test_a_clock_far_ahead_dates_only_its_own_messages(
    one: Instance, other: Instance, room: str
) -> None:
    one.time = datetime.now(UTC) + timedelta(hours=1)

    await append(one, room, 1)
    await append(other, room, 2)

    wrong, right = [datetime.fromisoformat(entry.timestamp) for entry in await stored(one, room)]
    assert wrong - right > timedelta(minutes=59)


@pytest.mark.parametrize("text", ["\U0001f600" * 2000, "\x01" * 4000, "\u20ac" * 4000])
async def test_full_commits_of_long_texts_are_published(
    one: Instance, room: str, text: str
) -> None:
    """As JSON with escapes the frame of such a commit would be above the service's limit."""
    drafts = [MessageDraft("ann", str(number), content=text) for number in range(60)]

    await asyncio.gather(*(one.appender.append(room, draft) for draft in drafts))

    assert [entry.seq for entry in await stored(one, room)] == list(range(1, 61))


async def test_retention_of_what_an_older_log_has_left_hides_no_new_message(
    one: Instance, other: Instance, room: str
) -> None:
    """The head of a log was deleted, its entries were not."""
    one.time = datetime.now(UTC) - timedelta(days=10)
    await append(one, room, *range(1, 61))
    await one.tables.open("history").delete_entity(room, "head")
    await append(other, room, 101, 102)

    await purge(other.logs, datetime.now(UTC), days=7)
    await append(other, room, 103)

    head = await other.logs.read_head(room)
    assert head.first == 1
    page = await other.history.read_page(room)
    assert [entry.content for entry in page.messages] == ["101", "102", "103"]


async def test_a_repeated_message_whose_row_is_gone_is_stored_again(
    one: Instance, other: Instance, room: str
) -> None:
    await append(one, room, 1, 2)
    await one.tables.open("history").delete_entity(room, entry_key(1))

    await append(other, room, 1)
    await append(one, room, 1)

    assert [(one.seq, one.content) for one in await stored(one, room)] == [(2, "2"), (3, "1")]
