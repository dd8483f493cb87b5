"""Streams: numbered pieces that one client publishes to a group until it says the end.

The newest part of the client protocol (2026), used by `openGroupStream` of the JavaScript client.
A stream belongs to its connection: it outlives a lost socket, not a new connection.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Stream:
    """One open stream. `expected` is the number that its next piece must carry."""

    id: str
    group: str
    no_echo: bool
    idle_seconds: float
    idle_at: float
    expected: int = 1

    def touch(self, now: float) -> None:
        self.idle_at = now + self.idle_seconds

    def part(self) -> dict[str, object]:
        """The mark on the next piece for those who listen."""
        return {"streamId": self.id, "streamSequenceId": self.expected}

    def end(self, error: dict[str, str] | None = None) -> dict[str, object]:
        """The mark on the last piece, which carries no data."""
        mark = self.part() | {"endOfStream": True}
        return mark | {"error": error} if error else mark


def user_error(message: str | None, code: str | None) -> dict[str, str]:
    """The publisher ended its stream with an error of its own."""
    error = {"name": "UserError", "message": message, "userErrorCode": code}
    return {name: value for name, value in error.items() if value is not None}
