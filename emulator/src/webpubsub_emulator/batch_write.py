"""Writes one frame to many sockets by one system call, on Linux."""

import ctypes
from collections.abc import Sequence

from webpubsub_emulator.io_batch import WRITE, IoBatch

MAX_SOCKETS = 128


class BatchWriter:
    """Writes of one thread. `is_available` is False where the system does not allow them."""

    def __init__(self) -> None:
        self._batch = IoBatch(WRITE, MAX_SOCKETS)

    @property
    def is_available(self) -> bool:
        return self._batch.is_available

    def write(self, frame: bytes, descriptors: Sequence[int]) -> list[int]:
        """Return how many bytes each of at most MAX_SOCKETS sockets took; 0 after an error."""
        address = ctypes.cast(ctypes.c_char_p(frame), ctypes.c_void_p).value or 0
        self._batch.set_buffers([address] * len(descriptors), len(frame))
        return self._batch.run(descriptors)

    def close(self) -> None:
        self._batch.close()
