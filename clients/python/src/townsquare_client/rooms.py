"""Rooms: messages, history, users and members."""

import secrets
from collections.abc import Sequence
from typing import Any

from townsquare_client.models import (
    ChangeAccepted,
    HistoryPage,
    Message,
    MessageAccepted,
    Room,
    RoomUser,
    RoomUsersPage,
)
from townsquare_client.operations import (
    Credentials,
    Pages,
    Request,
    nothing,
    operation,
    paged_operation,
    path,
    struct,
    without_none,
)

MAX_PAGE_ENTRIES = 200


class Rooms:
    """What both clients can do with rooms. Everything but reading needs a function key."""

    @operation
    def send_message(
        self,
        room: str,
        content: str,
        *,
        sender: str = "system",
        id: str = "",  # noqa: A002 - the name of the field
        reply_to: int | None = None,
        mentions: Sequence[str] = (),
        meta: dict[str, Any] | None = None,
    ) -> Request[MessageAccepted]:
        """Send a message; it is stored once per sender and id. Without an id there is a new one."""
        body = make_message(content, sender, id, reply_to, mentions, meta)
        return Request("POST", path("rooms", room, "message"), struct(MessageAccepted), body=body)

    @operation
    def reply(
        self,
        room: str,
        message: Message,
        content: str,
        *,
        sender: str = "system",
        id: str = "",  # noqa: A002
    ) -> Request[MessageAccepted]:
        """Reply to a message. Without an id it is derived: a message gets one reply of a sender."""
        body = make_message(content, sender, id or f"reply-{message.seq}", message.seq, (), None)
        return Request("POST", path("rooms", room, "message"), struct(MessageAccepted), body=body)

    @operation
    def edit_message(
        self,
        room: str,
        seq: int,
        content: str,
        *,
        revision: int,
        sender: str = "system",
        mentions: Sequence[str] = (),
    ) -> Request[ChangeAccepted]:
        """Edit a message of `sender` whose present revision is `revision`."""
        body = {
            "content": content,
            "revision": revision,
            "from": sender,
            "mentions": list(mentions),
            "id": new_id(),
        }
        return Request(
            "PATCH", path("rooms", room, "messages", seq), struct(ChangeAccepted), body=body
        )

    @operation
    def delete_message(self, room: str, seq: int) -> Request[None]:
        """Delete a message: its content is removed from the storage."""
        return Request(
            "DELETE", path("rooms", room, "messages", seq), nothing, already_done="message_deleted"
        )

    @operation
    def react(
        self, room: str, seq: int, emoji: str, *, on: bool = True, sender: str = "system"
    ) -> Request[ChangeAccepted]:
        """Add a reaction to a message, or remove it."""
        body = {"emoji": emoji, "on": on, "from": sender, "id": new_id()}
        return Request(
            "POST",
            path("rooms", room, "messages", seq, "reactions"),
            struct(ChangeAccepted),
            body=body,
        )

    @operation
    def history_page(
        self: Credentials,
        room: str,
        *,
        limit: int = 50,
        before: int | None = None,
        after: int | None = None,
    ) -> Request[HistoryPage]:
        """Get the newest messages of a room, those before a seq, or the entries after a seq."""
        return _history(self, room, limit, before=before, after=after)

    @paged_operation
    def history(
        self: Credentials, room: str, *, after: int = 0, page_size: int = MAX_PAGE_ENTRIES
    ) -> Pages[HistoryPage, Message]:
        """Iterate over the messages after a seq, oldest first."""
        position = after

        def following(page: HistoryPage) -> Request[HistoryPage] | None:
            nonlocal position
            # A page has all entries of its span, or fewer where the retention has removed some.
            position = min(max(position, page.first - 1) + page_size, page.head)
            return _history(self, room, page_size, after=position) if page.more else None

        first = _history(self, room, page_size, after=after)
        return Pages(first, lambda page: page.messages, following)

    @paged_operation
    def recent_history(
        self: Credentials,
        room: str,
        *,
        before: int | None = None,
        page_size: int = MAX_PAGE_ENTRIES,
    ) -> Pages[HistoryPage, Message]:
        """Iterate over the messages before a seq, or all, newest first."""

        def following(page: HistoryPage) -> Request[HistoryPage] | None:
            if not page.more or not page.messages:
                return None
            return _history(self, room, page_size, before=page.messages[0].seq)

        first = _history(self, room, page_size, before=before)
        return Pages(first, lambda page: page.messages[::-1], following)

    @paged_operation
    def users(self: Credentials, room: str) -> Pages[RoomUsersPage, RoomUser]:
        """Iterate over the users who are in a room now, by user id."""
        count = 0

        def ask(after: str) -> Request[RoomUsersPage]:
            query = {"after": after} if after else {}
            return Request("GET", _read_path(self, room, "users"), struct(RoomUsersPage), query)

        def following(page: RoomUsersPage) -> Request[RoomUsersPage] | None:
            nonlocal count
            count += len(page.users)
            return ask(page.users[-1].user_id) if page.users and count < page.count else None

        return Pages(ask(""), lambda page: page.users, following)

    @operation
    def put_room(
        self,
        room: str,
        *,
        private: bool = False,
        listed: bool = False,
        title: str = "",
        topic: str = "",
        owners: Sequence[str] | None = None,
    ) -> Request[Room]:
        """Create a room, or replace the settings of one; without `owners` the roles stay."""
        body = {
            "private": private,
            "listed": listed,
            "title": title,
            "topic": topic,
            **without_none(owners=None if owners is None else list(owners)),
        }
        return Request("PUT", path("rooms", room), struct(Room), body=body)

    @operation
    def add_member(self, room: str, user_id: str, *, role: str = "member") -> Request[None]:
        """Add a member to a private room, or give a user the role `owner` or `moderator`."""
        parts = path("rooms", room, "members", user_id)
        return Request("PUT", parts, nothing, body={"role": role})

    @operation
    def mute(self, room: str, user_id: str, *, minutes: int | None = None) -> Request[None]:
        """Mute a user in a room, until it is lifted or for some minutes."""
        parts = path("rooms", room, "members", user_id, "mute")
        return Request("PUT", parts, nothing, body=without_none(minutes=minutes))

    @operation
    def remove_mute(self, room: str, user_id: str) -> Request[None]:
        """Lift a mute."""
        return Request("DELETE", path("rooms", room, "members", user_id, "mute"), nothing)

    @operation
    def remove_member(self, room: str, user_id: str) -> Request[None]:
        """Remove a member from a private room, who leaves it at once."""
        return Request("DELETE", path("rooms", room, "members", user_id), nothing)


def make_message(
    content: str,
    sender: str,
    message_id: str,
    reply_to: int | None,
    mentions: Sequence[str],
    meta: dict[str, Any] | None,
) -> dict[str, Any]:
    """The body of a message. Its id makes it repeatable: the app stores an id once."""
    return {
        "content": content,
        "from": sender,
        "id": message_id or new_id(),
        "mentions": list(mentions),
        "meta": meta or {},
        **without_none(reply_to=reply_to),
    }


def new_id() -> str:
    return secrets.token_urlsafe(12)


def _read_path(client: Credentials, room: str, what: str) -> str:
    return path(*(["server"] if client.has_key else []), "rooms", room, what)


def _history(
    client: Credentials,
    room: str,
    limit: int,
    *,
    before: int | None = None,
    after: int | None = None,
) -> Request[HistoryPage]:
    query = without_none(limit=limit, before=before, after=after)
    return Request("GET", _read_path(client, room, "history"), struct(HistoryPage), query)
