"""Pinned memory between the host's arrays and the device."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1 << 20  # bytes of the first buffer


class Staging:
    """Pinned memory that copies pass through; used up from the front until the stream is idle."""

    def __init__(self, pinned: Any):
        self._pinned, self._buffer, self._used = pinned, None, 0

    def take(self, size: int, wait: Callable[[], None]) -> NDArray[np.uint8]:
        """Pinned bytes that nothing else uses until :meth:`reset`."""
        if self._buffer is None or self._used + size > self._buffer.size:
            room = max(SMALLEST, 2 * (self._used + size))
            if self._buffer is not None:
                wait()  # copies through the old buffer may be under way; only while it grows
                self._buffer.close()
            self._buffer, self._used = self._pinned.allocate(room), 0
        start, self._used = self._used, self._used + -(-size // 256) * 256
        return _bytes_at(int(self._buffer.handle) + start, size)

    def reset(self) -> None:
        """Take the buffer again from its start; all copies must be done."""
        self._used = 0


def _bytes_at(address: int, size: int) -> NDArray[np.uint8]:
    raw: Any = (ctypes.c_uint8 * size).from_address(address)
    return np.frombuffer(raw, np.uint8)
