"""A record of what happens in the emulator, for the traffic viewer."""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from time import time

import msgspec

from webpubsub_emulator.connection import Connection
from webpubsub_emulator.server_messages import frame_payload

MAX_ENTRIES = 5000
MAX_RECORDED_BYTES = 4 * 1024 * 1024
MAX_QUEUED_BYTES = 4 * 1024 * 1024
MAX_SHOWN_CHARACTERS = 2000
_RECONNECTION_TOKEN = re.compile(r'("reconnectionToken":")[^"]+')


Entry = tuple[int, bytes]
"""The id of an entry, and the entry as JSON."""


class Traffic:
    """The last entries, and the viewers that receive new ones.

    An entry is a JSON object with `id`, `time` (milliseconds since 1970), `kind` and what
    belongs to its kind. Frames are recorded only while a viewer is attached, since
    recording them takes time.
    """

    def __init__(self, *, enabled: bool = True, now: Callable[[], float] = time) -> None:
        self.enabled = enabled
        self.is_watched = False
        self._now = now
        self._next_id = 1
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self._bytes = 0
        self._subscribers: set[Subscriber] = set()

    def record(self, kind: str, **details: object) -> None:
        """Add an entry; details of None are left out."""
        if not self.enabled:
            return
        entry: dict[str, object] = {
            "id": self._next_id,
            "time": int(self._now() * 1000),
            "kind": kind,
        }
        entry |= {name: value for name, value in details.items() if value is not None}
        encoded = msgspec.json.encode(entry)
        self._store(self._next_id, encoded)
        self._next_id += 1
        for subscriber in self._subscribers:
            subscriber.put(self._next_id - 1, encoded)

    def entries_after(self, entry_id: int) -> list[Entry]:
        """Return the recorded entries with a larger id, oldest first.

        An id that was not given yet is one of an emulator that ran before: then all are new.
        """
        if entry_id >= self._next_id:
            entry_id = 0
        return [entry for entry in self._entries if entry[0] > entry_id]

    @contextlib.contextmanager
    def subscribe(self, after_id: int = 0) -> Iterator["Subscriber"]:
        """Receive the recorded entries after an id, then the new ones."""
        subscriber = Subscriber(self.entries_after(after_id))
        self._subscribers.add(subscriber)
        self.is_watched = True
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)
            self.is_watched = bool(self._subscribers)

    def close(self) -> None:
        """End all feeds."""
        for subscriber in self._subscribers:
            subscriber.close()

    def _store(self, number: int, encoded: bytes) -> None:
        if len(self._entries) == MAX_ENTRIES:
            self._bytes -= len(self._entries.popleft()[1])
        self._entries.append((number, encoded))
        self._bytes += len(encoded)
        while self._bytes > MAX_RECORDED_BYTES:
            self._bytes -= len(self._entries.popleft()[1])


class Subscriber:
    """The entries that one viewer has not received yet. A slow viewer loses the oldest."""

    def __init__(self, entries: list[Entry]) -> None:
        self.lost = 0
        self._queue = deque(entries)
        self._bytes = sum(len(encoded) for _, encoded in entries)
        self._is_closed = False
        self._changed = asyncio.Event()
        if entries:
            self._changed.set()

    def put(self, entry_id: int, encoded: bytes) -> None:
        self._queue.append((entry_id, encoded))
        self._bytes += len(encoded)
        while self._bytes > MAX_QUEUED_BYTES:
            self._bytes -= len(self._queue.popleft()[1])
            self.lost += 1
        self._changed.set()

    def close(self) -> None:
        self._is_closed = True
        self._changed.set()

    async def batches(self) -> AsyncIterator[list[Entry]]:
        """Yield all waiting entries at once, until the subscriber is closed."""
        while not self._is_closed:
            await self._changed.wait()
            self._changed.clear()
            batch, self._queue = list(self._queue), deque()
            self._bytes = 0
            if batch:
                yield batch


def record_frame(traffic: Traffic, connection: Connection, frame: bytes) -> None:
    """Record a complete frame that is sent to a client."""
    data = frame_payload(frame)
    is_text = frame[0] & 0x0F == 1
    _record_data(traffic, connection, "out", data, is_text=is_text)


def record_received(traffic: Traffic, connection: Connection, data: str | bytes) -> None:
    """Record a message of a client."""
    _record_data(traffic, connection, "in", data, is_text=isinstance(data, str))


def _record_data(
    traffic: Traffic, connection: Connection, direction: str, data: str | bytes, *, is_text: bool
) -> None:
    size = len(data.encode()) if isinstance(data, str) else len(data)
    traffic.record(
        "frame",
        direction=direction,
        hub=connection.hub,
        connection=connection.id,
        user=connection.user_id,
        bytes=size,
        binary=None if is_text else True,
        data=_RECONNECTION_TOKEN.sub(r"\1…", shorten(data)),
    )


def shorten(data: str | bytes) -> str:
    """Return the beginning of a message's data as text for an entry."""
    if isinstance(data, bytes):
        data = data[: MAX_SHOWN_CHARACTERS * 4].decode("utf-8", "replace")
    if len(data) <= MAX_SHOWN_CHARACTERS:
        return data
    return f"{data[:MAX_SHOWN_CHARACTERS]}…"
