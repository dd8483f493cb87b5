"""Streams: numbered parts that a client publishes to a group until it ends the stream.

Part of the client protocol since 2026; `openGroupStream` of the JavaScript client uses it. A
stream belongs to its connection: it survives a recovered socket, but not a new connection.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Stream:
    """An open stream. `expected_id` is the sequence id that the next part must have."""

    id: str
    group: str
    no_echo: bool
    idle_timeout_seconds: float
    idle_at: float
    expected_id: int = 1

    def reset_idle_timeout(self, now: float) -> None:
        self.idle_at = now + self.idle_timeout_seconds

    def next_part(self) -> dict[str, object]:
        """The `stream` property of the next part as subscribers receive it."""
        return {"streamId": self.id, "streamSequenceId": self.expected_id}

    def last_part(self, error: dict[str, str] | None = None) -> dict[str, object]:
        """The `stream` property of the part that ends the stream and has no data."""
        part = self.next_part() | {"endOfStream": True}
        return part | {"error": error} if error else part


def build_user_error(message: str | None, code: str | None) -> dict[str, str]:
    """Return the error with which a publisher ended its stream."""
    error = {"name": "UserError", "message": message, "userErrorCode": code}
    return {name: value for name, value in error.items() if value is not None}
