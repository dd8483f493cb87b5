"""Blocks and reports: what users do against other users, and mentions, which blocks stop."""

import uuid
from typing import Any

import aiohttp
import pytest

from local.parts import Stack
from realtime.azure.operations import Insert
from realtime.users.blocks import MAX_BLOCKS
from realtime.users.limits import REPORTS_PER_MINUTE
from tests.instances import Instance
from tests.test_operators import create_vouched_user
from tests.test_roles import Server, accepted, message, rejected
from tests.users import User

NOBODY = "nobody-22222222"


@pytest.fixture
def server(stack: Stack, http: aiohttp.ClientSession) -> Server:
    return Server(http, stack.url)


def direct(user_id: str, content: str = "hello") -> dict[str, str]:
    return {"to": user_id, **message(content)}


# --- blocks -------------------------------------------------------------------------------------


async def test_no_direct_message_arrives_between_users_of_whom_one_blocks_the_other(
    ann: User, bob: User, server: Server
) -> None:
    async with ann.connect() as sender, bob.connect() as first, bob.connect() as second:
        await accepted(sender, "direct", **direct(bob.id, "before"))
        await first.receive(type="direct_message")
        await accepted(first, "block", user_id=ann.id)
        assert (await second.receive(type="blocked"))["user_id"] == ann.id
        refusals = [
            await sender.send_rejected("direct", direct(bob.id)),
            await sender.send_rejected("direct", direct(NOBODY)),
            await first.send_rejected("direct", direct(ann.id)),
        ]
        codes = [
            await rejected(sender, "edit", to=bob.id, seq=1, content="after", revision=0),
            await rejected(sender, "react", to=bob.id, seq=1, emoji="👍"),
        ]
        of_ann = {"content": "for ann", "from": ann.id}
        status, answer = await server.ask("POST", f"users/{bob.id}/message", of_ann)
        assert (status, answer["error"]["code"]) == (404, "unreachable")
        await server.get("POST", f"users/{bob.id}/message", {"content": "from the server"})
        me, page = await bob.get("/api/me"), await bob.get("/api/rooms")
        assert "blocked" not in str(sender.received)

        assert (await bob.ask("DELETE", f"/api/users/{ann.id}/block"))[1] == {
            "user_id": ann.id, "blocked": False,
        }  # fmt: skip
        assert (await first.receive(type="blocked", on=False))["user_id"] == ann.id
        await accepted(sender, "direct", **direct(bob.id, "after"))
        await first.receive(type="direct_message", content="after")

    # The sender cannot tell a block from an unknown user.
    for one in refusals:
        one.pop("id")
    assert refusals[0] == refusals[1] == refusals[2]
    assert codes == ["unreachable", "unreachable"]
    assert me["blocked"] == [ann.id]
    assert [one.get("blocked") for one in page["direct"] if one["user_id"] == ann.id] == [True]
    assert (await bob.get("/api/me"))["blocked"] == []


async def test_bad_blocks_have_named_answers(ann: User, bob: User) -> None:
    async with ann.connect() as tab:
        assert await rejected(tab, "block", user_id=ann.id) == "invalid_target"
        assert await rejected(tab, "block", user_id="a:b") == "invalid_user"
        assert await rejected(tab, "block") == "invalid_request"
        await accepted(tab, "block", user_id=bob.id, on=False)
        for _ in range(2):
            await accepted(tab, "block", user_id=bob.id)

    assert (await ann.get("/api/me"))["blocked"] == [bob.id]
    assert (await ann.ask("PUT", f"/api/users/{ann.id}/block"))[0] == 400


async def test_a_user_blocks_at_most_500_users(one: Instance, ann: User, bob: User) -> None:
    rows = [Insert({"PartitionKey": ann.id, "RowKey": f"user-{n}"}) for n in range(MAX_BLOCKS)]
    for start in range(0, MAX_BLOCKS, 100):
        await one.tables.open("blocks").submit(rows[start : start + 100])

    async with ann.connect() as tab:
        assert await rejected(tab, "block", user_id=bob.id) == "too_many_blocks"
        await accepted(tab, "block", user_id="user-7")  # a repetition
        await accepted(tab, "block", user_id="user-7", on=False)
        await accepted(tab, "block", user_id=bob.id)


