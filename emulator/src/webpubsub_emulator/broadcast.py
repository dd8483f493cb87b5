"""Sends frames to many clients, in several threads.

Nearly all of the time of a send is spent in the operating system, and Python's interpreter lock is
released meanwhile. The event loop is one of the threads and waits for the others, so no transport
is used by two threads at once.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from webpubsub_emulator.connection import Delivery, send_in_turn
from webpubsub_emulator.frame_writer import WebSocketFrameWriter

MIN_PARALLEL_FRAMES = 400
"""With fewer frames, starting the threads costs more than they save."""

MAX_THREADS = 4
_CHUNK_FRAMES = 128

_Target = tuple[int, bytes, WebSocketFrameWriter]
"""The file descriptor of an idle socket, the frame, and the writer of the socket."""

_Rest = tuple[WebSocketFrameWriter, bytes]
"""What the buffer of a socket did not take of a frame."""


class ParallelSender:
    """Sends each frame to its writer; the threads start with the first large broadcast.

    `needs_turns` returns whether each frame has to go through its writer, which counts it, records
    it or applies a fault.
    """

    def __init__(self, needs_turns: Callable[[], bool], threads: int | None = None) -> None:
        self._needs_turns = needs_turns
        self._threads = min(MAX_THREADS, os.cpu_count() or 1) if threads is None else threads
        self._pool: ThreadPoolExecutor | None = None

    def send(self, deliveries: Sequence[Delivery]) -> None:
        """Send the frames; return when each is sent or in its transport's buffer."""
        is_small = self._threads < 2 or len(deliveries) < MIN_PARALLEL_FRAMES
        if is_small or self._needs_turns():
            send_in_turn(deliveries)
            return
        targets: list[_Target] = []
        # A server's writers are all of this class.
        for writer, frame in cast(Sequence[tuple[WebSocketFrameWriter, bytes]], deliveries):
            descriptor = writer.idle_descriptor()
            if descriptor is None:
                writer.send(frame)
            else:
                targets.append((descriptor, frame, writer))
        for writer, rest in self._write_all(targets):
            writer.send_rest(rest)

    def _write_all(self, targets: list[_Target]) -> list[_Rest]:
        """Write to all sockets."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads - 1, "broadcast")
        chunks = [
            targets[start : start + _CHUNK_FRAMES]
            for start in range(0, len(targets), _CHUNK_FRAMES)
        ]
        others = [self._pool.submit(_write_chunks, chunks) for _ in range(self._threads - 1)]
        rests = _write_chunks(chunks)
        for other in others:
            rests += other.result()
        return rests

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()


def _write_chunks(chunks: list[list[_Target]]) -> list[_Rest]:
    """Take chunks, which other threads do too, until there are none."""
    rests: list[_Rest] = []
    write = os.write
    with contextlib.suppress(IndexError):
        while True:
            for descriptor, frame, writer in chunks.pop():
                try:
                    written = write(descriptor, frame)
                except OSError:  # The transport handles a full buffer and a lost connection.
                    written = 0
                if written < len(frame):
                    rests.append((writer, frame[written:]))
    return rests
