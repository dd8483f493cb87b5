"""The cached heads of logs, and the highest position that this instance has read of each log."""

from cachetools import LRUCache
from msgspec import Struct

from realtime.rooms.log_rows import Head

MAX_CACHED_HEADS = 10_000


class Seen(Struct, frozen=True):
    """What was known of a log when a read began."""

    head: Head | None
    epoch: str
    seq: int

    def is_ahead_of(self, head: Head) -> bool:
        """Whether a head that was read later is older, so that the table was restored."""
        return self.epoch == head.epoch and self.seq > head.seq


class HeadCache:
    """A head is dropped when it may be outdated; the position stays, it only shows a restore."""

    def __init__(self) -> None:
        self._heads: LRUCache[str, Head] = LRUCache(MAX_CACHED_HEADS)
        self._positions: LRUCache[str, tuple[str, int]] = LRUCache(MAX_CACHED_HEADS)

    def get(self, name: str) -> Head | None:
        head: Head | None = self._heads.get(name)
        return head

    def see(self, name: str) -> Seen:
        epoch, seq = self._positions.get(name, ("", 0))
        return Seen(self._heads.get(name), epoch, seq)

    def put(self, name: str, head: Head) -> None:
        self._heads[name] = head
        self._positions[name] = (head.epoch, head.seq)

    def drop(self, name: str) -> None:
        self._heads.pop(name, None)