# --- mentions -----------------------------------------------------------------------------------


async def test_mentions_are_counted_beside_unread_until_they_are_read(
    ann: User, bob: User, room: str
) -> None:
    async def counts() -> tuple[int, int]:
        (summary,) = (await bob.get("/api/rooms"))["rooms"]
        return summary["unread"], summary.get("mentions", 0)

    async with bob.connect(room):
        pass
    mention = {"room": room, "mentions": [bob.id]}
    async with ann.connect(room) as sender:
        await accepted(sender, "message", **mention, **message("1"))
        await accepted(sender, "message", room=room, **message("2"))
        repeated = message("3")
        for _ in range(2):
            await accepted(sender, "message", **mention, **repeated)
        assert await counts() == (3, 2)
        await accepted(sender, "edit", **mention, seq=2, content="2, bob", revision=0)
        await accepted(sender, "react", room=room, seq=2, emoji="👍")
        assert await counts() == (3, 3)
        async with bob.connect(room) as tab:
            await accepted(tab, "read", room=room, seq=2)
            assert await counts() == (1, 1)
            await accepted(tab, "message", **mention, **message("to myself"))
            await accepted(tab, "read", room=room, seq=3)
            assert await counts() == (1, 0)


async def test_a_mention_reaches_neither_who_blocks_nor_who_is_not_in_the_room(
    ann: User, bob: User, room: str
) -> None:
    async with ann.connect(room) as sender, bob.connect(room) as tab:
        await accepted(tab, "block", user_id=ann.id)
        mention = {"room": room, "mentions": [bob.id, NOBODY, ann.id], **message("hello all")}
        await accepted(sender, "message", **mention)
        frame = await tab.receive(type="message", content="hello all")
        blocked = (await bob.get("/api/rooms"))["rooms"][0].get("mentions", 0)
        await accepted(tab, "block", user_id=ann.id, on=False)
        # The repetition is recognised, although the mention would arrive now.
        await accepted(sender, "message", **mention)
        await accepted(sender, "message", **{**mention, **message("hello bob")})
        again = await tab.receive(type="message", content="hello bob")

    assert (frame["mentions"], blocked) == ([ann.id], 0)
    assert again["mentions"] == [bob.id, ann.id]


# --- reports ------------------------------------------------------------------------------------


async def test_reports_go_to_the_operators_who_close_them(
    stack: Stack, http: aiohttp.ClientSession, ann: User, bob: User, server: Server, room: str
) -> None:
    olivia = await create_vouched_user(http, stack.url, "olivia", operator=True)
    async with ann.connect(room) as tab, bob.connect(room) as other:
        await other.send_message(room, "an insult")
        await accepted(other, "direct", **direct(ann.id, "another insult"))
        await tab.send("report", {"room": room, "seq": 1, "reason": " insulting "})
        first = await tab.receive(type="reported")
        await tab.send("report", {"room": room, "seq": 1, "reason": "still"})
        second = await tab.receive(type="reported")
        private = {"user_id": bob.id, "seq": 1, "reason": "in private, too"}
        status, third = await ann.ask("POST", "/api/reports", json=private)
        assert status == 200, third
        await accepted(other, "delete", room=room, seq=1)

    assert first["id"] == second["id"]
    mine = [first["id"], third["id"]]
    listed = await pages(server, "open")
    found = {one["id"]: one for one in listed if one["id"] in mine}
    assert [one["id"] for one in listed if one["id"] in mine] == [third["id"], first["id"]]
    in_room, in_private = found[first["id"]], found[third["id"]]
    assert (in_room["room"], in_room["seq"], in_room["from"]) == (room, 1, bob.id)
    assert (in_room["reporter"], in_room["reason"]) == (ann.id, "insulting")
    assert in_room["message"]["deleted"], "a deleted text is not kept by a report"
    assert in_private["users"] == sorted([ann.id, bob.id])
    assert in_private["message"]["content"] == "another insult"

    closed = await server.get("PATCH", f"reports/{first['id']}", {"state": "closed"})
    path = f"/api/moderation/reports/{third['id']}"
    for state in ("closed", "closed", "open", "closed"):
        status, answer = await olivia.ask("PATCH", path, json={"state": state})
        assert (status, answer["state"]) == (200, state)
    assert closed["state"] == "closed"
    assert not {one["id"] for one in await pages(server, "open")} & set(mine)
    assert {one["id"] for one in await pages(server, "closed")} >= set(mine)
    acts = (await olivia.get("/api/audit"))["acts"]
    assert ("key", "close report", first["id"]) in [
        (one["actor"], one["action"], one["target"]) for one in acts
    ]
    assert (await ann.ask("GET", "/api/moderation/reports"))[0] == 403


