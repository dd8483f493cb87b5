"""Edits, deletes and reactions are entries of the same log, in the same order as the messages."""

import uuid
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from realtime.errors import ApiError
from realtime.messages import Change, Entry
from realtime.rooms.drafts import DeleteDraft, EditDraft, MessageDraft, ReactionDraft
from realtime.rooms.retention import purge
from tests.instances import Instance
from tests.users import User

THUMB, HEART = "👍", "❤️"


def new_id() -> str:
    return uuid.uuid4().hex


def message(content: str, sender: str = "ann", **more: Any) -> MessageDraft:
    return MessageDraft(sender, new_id(), content=content, **more)


def edit(target: int, content: str, revision: int = 0, sender: str = "ann") -> EditDraft:
    return EditDraft(sender, new_id(), target=target, content=content, revision=revision)


def delete(target: int, sender: str = "ann", *, moderator: bool = False) -> DeleteDraft:
    return DeleteDraft(sender, new_id(), target=target, moderator=moderator)


def reaction(
    target: int, emoji: str = THUMB, sender: str = "bob", *, on: bool = True
) -> ReactionDraft:
    return ReactionDraft(sender, new_id(), target=target, emoji=emoji, on=on)


async def error_of(awaitable: Awaitable[Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await awaitable
    return caught.value


async def state_of(one: Instance, room: str, reader: str = "") -> list[Entry]:
    return (await one.history.read_page(room, 200, reader=reader)).messages


# --- edits ------------------------------------------------------------------------------------


async def test_an_edit_is_an_entry_and_late_joiners_see_the_last_state(
    one: Instance, other: Instance, room: str
) -> None:
    await one.appender.append(room, message("helo"))
    await one.appender.append(room, message("next"))

    stored = await other.appender.append(room, edit(1, "hello"))

    assert stored.seq == 3
    first, second = await state_of(one, room)
    assert (first.content, first.revision, second.revision) == ("hello", 1, 0)
    assert first.edited is not None
    page, recovered = await one.history.read_since(room, 2, (await one.logs.read_head(room)).epoch)
    assert recovered
    (change,) = page.changes
    assert (change.seq, change.kind, change.target, change.content) == (3, "edit", 1, "hello")


async def test_an_edit_of_another_revision_is_a_conflict_that_names_the_present_one(
    one: Instance, room: str
) -> None:
    await one.appender.append(room, message("a"))
    await one.appender.append(room, edit(1, "b"))

    error = await error_of(one.appender.append(room, edit(1, "c", revision=0)))

    assert (error.code, error.revision) == ("conflict", 1)
    assert (await state_of(one, room))[0].content == "b"


async def test_an_edit_that_is_repeated_without_its_id_has_no_second_effect(
    one: Instance, room: str
) -> None:
    await one.appender.append(room, message("a"))
    await one.appender.append(room, edit(1, "b"))

    repeated = await one.appender.append(room, edit(1, "b"))

    assert repeated.seq == 0
    assert (await one.logs.read_head(room)).seq == 2


async def test_only_the_author_edits_and_only_within_the_edit_period(
    one: Instance, room: str
) -> None:
    one.time = datetime.now(UTC) - timedelta(hours=25)
    await one.appender.append(room, message("yesterday"))
    one.time = None

    by_another = await error_of(one.appender.append(room, edit(1, "x", sender="bob")))
    too_late = await error_of(one.appender.append(room, edit(1, "x")))

    assert (by_another.code, too_late.code) == ("forbidden", "edit_expired")
    assert (await one.logs.read_head(room)).seq == 1


# --- deletes ----------------------------------------------------------------------------------


async def test_a_delete_removes_the_text_from_storage_and_leaves_a_tombstone(
    one: Instance, room: str
) -> None:
    secret, edited = "the secret text", "the edited secret"
    await one.appender.append(room, message(secret, meta='{"secret":1}', mentions=("bob",)))
    await one.appender.append(room, edit(1, edited))
    await one.appender.append(room, reaction(1))

    await one.appender.append(room, delete(1))

    (tombstone,) = await state_of(one, room)
    assert (tombstone.deleted, tombstone.content, tombstone.reactions) == (True, "", {})
    assert tombstone.meta == {}
    rows = [str(dict(row)) async for row in one.logs.query_rows(room, "", "~")]
    assert rows
    assert not [row for row in rows if "secret" in row]
    page, _ = await one.history.read_since(room, 1, (await one.logs.read_head(room)).epoch)
    assert [change.kind for change in page.changes] == ["edit", "reaction", "delete"]
    assert page.changes[0].content is None


async def test_a_deleted_message_cannot_be_changed(one: Instance, room: str) -> None:
    await one.appender.append(room, message("a"))
    await one.appender.append(room, delete(1))

    for draft in (delete(1), edit(1, "b", revision=1), reaction(1)):
        assert (await error_of(one.appender.append(room, draft))).code == "message_deleted"
    assert (await one.logs.read_head(room)).seq == 2


async def test_only_the_author_and_moderators_delete_a_message(one: Instance, room: str) -> None:
    await one.appender.append(room, message("a"))

    refused = await error_of(one.appender.append(room, delete(1, sender="bob")))
    await one.appender.append(room, delete(1, sender="bob", moderator=True))

    assert refused.code == "forbidden"
    assert (await state_of(one, room))[0].deleted


# --- reactions --------------------------------------------------------------------------------


async def test_a_user_reacts_once_with_an_emoji_and_pages_have_counts_and_own_reactions(
    one: Instance, other: Instance, room: str
) -> None:
    await one.appender.append(room, message("a"))
    await one.appender.append(room, reaction(1, THUMB, "bob"))
    await other.appender.append(room, reaction(1, THUMB, "carol"))
    await other.appender.append(room, reaction(1, HEART, "bob"))
    again = await one.appender.append(room, reaction(1, THUMB, "bob"))
    await one.appender.append(room, reaction(1, HEART, "bob", on=False))

    assert again.seq == 0
    (entry,) = await state_of(one, room, reader="bob")
    assert (entry.reactions, entry.mine) == ({THUMB: 2}, [THUMB])
    (entry,) = await state_of(one, room, reader="dave")
    assert entry.mine == []


async def test_a_message_has_at_most_twenty_kinds_of_reactions(one: Instance, room: str) -> None:
    await one.appender.append(room, message("a"))
    kinds = [chr(0x1F600 + number) for number in range(21)]
    for kind in kinds[:20]:
        await one.appender.append(room, reaction(1, kind))

    error = await error_of(one.appender.append(room, reaction(1, kinds[20])))
    await one.appender.append(room, reaction(1, kinds[0], "carol"))

    assert error.code == "too_many_reactions"
    (entry,) = await state_of(one, room)
    assert (len(entry.reactions), entry.reactions[kinds[0]]) == (20, 2)


async def test_changes_of_one_commit_are_applied_in_order(one: Instance, room: str) -> None:
    """A reaction is added, removed and added; other messages are edited and deleted."""
    for text in ("a", "b", "c"):
        await one.appender.append(room, message(text))
    changes = [
        reaction(1), reaction(1, on=False), reaction(1), reaction(1, HEART, "carol"),
        edit(2, "B"), delete(3), message("d", reply_to=1),
    ]  # fmt: skip

    outcomes = (await one.logs.commit(
        room, await one.logs.read_head(room), changes, datetime.now(UTC)
    )).outcomes  # fmt: skip

    assert [outcomes[one] for one in changes] == [4, 5, 6, 7, 8, 9, 10]
    first, second, third, fourth = await state_of(one, room, reader="bob")
    assert (first.reactions, first.mine) == ({THUMB: 1, HEART: 1}, [THUMB])
    assert (second.content, third.deleted, fourth.reply_to) == ("B", True, 1)


# --- targets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [2, 3, 99, 2**53])
async def test_a_change_of_an_unknown_message_is_rejected(
    one: Instance, room: str, target: int
) -> None:
    """2 is the seq of an edit; the others are above the head."""
    await one.appender.append(room, message("a"))
    await one.appender.append(room, edit(1, "b"))
    elsewhere = f"{room}-2"
    for _ in range(4):
        await one.appender.append(elsewhere, message("x"))

    for draft in (
        edit(target, "c"),
        delete(target),
        reaction(target),
        message("reply", reply_to=target),
    ):
        assert (await error_of(one.appender.append(room, draft))).code == "unknown_message"
    assert (await one.logs.read_head(room)).seq == 2


async def test_retention_removes_reactions_and_changes_with_the_messages(
    one: Instance, room: str
) -> None:
    one.time = datetime.now(UTC) - timedelta(days=10)
    await one.appender.append(room, message("old"))
    await one.appender.append(room, reaction(1))
    await one.appender.append(room, edit(1, "older"))
    one.time = None
    await one.appender.append(room, message("new"))

    await purge(one.logs, datetime.now(UTC), days=7)

    rows = [row["RowKey"] async for row in one.logs.query_rows(room, "", "~")]
    assert [key for key in rows if key[0] in "mr"] == ["m:0000000000000000004"]
    assert (await error_of(one.appender.append(room, reaction(1)))).code == "unknown_message"


async def test_retention_removes_the_rows_of_mentions_that_were_edited_away_or_deleted(
    one: Instance, room: str
) -> None:
    one.time = datetime(2020, 1, 1, tzinfo=UTC)
    mentions = ("bob", "carol")
    await one.appender.append(room, message("for both", mentions=mentions))
    await one.appender.append(room, message("deleted", mentions=mentions))
    await one.appender.append(room, message("mentioned again", mentions=mentions))
    await one.appender.append(room, edit(1, "for bob"))
    await one.appender.append(room, delete(2))
    await one.appender.append(room, edit(3, "for nobody"))
    again = msgspec.structs.replace(edit(3, "for carol", revision=1), mentions=("carol",))
    await one.appender.append(room, again)
    mentioned = [row["RowKey"] async for row in one.logs.query_rows(room, "n:", "n;")]
    assert len(mentioned) == 6

    await purge(one.logs, datetime.now(UTC), days=7)

    assert [row["RowKey"] async for row in one.logs.query_rows(room, "m:", "n;")] == []


# --- over the socket ----------------------------------------------------------------------------


async def test_changes_reach_every_user_in_the_room_in_order(
    ann: User, bob: User, room: str
) -> None:
    async with ann.connect(room) as tab, bob.connect(room) as bob_tab:
        await tab.send_message(room, "helo")
        assert (
            await tab.send("edit", {"room": room, "seq": 1, "content": "hello", "revision": 0})
        )["success"]
        await bob_tab.send("react", {"room": room, "seq": 1, "emoji": THUMB})
        await tab.send("delete", {"room": room, "seq": 1})

        changes: list[dict[str, Any]] = []
        while len(changes) < 3:
            frame = await bob_tab.receive_where(
                lambda one: bool(one.get("changes")), what="changes"
            )
            changes += frame["changes"]

    assert [(one["seq"], one["kind"]) for one in changes] == [
        (2, "edit"), (3, "reaction"), (4, "delete"),
    ]  # fmt: skip
    assert changes[0]["content"] == "hello"
    assert changes[1]["count"] == 1


async def test_changes_of_a_direct_conversation_reach_both_users(ann: User, bob: User) -> None:
    async with ann.connect() as ann_tab, bob.connect() as bob_tab:
        await ann_tab.send("direct", {"to": bob.id, "content": "hi", "id": "1"})
        await bob_tab.receive(type="direct_message", content="hi")

        await bob_tab.send("react", {"to": ann.id, "seq": 1, "emoji": HEART})

        frame = await ann_tab.receive(type="direct_messages")
        assert frame["changes"][0]["emoji"] == HEART
        assert sorted(frame["users"]) == sorted([ann.id, bob.id])


INVALID_CHANGES = [
    ("edit", {"seq": 1, "content": "x", "revision": 5}, "conflict"),
    ("edit", {"seq": 1, "content": "", "revision": 0}, "empty_content"),
    ("edit", {"seq": 0, "content": "x", "revision": 0}, "invalid_request"),
    ("edit", {"seq": 1, "content": "x"}, "invalid_request"),
    ("edit", {"seq": 7, "content": "x", "revision": 0}, "unknown_message"),
    ("delete", {"seq": -1}, "invalid_request"),
    ("delete", {"seq": 7}, "unknown_message"),
    ("react", {"seq": 1, "emoji": "x"}, "invalid_emoji"),
    ("react", {"seq": 1, "emoji": ""}, "invalid_emoji"),
    ("react", {"seq": 1, "emoji": THUMB * 2}, "invalid_emoji"),
    ("react", {"seq": 1, "emoji": THUMB * 10_000}, "invalid_emoji"),
    ("message", {"content": "x", "id": "9", "reply_to": 7}, "unknown_message"),
    ("message", {"content": "x", "id": "9", "meta": {"k": "v" * 4096}}, "meta_too_large"),
    ("message", {"content": "x", "id": "9", "mentions": ["a/b"]}, "invalid_user"),
    ("message", {"content": "x", "id": "9", "mentions": [f"u{n}" for n in range(21)]},
     "invalid_request"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "data", "code"), INVALID_CHANGES)
async def test_an_invalid_change_is_rejected_and_not_stored(
    ann: User, one: Instance, room: str, event: str, data: dict[str, Any], code: str
) -> None:
    async with ann.connect(room) as tab:
        await tab.send_message(room, "hello")

        refusal = await tab.send_rejected(event, {"room": room, **data})

    assert refusal["code"] == code
    assert (await one.logs.read_head(room)).seq == 1


async def test_a_repeated_message_with_another_reply_or_meta_is_a_conflict(
    ann: User, room: str
) -> None:
    async with ann.connect(room) as tab:
        await tab.send_message(room, "hello")
        data = {"room": room, "content": "yes", "id": "1", "reply_to": 1, "meta": {"a": 1}}
        await tab.send("message", data)

        assert (await tab.send("message", data))["success"]
        for changed in ({"reply_to": None}, {"meta": {"a": 2}}, {"mentions": ["bob"]}):
            refusal = await tab.send_rejected("message", {**data, **changed})
            assert refusal["code"] == "id_conflict"


async def test_a_message_carries_reply_mentions_and_meta(ann: User, bob: User, room: str) -> None:
    async with ann.connect(room) as tab, bob.connect(room):
        await tab.send_message(room, "question?")
        await tab.send(
            "message",
            {"room": room, "content": "answer", "id": "1", "reply_to": 1,
             "mentions": [bob.id, bob.id], "meta": {"color": "blue"}},
        )  # fmt: skip

        frame = await tab.receive(type="message", content="answer")

    page = await ann.get(f"/api/rooms/{room}/history")
    for entry in (frame, page["messages"][1]):
        assert (entry["reply_to"], entry["mentions"]) == (1, [bob.id])
        assert entry["meta"] == {"color": "blue"}


async def test_unread_counts_messages_and_not_changes(ann: User, bob: User, room: str) -> None:
    async def unread() -> tuple[int, int]:
        (summary,) = (await bob.get("/api/rooms"))["rooms"]
        return summary["unread"], summary["head"]

    async with ann.connect(room) as ann_tab, bob.connect(room) as bob_tab:
        await ann_tab.send_message(room, "one")
        await ann_tab.send_message(room, "two")
        assert await unread() == (2, 2)

        await ann_tab.send("react", {"room": room, "seq": 1, "emoji": THUMB})
        await bob_tab.send("read", {"room": room, "seq": 1})
        assert await unread() == (1, 3)

        await bob_tab.send("read", {"room": room, "seq": 3})
        await ann_tab.send("edit", {"room": room, "seq": 1, "content": "ONE", "revision": 0})
        await ann_tab.send("delete", {"room": room, "seq": 2})
        assert await unread() == (0, 5)

        await bob_tab.send("read", {"room": room, "seq": 4})
        await ann_tab.send_message(room, "three")
        assert await unread() == (1, 6)


# --- by a server --------------------------------------------------------------------------------


async def test_a_server_edits_deletes_and_reacts(ann: User, room: str) -> None:
    async with ann.connect(room) as tab:
        await tab.send_message(room, "hello")
        path = f"/api/rooms/{room}/messages/1"
        body = {"content": "Hello", "revision": 0, "from": ann.id}

        assert await ann.ask("PATCH", path, json=body) == (200, {"room": room, "seq": 2})
        status, error = await ann.ask("PATCH", path, json={**body, "content": "HELLO"})
        assert (status, error["error"]["code"], error["error"]["revision"]) == (
            409, "conflict", 1,
        )  # fmt: skip
        status, _ = await ann.ask("POST", f"{path}/reactions", json={"emoji": THUMB})
        assert status == 200
        assert (await ann.ask("DELETE", path))[0] == 200
        assert (await ann.ask("DELETE", path))[0] == 410

        frame = await tab.receive_where(
            lambda one: any(change["kind"] == "delete" for change in one.get("changes", [])),
            what="the delete",
        )
    assert frame["changes"][-1]["from"] == "system"


@pytest.mark.parametrize("seq", ["0", "-1", "x", "1.5", "9" * 30, "\u0661"])
async def test_a_seq_that_is_not_a_positive_number_is_rejected(
    ann: User, room: str, seq: str
) -> None:
    status, body = await ann.ask("DELETE", f"/api/rooms/{room}/messages/{seq}")

    assert (status, body["error"]["code"]) == (400, "invalid_request")


# --- replaying changes --------------------------------------------------------------------------


def replay(messages: dict[int, Entry], changes: list[Change]) -> None:
    """What a client does with changes, in the order of their seq."""
    for change in sorted(changes, key=lambda one: one.seq):
        target = messages.get(change.target)
        if target is None:
            continue
        if change.kind == "edit" and change.content is not None:
            messages[change.target] = msgspec.structs.replace(target, content=change.content)
        if change.kind == "delete":
            messages[change.target] = msgspec.structs.replace(
                target, content="", deleted=True, reactions={}
            )
        if change.kind == "reaction" and change.emoji and not target.deleted:
            counts = {**target.reactions, change.emoji: change.count or 0}
            counts = {emoji: count for emoji, count in counts.items() if count}
            messages[change.target] = msgspec.structs.replace(target, reactions=counts)


async def test_a_client_that_replays_from_any_position_has_the_state_of_the_pages(
    one: Instance, other: Instance, room: str
) -> None:
    pages: list[tuple[int, dict[int, Entry]]] = []
    drafts = [
        message("a"), message("b"), reaction(1), edit(1, "A"), reaction(2, HEART, "carol"),
        edit(1, "AA", revision=1), message("c", reply_to=2), reaction(1, on=False), delete(2),
        reaction(7), edit(1, "AAA", revision=2),
    ]  # fmt: skip
    for number, draft in enumerate(drafts):
        await (one, other)[number % 2].appender.append(room, draft)
        page = await one.history.read_page(room, 200)
        pages.append((page.head.seq, {entry.seq: entry for entry in page.messages}))
    epoch = (await one.logs.read_head(room)).epoch
    expected = {
        entry.seq: (entry.content, entry.deleted, entry.reactions)
        for entry in await state_of(one, room)
    }

    for seq, messages in pages:
        page, recovered = await other.history.read_since(room, seq, epoch)
        assert recovered
        messages |= {entry.seq: entry for entry in page.messages}
        replay(messages, page.changes)
        found = {
            entry.seq: (entry.content, entry.deleted, entry.reactions)
            for entry in messages.values()
        }
        assert found == expected
