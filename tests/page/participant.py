"""A user in a conversation with the users of pages, over the API alone."""

import uuid
from typing import Any

from tests.logs import add_private_texts
from tests.users import Connection, User


class Participant:
    """A user with one connection, in the room of a test.

    A page costs more than one second of processor time. A test that judges one page needs no other
    page for what its user does.
    """

    def __init__(self, user: User, connection: Connection, room: str) -> None:
        self.user = user
        self.connection = connection
        self._room = room

    @property
    def id(self) -> str:
        return self.user.id

    async def sends(self, text: str, **more: Any) -> None:
        """Send a message to the room; returns when it is stored."""
        await self._send("message", {"room": self._room, "content": text, **more})

    async def sends_directly(self, to: str, text: str) -> None:
        """Send a direct message to a user id; returns when it is stored."""
        await self._send("direct", {"to": to, "content": text})

    async def sees(self, *texts: str) -> None:
        """The last messages of the room are these."""

        def contents() -> list[str]:
            return [content for _, content in sorted(set(self.connection.texts(self._room)))]

        await self.connection.wait_until(lambda: contents()[-len(texts) :] == list(texts), texts)

    async def has_message_count(self, count: int) -> None:
        """The room has this number of messages."""
        page = await self.user.get(f"/api/rooms/{self._room}/history")
        assert len(page["messages"]) == count

    async def _send(self, event: str, data: dict[str, Any]) -> None:
        add_private_texts(data["content"])
        ack = await self.connection.send(event, {**data, "id": uuid.uuid4().hex})
        assert ack["success"], ack