async def pages(server: Server, state: str) -> list[dict[str, Any]]:
    found, after = [], ""
    while after is not None:
        query = f"state={state}&limit=1&after={after}"
        page = await server.get("GET", f"reports?{query}")
        found += page["reports"]
        after = page.get("next")
    return found


async def test_bad_reports_have_named_answers(
    ann: User, bob: User, server: Server, room: str
) -> None:
    private = f"room-{uuid.uuid4().hex}"
    await server.get("PUT", f"rooms/{private}", {"private": True})
    async with ann.connect(room) as tab:
        await tab.send_message(room, "mine")
        codes = [
            await rejected(tab, "report", room=room, seq=99, reason="missing"),
            await rejected(tab, "report", room=room, seq=1, reason="my own"),
            await rejected(tab, "report", room=room, seq=1, reason="x" * 501),
            await rejected(tab, "report", room=room, seq=1, reason=" \u3164"),
            await rejected(tab, "report", room=room, to=bob.id, seq=1, reason="both"),
            await rejected(tab, "report", room="elsewhere", seq=1, reason="not joined"),
            await rejected(tab, "report", to=bob.id, seq=1, reason="nothing there"),
        ]

    assert codes == [
        "unknown_message", "invalid_target", "invalid_reason", "invalid_reason",
        "invalid_request", "not_in_room", "unknown_message",
    ]  # fmt: skip
    for body, code in [
        ({"room": private, "seq": 1, "reason": "private"}, "unknown_room"),
        ({"room": room, "seq": 1}, "invalid_request"),
    ]:
        status, answer = await bob.ask("POST", "/api/reports", json=body)
        assert answer["error"]["code"] == code, status
    status, answer = await server.ask("PATCH", "reports/none", {"state": "closed"})
    assert (status, answer["error"]["code"]) == (404, "unknown_report")


async def test_reports_over_http_and_over_the_socket_have_one_limit(ann: User, room: str) -> None:
    missing = {"room": room, "seq": 99, "reason": "missing"}

    async def count_accepted() -> int:
        """Report until the next report has to wait for half of the time at least."""
        accepted_reports = 0
        while True:
            status, body = await ann.ask("POST", "/api/reports", json=missing)
            accepted_reports += status == 404
            if status == 429 and body["error"]["retry_after_ms"] > 30_000 / REPORTS_PER_MINUTE:
                return accepted_reports

    async with ann.connect(room) as tab:
        assert await count_accepted() >= REPORTS_PER_MINUTE

        assert await rejected(tab, "report", **missing) == "rate_limited"


async def test_a_deleted_user_leaves_no_block_role_mention_or_report(
    ann: User, bob: User, server: Server, one: Instance, room: str
) -> None:
    await server.get("PUT", f"rooms/{room}", {"owners": [ann.id, bob.id]})
    async with ann.connect(room) as tab, bob.connect(room) as other:
        mention = {"room": room, "mentions": [ann.id], **message("hello ann")}
        await accepted(other, "message", **mention)
        await accepted(tab, "block", user_id=bob.id)
        await tab.send("report", {"room": room, "seq": 1, "reason": "a reason"})
        await tab.receive(type="reported")
    assert (await ann.ask("DELETE", f"/api/users/{ann.id}"))[0] == 200

    found = [
        (table, row["RowKey"])
        for table in ("blocks", "reports", "rooms", "history")
        async for row in one.tables.open(table).list_entities()
        if ann.id in str(row)
    ]
    # The message of the other user keeps the id that it mentions.
    assert found == [("history", "m:0000000000000000001")]
    members = (await bob.get(f"/api/rooms/{room}/members"))["members"]
    assert [user["user_id"] for user in members] == [bob.id]
