"""Users: sessions, direct messages, presence, bans, and what administrators have done."""

from collections.abc import Sequence
from typing import Any

from townsquare_client.models import Act, Connection, MessageAccepted, Session, Subscription
from townsquare_client.operations import (
    Credentials,
    Pages,
    Request,
    member,
    nothing,
    operation,
    paged_operation,
    path,
    struct,
)
from townsquare_client.rooms import make_message

MAX_PAGE_ACTS = 100


class Users:
    """What both clients can do with users."""

    @operation
    def mint_session(
        self, user_id: str, name: str, *, operator: bool = False, hours: int = 24
    ) -> Request[Session]:
        """Mint a session for a user for whom this server vouches (`IDENTITY=guest`)."""
        body = {"name": name, "operator": operator, "hours": hours}
        return Request("POST", path("users", user_id, "session"), struct(Session), body=body)

    @operation
    def negotiate(self) -> Request[Connection]:
        """Get the URL of a WebSocket connection for the user of the client's session."""
        return Request("POST", path("negotiate"), struct(Connection), body={})

    @operation
    def send_direct(
        self,
        user_id: str,
        content: str,
        *,
        sender: str = "system",
        id: str = "",  # noqa: A002 - the name of the field
        reply_to: int | None = None,
        mentions: Sequence[str] = (),
        meta: dict[str, Any] | None = None,
    ) -> Request[MessageAccepted]:
        """Send a direct message to a user; it is stored once per sender and id."""
        body = make_message(content, sender, id, reply_to, mentions, meta)
        return Request(
            "POST", path("users", user_id, "message"), struct(MessageAccepted), body=body
        )

    @operation
    def is_online(self: Credentials, user_id: str) -> Request[bool]:
        """Get whether a user has a connection."""
        server = ["server"] if self.has_key else []
        return Request("GET", path(*server, "users", user_id, "online"), member("online", bool))

    @operation
    def is_connected(self: Credentials, connection_id: str) -> Request[bool]:
        """Get whether a WebSocket connection exists."""
        parts = path(*_operator(self), "connections", connection_id)
        return Request("GET", parts, member("connected", bool))

    @operation
    def subscriptions(self: Credentials, user_id: str) -> Request[list[Subscription]]:
        """List the streams to which a user has subscribed."""
        parts = path(*_operator(self), "users", user_id, "subscriptions")
        return Request("GET", parts, member("subscriptions", list[Subscription]))

    @operation
    def ban(self: Credentials, user_id: str) -> Request[None]:
        """Ban a user, whose connections are closed at once."""
        return Request("PUT", path(*_operator(self), "users", user_id, "ban"), nothing)

    @operation
    def remove_ban(self: Credentials, user_id: str) -> Request[None]:
        """Remove a ban."""
        return Request("DELETE", path(*_operator(self), "users", user_id, "ban"), nothing)

    @paged_operation
    def audit(self: Credentials, *, page_size: int = MAX_PAGE_ACTS) -> Pages[list[Act], Act]:
        """Iterate over what operators and key holders have done, newest first."""
        server = ["server"] if self.has_key else []

        def ask(after: str) -> Request[list[Act]]:
            query: dict[str, str | int] = {"limit": page_size, "after": after}
            return Request("GET", path(*server, "audit"), member("acts", list[Act]), query)

        def following(page: list[Act]) -> Request[list[Act]] | None:
            return ask(page[-1].key) if len(page) == page_size else None

        return Pages(ask(""), lambda page: page, following)


def _operator(client: Credentials) -> list[str]:
    """The routes of operators' sessions; those of servers need a key."""
    return [] if client.has_key else ["operator"]
