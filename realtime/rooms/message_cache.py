"""The messages that this instance has written or read last, as they are stored.

Another instance may have changed a message since. A commit that changes it writes its row with
If-Match, and each reaction writes the row of its message too, so the etag detects both.
"""

import sys
from collections.abc import Mapping

import msgspec
from cachetools import LRUCache

from realtime.rooms.log_rows import StoredMessage

MAX_CACHE_BYTES = 16 * 1024 * 1024
"""About 20,000 short messages, or 1,200 of the largest. The smallest instance has 512 MB."""

MAX_REACTIONS_BYTES = 1024 * 1024
"""About 4,000 reactions. Those of a message with more are read when they are needed."""

MESSAGE_OVERHEAD_BYTES = 1_000
"""The key, the objects and the place in the cache, beside the encoded message."""

REACTION_OVERHEAD_BYTES = 150
"""The pair and its place in the set, beside the two strings."""

UserReaction = tuple[str, str]
"""A user id and an emoji."""


class _Cached(msgspec.Struct, frozen=True):
    """An encoded message: its size is known exactly, and nobody can change it.

    `reactions` are all reactions to it, or None if they are not known.
    """

    encoded: bytes
    etag: str
    reactions: set[UserReaction] | None
    reactions_bytes: int = 0

    @property
    def size(self) -> int:
        return MESSAGE_OVERHEAD_BYTES + len(self.encoded) + self.reactions_bytes


class MessageCache:
    """The messages that were used last, up to a number of bytes, by log and seq."""

    def __init__(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._messages: LRUCache[tuple[str, int], _Cached] = LRUCache(
            max_bytes, getsizeof=lambda one: one.size
        )

    def get(self, name: str, seq: int) -> StoredMessage | None:
        cached = self._messages.get((name, seq))
        return msgspec.json.decode(cached.encoded, type=StoredMessage) if cached else None

    def find_reactions(self, name: str, message: StoredMessage) -> set[UserReaction] | None:
        """All reactions to a message in this state, or None if they are not known."""
        cached = self._messages.get((name, message.entry.seq))
        return cached.reactions if cached and cached.etag == message.etag else None

    def add(
        self, name: str, message: StoredMessage, reactions: set[UserReaction] | None = None
    ) -> None:
        """Cache a message that was read. Reactions that are known of the same state stay."""
        if not message.entry.reactions:
            reactions = set()
        elif reactions is None:
            reactions = self.find_reactions(name, message)
        self._put(name, message, reactions, sum(map(_size_of, reactions or ())))

    def update(
        self,
        name: str,
        message: StoredMessage,
        changes: Mapping[UserReaction, bool],
        previous_etag: str,
    ) -> None:
        """Cache a message that was written; `changes` are the reactions that were added (True) or
        removed since the state with the previous etag."""
        cached = self._messages.get((name, message.entry.seq))
        if not message.entry.reactions:
            self._put(name, message, set(), 0)
        elif cached is None or cached.reactions is None or cached.etag != previous_etag:
            self._put(name, message, None, 0)
        else:
            reactions, size = cached.reactions, cached.reactions_bytes
            for reaction, is_added in changes.items():
                if is_added and reaction not in reactions:
                    reactions.add(reaction)
                    size += _size_of(reaction)
                elif not is_added and reaction in reactions:
                    reactions.remove(reaction)
                    size -= _size_of(reaction)
            self._put(name, message, reactions, size)

    def _put(
        self, name: str, message: StoredMessage, reactions: set[UserReaction] | None, size: int
    ) -> None:
        if size > MAX_REACTIONS_BYTES:
            reactions, size = None, 0
        # A copy, because msgspec returns bytes with more memory than they use.
        encoded = bytes(memoryview(msgspec.json.encode(message)))
        self._messages[name, message.entry.seq] = _Cached(encoded, message.etag, reactions, size)


def _size_of(reaction: UserReaction) -> int:
    return REACTION_OVERHEAD_BYTES + sum(map(sys.getsizeof, reaction))
