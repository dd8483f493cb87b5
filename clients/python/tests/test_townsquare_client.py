"""Every operation of both clients, against the running app."""

import secrets
from datetime import UTC, datetime, timedelta

import pytest
from townsquare_client import (
    ConflictError,
    ConnectionFailedError,
    ForbiddenError,
    InvalidRequestError,
    Message,
    NewFrame,
    NotFoundError,
    Townsquare,
    UnauthenticatedError,
)

from local.parts import Part, free_ports
from tests.strict import BANNED_USER


def new_name(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(6)}"


def find(townsquare: Townsquare, room: str, seq: int) -> Message:
    return townsquare.history_page(room, after=seq - 1, limit=1).messages[0]


def test_messages_are_sent_edited_reacted_to_answered_and_deleted(
    townsquare: Townsquare, room: str
) -> None:
    sent = townsquare.send_message(
        room, "helo", sender="school", mentions=["bob-1"], meta={"lang": "en"}
    )
    townsquare.edit_message(room, sent.seq, "hello", revision=0, sender="school")
    townsquare.react(room, sent.seq, "👍", sender="ann")
    message = find(townsquare, room, sent.seq)
    reply = townsquare.reply(room, message, "hello, school", sender="bot")
    again = townsquare.reply(room, message, "hello, school", sender="bot")

    assert (message.content, message.sender, message.revision) == ("hello", "school", 1)
    assert (message.reactions, message.meta) == ({"👍": 1}, {"lang": "en"})
    assert message.timestamp <= datetime.now(UTC) + timedelta(seconds=5)
    assert reply == again
    assert find(townsquare, room, reply.seq).reply_to == sent.seq

    townsquare.react(room, sent.seq, "👍", on=False, sender="ann")
    townsquare.delete_message(room, sent.seq)
    deleted = find(townsquare, room, sent.seq)
    assert (deleted.deleted, deleted.content) == (True, "")


@pytest.mark.parametrize("count", [0, 1, 3, 17])
def test_the_history_is_iterated_in_both_directions(
    townsquare: Townsquare, room: str, count: int
) -> None:
    for n in range(count):
        accepted = townsquare.send_message(room, f"message {n}")
        townsquare.react(room, accepted.seq, "👍")  # an entry of the log between the messages
    expected = [f"message {n}" for n in range(count)]

    for page_size in (1, 4, 200):
        forward = townsquare.history(room, page_size=page_size)
        backward = townsquare.recent_history(room, page_size=page_size)
        assert [one.content for one in forward] == expected
        assert [one.content for one in backward] == expected[::-1]
    later = townsquare.history(room, after=min(3, 2 * count), page_size=4)
    assert [one.content for one in later] == expected[2:]


def test_sessions_are_minted_and_show_what_their_user_may_see(
    townsquare: Townsquare, room: str
) -> None:
    user_id = new_name("customer")
    minted = townsquare.mint_session(user_id, "Carol Müller", hours=1)
    carol = townsquare.with_session(minted.session)
    townsquare.put_room(room, private=True)
    townsquare.send_message(room, "private")

    assert (minted.user_id, minted.name, minted.operator) == (user_id, "Carol Müller", False)
    assert minted.expires_on > datetime.now(UTC) + timedelta(minutes=55)
    assert carol.negotiate().user_id == user_id
    with pytest.raises(NotFoundError) as missing:
        carol.history_page(room)
    assert (missing.value.code, missing.value.status, missing.value.retry) == (
        "unknown_room",
        404,
        False,
    )
    townsquare.add_member(room, user_id)
    assert [one.content for one in carol.history(room)] == ["private"]
    townsquare.remove_member(room, user_id)
    with pytest.raises(NotFoundError):
        carol.history_page(room)
    with pytest.raises(UnauthenticatedError):
        townsquare.with_session("forged").history_page(room)


def test_rooms_have_settings_roles_and_mutes(townsquare: Townsquare, room: str) -> None:
    made = townsquare.put_room(room, listed=True, title="Tea", topic="Assam", owners=["ann-1"])
    townsquare.add_member(room, "bob-1", role="moderator")
    townsquare.mute(room, "carl-1", minutes=5)
    townsquare.remove_mute(room, "carl-1")
    again = townsquare.put_room(room, title="Coffee")

    assert (made.title, made.topic, made.listed, made.owners) == ("Tea", "Assam", True, ["ann-1"])
    assert (again.title, again.topic, again.owners) == ("Coffee", "", ["ann-1"])


