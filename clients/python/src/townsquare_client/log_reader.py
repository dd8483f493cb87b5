"""The position of a listener in the log of a room."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec import Struct

from townsquare_client.models import Entry


class Position(Struct, frozen=True):
    """How far a listener has come: store it to continue there after a restart."""

    epoch: str
    seq: int
    timestamp: datetime | None = None


class RoomEvent(Struct, frozen=True):
    """An entry of the log, and the position after it."""

    entry: Entry
    position: Position


class LogReader:
    """What has been read of a log: entries are accepted in their order only.

    Without a position nothing has been read, and the log begins where it ends now.
    """

    def __init__(self, position: Position | None) -> None:
        self.is_started: bool = position is not None
        self.epoch: str = position.epoch if position else ""
        self.seq: int = position.seq if position else 0
        self.timestamp: datetime | None = position.timestamp if position else None
        self.head: int = self.seq
        self._early = ("", 0)

    @property
    def is_behind(self) -> bool:
        return self.seq < self.head

    def note_head(self, epoch: str, head: int) -> None:
        """Note how far the log of an epoch is; `start` may be called with an older position.

        An empty log has no epoch: it gets one with its first entry.
        """
        if not self.is_started:
            self._early = (epoch, head)
            return
        self.epoch = self.epoch or epoch
        self.head = max(self.head, head)

    def start(self, epoch: str, head: int) -> None:
        """Read what comes after a position of the log, which was its end a moment ago."""
        early_epoch, early_head = self._early
        self.is_started = True
        self.epoch, self.seq, self.head = epoch, head, head
        if early_epoch and epoch in {"", early_epoch}:
            self.note_head(early_epoch, early_head)

    def accept(self, entries: Iterable[Entry]) -> Iterator[RoomEvent]:
        """The entries that follow the position, up to the first gap."""
        for entry in sorted(entries, key=lambda one: one.seq):
            if entry.seq == self.seq + 1:
                yield self.advance(entry)

    def advance(self, entry: Entry) -> RoomEvent:
        """Move the position to an entry."""
        self.seq, self.timestamp = entry.seq, entry.timestamp
        return RoomEvent(entry, Position(self.epoch, self.seq, self.timestamp))
