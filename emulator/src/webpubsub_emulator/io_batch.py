"""Reads or writes many sockets by one system call, on Linux.

`io_submit` of a non-blocking socket reads or writes at once; what would block has the result
-EAGAIN and does not stay pending. Python would enter the system and take its interpreter lock
again for each socket.

https://man7.org/linux/man-pages/man2/io_submit.2.html
"""

import ctypes
import platform
import sys
from array import array
from collections.abc import Sequence

# The numbers of io_setup, io_destroy, io_getevents and io_submit; libc has no functions for them.
SYSTEM_CALLS = {"x86_64": (206, 207, 208, 209), "aarch64": (0, 1, 4, 2)}
# IOCB_CMD_PREAD and IOCB_CMD_PWRITE of linux/aio_abi.h.
READ, WRITE = 0, 1

# struct iocb of linux/aio_abi.h in words of 64 bits (of 16 and 32 bits for command and file).
_REQUEST_WORDS = 8
_COMMAND, _FILE, _BUFFER, _SIZE = 8, 5, 3, 4
# struct io_event: the number of the request, its address, the result, and zero.
_EVENT_WORDS = 4
_RESULT = 2


class IoBatch:
    """Requests of one thread, all of one command and for at most `max_sockets` sockets.

    `is_available` is False where the system does not have or allow them.
    """

    def __init__(self, command: int, max_sockets: int) -> None:
        self.is_available = False
        calls = SYSTEM_CALLS.get(platform.machine())
        if sys.platform != "linux" or calls is None or sys.maxsize < 2**32:
            return
        self._setup, self._destroy, self._get_events, self._submit = calls
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        self._call.restype = ctypes.c_long
        self._context = ctypes.c_ulong(0)
        size = ctypes.c_long(max_sockets)
        if self._call(ctypes.c_long(self._setup), size, ctypes.byref(self._context)) != 0:
            return
        self._requests = bytearray(8 * _REQUEST_WORDS * max_sockets)
        self._events = bytearray(8 * _EVENT_WORDS * max_sockets)
        view = memoryview(self._requests)
        self._words, self._half_words = view.cast("Q"), view.cast("I")
        commands = view.cast("H")
        self._results = memoryview(self._events).cast("q")
        for number in range(max_sockets):
            self._words[number * _REQUEST_WORDS] = number
            commands[number * _REQUEST_WORDS * 4 + _COMMAND] = command
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._requests))
        addresses = range(start, start + len(self._requests), 8 * _REQUEST_WORDS)
        self._pointers = array("Q", addresses)
        self.is_available = True

    def set_buffers(self, addresses: Sequence[int], size: int) -> None:
        """Set the memory of the first requests: one address for each, all of one size in bytes."""
        end = len(addresses) * _REQUEST_WORDS
        sizes = array("Q", [size]) * len(addresses)
        self._words[_BUFFER:end:_REQUEST_WORDS] = memoryview(array("Q", addresses))
        self._words[_SIZE:end:_REQUEST_WORDS] = memoryview(sizes)

    def run(self, descriptors: Sequence[int]) -> list[int]:
        """Return how many bytes were read from or written to each socket; 0 after an error."""
        count = len(descriptors)
        end = count * _REQUEST_WORDS
        self._half_words[_FILE : 2 * end : 2 * _REQUEST_WORDS] = memoryview(array("I", descriptors))
        sizes = [0] * count
        pointers, _ = self._pointers.buffer_info()
        start = 0
        while start < count:
            submitted = self._call(
                ctypes.c_long(self._submit),
                self._context,
                ctypes.c_long(count - start),
                ctypes.c_void_p(pointers + 8 * start),
            )
            if submitted < 1:  # The first of them is not allowed.
                start += 1
                continue
            start += submitted
            self._collect(submitted, sizes)
        return sizes

    def _collect(self, count: int, sizes: list[int]) -> None:
        events = (ctypes.c_char * len(self._events)).from_buffer(self._events)
        number = ctypes.c_long(count)
        call = ctypes.c_long(self._get_events)
        found = self._call(call, self._context, number, number, events, None)
        if found != count:  # What was done is not known: to do it again would repeat it.
            raise OSError(ctypes.get_errno(), f"io_getevents returned {found} of {count} results")
        results = self._results[: found * _EVENT_WORDS].tolist()
        for index, result in zip(
            results[::_EVENT_WORDS], results[_RESULT::_EVENT_WORDS], strict=True
        ):
            sizes[index] = max(0, result)

    def close(self) -> None:
        if self.is_available:
            self._call(ctypes.c_long(self._destroy), self._context)
            self.is_available = False