def test_users_are_seen_banned_and_written_to(townsquare: Townsquare, room: str) -> None:
    user_id = new_name("dora")
    session = townsquare.mint_session(user_id, "Dora").session

    assert list(townsquare.users(room)) == []
    assert townsquare.is_online(user_id) is False
    assert townsquare.is_connected("none") is False
    assert townsquare.subscriptions(user_id) == []
    first = townsquare.send_direct(user_id, "hello", sender="school", id="one")
    assert townsquare.send_direct(user_id, "hello", sender="school", id="one") == first
    townsquare.ban(user_id)
    with pytest.raises(ForbiddenError) as banned:
        townsquare.with_session(session).negotiate()
    townsquare.remove_ban(user_id)

    assert banned.value.code == "banned"
    assert townsquare.with_session(session).negotiate().user_id == user_id
    acts = [one for one, _ in zip(townsquare.audit(page_size=2), range(9), strict=False)]
    told = [(one.actor, one.action) for one in acts if one.target == user_id]
    assert told[:2] == [("key", "remove ban"), ("key", "ban")]
    assert [one.timestamp for one in acts] == sorted((one.timestamp for one in acts), reverse=True)


def test_an_operators_session_is_enough_to_look_and_to_ban(townsquare: Townsquare) -> None:
    session = townsquare.mint_session(new_name("olga"), "Olga", operator=True).session
    olga = townsquare.with_session(session)

    assert olga.subscriptions("bob-1") == []
    assert olga.is_connected("none") is False
    assert olga.is_online("bob-1") is False
    assert next(iter(olga.audit())).action == "mint operator"
    olga.ban(BANNED_USER)


def test_streams_are_defined_and_take_frames(townsquare: Townsquare) -> None:
    name = new_name("tide")
    townsquare.put_stream(name, f"Title of {name}", fresh_seconds=5, always=True)
    now = datetime.now(UTC)
    one = townsquare.push(name, {"metres": 1.5})
    batch = [NewFrame({"metres": n}, now + timedelta(milliseconds=n)) for n in range(100)]
    many = townsquare.push_batch(name, batch)

    assert (one.frames, many.frames) == (1, 100)
    latest = townsquare.stream(name).latest
    assert latest
    assert (latest.tick, latest.data) == (many.tick, {"metres": 99})
    assert name in {stream.name for stream in townsquare.streams()}
    soon = now + timedelta(minutes=1)  # frames of the same moment follow each other
    since = now - timedelta(minutes=1)
    points = townsquare.stream_history(name, since=since, until=soon, points=1000)
    assert points[-1].data == {"metres": 99}
    townsquare.publish({"type": "news"}, group=name)


def test_bad_input_gets_a_named_error_and_writes_nothing(townsquare: Townsquare) -> None:
    name = new_name("wrong")
    townsquare.put_stream(name, f"Title of {name}")
    refused = {
        "too_large": lambda: townsquare.push(name, {"text": "x" * 65_000}),
        "invalid_request": lambda: townsquare.push_batch(name, [NewFrame({})] * 101),
        "stream_has_producer": lambda: townsquare.push("stock-prices", {"AAPL": 1}),
        "invalid_user": lambda: townsquare.mint_session("a:b", "Ann"),
        "invalid_room": lambda: townsquare.send_message("../x", "hello"),
        "unknown_message": lambda: townsquare.delete_message(name, 1),
    }
    kinds = {}

    for code, call in refused.items():
        with pytest.raises((InvalidRequestError, ConflictError, NotFoundError)) as error:
            call()
        assert error.value.code == code
        kinds[code] = type(error.value)

    assert kinds["stream_has_producer"] is ConflictError
    assert kinds["unknown_message"] is NotFoundError
    assert kinds["invalid_user"] is kinds["too_large"] is InvalidRequestError
    assert townsquare.stream(name).latest is None


def test_a_wrong_key_and_a_missing_app_are_errors_of_their_own(strict: Part) -> None:
    with Townsquare(strict.url, key="wrong") as client, pytest.raises(UnauthenticatedError):
        client.ban("bob-1")
    waits: list[float] = []
    (port,) = free_ports(1)
    with (
        Townsquare(f"http://localhost:{port}", sleep=waits.append, chance=lambda: 1.0) as client,
        pytest.raises(ConnectionFailedError),
    ):
        client.streams()
    assert waits == [0.5, 1.0, 2.0]
