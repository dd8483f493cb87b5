"""Reads a little from each of many sockets, on Linux by one system call."""

import contextlib
import ctypes
import os
from collections.abc import Sequence

from webpubsub_emulator.io_batch import READ, IoBatch


class BatchReader:
    """Reads up to `size` bytes from each of at most `max_sockets` non-blocking sockets.

    Each socket has a part of one buffer, so that no memory is allocated for a read.
    """

    def __init__(self, size: int, max_sockets: int) -> None:
        self._size = size
        self._buffer = bytearray(size * max_sockets)
        self._view = memoryview(self._buffer)
        self._batch = IoBatch(READ, max_sockets)
        if self._batch.is_available:
            start = ctypes.addressof(ctypes.c_char.from_buffer(self._buffer))
            self._batch.set_buffers(range(start, start + len(self._buffer), size), size)

    @property
    def is_batched(self) -> bool:
        """Whether one system call reads all sockets."""
        return self._batch.is_available

    def read(self, descriptors: Sequence[int]) -> list[bytes]:
        """Return what each socket had; b"" at its end, after an error and if it had nothing."""
        if not self.is_batched:
            return [self._read(descriptor) for descriptor in descriptors]
        sizes = self._batch.run(descriptors)
        stride = self._size
        data = bytes(self._view[: len(sizes) * stride])
        starts = range(0, len(data), stride)
        return [data[start : start + size] for start, size in zip(starts, sizes, strict=True)]

    def _read(self, descriptor: int) -> bytes:
        with contextlib.suppress(OSError):
            return os.read(descriptor, self._size)
        return b""

    def close(self) -> None:
        self._batch.close()
