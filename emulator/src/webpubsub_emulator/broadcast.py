"""Sends frames to many clients, in several threads.

Nearly all of the time of a send is spent in the operating system, and Python's interpreter lock is
released meanwhile. The event loop is one of the threads and waits for the others, so no transport
is used by two threads at once.
"""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from webpubsub_emulator.batch_write import MAX_SOCKETS, BatchWriter
from webpubsub_emulator.connection import Deliveries, send_in_turn
from webpubsub_emulator.frame_writer import WebSocketFrameWriter

MIN_PARALLEL_FRAMES = 400
"""With fewer frames, starting the threads costs more than they save."""

MAX_THREADS = 4
_CHUNK_FRAMES = MAX_SOCKETS

_Chunk = tuple[bytes, Sequence[WebSocketFrameWriter]]
"""A frame and some of the sockets to which it goes."""

_Rest = tuple[WebSocketFrameWriter, bytes]
"""What remains of a frame for the transport of a socket: all of it, or its end."""


class ParallelSender:
    """Sends each frame to its writer; the threads start with the first large broadcast.

    `needs_turns` returns whether each frame has to go through its writer, which counts it, records
    it or applies a fault.
    """

    def __init__(self, needs_turns: Callable[[], bool], threads: int | None = None) -> None:
        self._needs_turns = needs_turns
        self._threads = min(MAX_THREADS, os.cpu_count() or 1) if threads is None else threads
        self._pool: ThreadPoolExecutor | None = None
        self._batches: list[BatchWriter] = []

    def send(self, deliveries: Deliveries) -> None:
        """Send the frames; return when each is sent or in its transport's buffer."""
        is_small = self._threads < 2 or sum(map(len, deliveries.values())) < MIN_PARALLEL_FRAMES
        if is_small or self._needs_turns():
            send_in_turn(deliveries)
            return
        # A server's writers are all of this class.
        frames = cast(Mapping[bytes, Sequence[WebSocketFrameWriter]], deliveries)
        chunks = [
            (frame, writers[start : start + _CHUNK_FRAMES])
            for frame, writers in frames.items()
            for start in range(0, len(writers), _CHUNK_FRAMES)
        ]
        for writer, rest in self._write_all(chunks):
            writer.send(rest)

    def _write_all(self, chunks: list[_Chunk]) -> list[_Rest]:
        """Write to all idle sockets."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads - 1, "broadcast")
            self._batches = [BatchWriter() for _ in range(self._threads)]
        first, *further = self._batches
        others = [self._pool.submit(_write_chunks, chunks, batch) for batch in further]
        rests = _write_chunks(chunks, first)
        for other in others:
            rests += other.result()
        return rests

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        for batch in self._batches:
            batch.close()


def _write_chunks(chunks: list[_Chunk], batch: BatchWriter) -> list[_Rest]:
    """Take chunks, which other threads do too, until there are none."""
    rests: list[_Rest] = []
    write = batch.write if batch.is_available else _write_each
    with contextlib.suppress(IndexError):
        while True:
            frame, writers = chunks.pop()
            _write_chunk(frame, writers, write, rests)
    return rests


def _write_chunk(
    frame: bytes,
    writers: Sequence[WebSocketFrameWriter],
    write: Callable[[bytes, Sequence[int]], Sequence[int]],
    rests: list[_Rest],
) -> None:
    """Write the frame to the idle sockets; add what they do not take to `rests`."""
    found = [writer.idle_descriptor() for writer in writers]
    descriptors = [descriptor for descriptor in found if descriptor is not None]
    if len(descriptors) < len(found):
        pairs = zip(writers, found, strict=True)
        rests += [(writer, frame) for writer, descriptor in pairs if descriptor is None]
        pairs = zip(writers, found, strict=True)
        writers = [writer for writer, descriptor in pairs if descriptor is not None]
    written = write(frame, descriptors)
    if written.count(len(frame)) < len(written):
        rests += [
            (writer, frame[size:])
            for writer, size in zip(writers, written, strict=True)
            if size < len(frame)
        ]


def _write_each(frame: bytes, descriptors: Sequence[int]) -> list[int]:
    """Return how many bytes each socket took."""
    return [_write(descriptor, frame) for descriptor in descriptors]


def _write(descriptor: int, frame: bytes) -> int:
    try:
        return os.write(descriptor, frame)
    except OSError:  # The transport handles a full buffer and a lost connection.
        return 0
