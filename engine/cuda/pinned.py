"""Arrays of the host that a GPU writes directly: in pinned memory, which is lent and comes back."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.cuda.pool import Loan, Pool

SMALLEST = 1 << 16  # bytes; less is copied faster than a page of it is pinned
MOST = 1 << 30  # bytes lent at a time: what is pinned the system cannot move or swap


class PinnedMemory:
    """One piece of pinned memory, as NumPy reads it; the arrays over it keep it."""

    def __init__(self, arrays: "PinnedArrays", loan: Loan, shape: tuple[int, ...], dtype: np.dtype):
        self._arrays, self._loan = arrays, loan
        arrays.count(loan.nbytes)
        self.__array_interface__ = {
            "version": 3, "shape": shape, "typestr": dtype.str, "data": (loan.address, False),
        }  # fmt: skip

    def __del__(self) -> None:
        self._arrays.count(-self._loan.nbytes)


class PinnedArrays:
    """Makes arrays in pinned memory; the next of a size takes what the last one has left.

    Args:
        pinned: The memory resource of ``cuda.core``.
        make_current: Makes the device's context the thread's, which freeing needs: the last
            reference may go in any thread.
    """

    def __init__(self, pinned: Any, make_current: Callable[[], None]):
        self._pinned, self._make_current = pinned, make_current
        self._pool, self._lock = Pool(self._allocate), threading.RLock()
        self.lent_bytes = 0

    def _allocate(self, size: int) -> tuple[int, Any]:
        self._make_current()
        buffer = self._pinned.allocate(size)
        return int(buffer.handle), _Buffer(buffer, self._make_current)

    def count(self, size: int) -> None:
        """Count bytes that are lent, or with a minus, that came back."""
        with self._lock:
            self.lent_bytes += size

    def empty(self, shape: Sequence[int], dtype: Any) -> NDArray:
        """Make an uninitialised array.

        It is in ordinary memory where it is small, where much is lent, and where the system pins no
        more: a run that has been computed is not lost for that.
        """
        kind = np.dtype(dtype)
        made = np.empty(shape, kind)  # of which nothing is touched
        if made.nbytes < SMALLEST or self.lent_bytes + made.nbytes > MOST:
            return made
        for _ in range(2):
            try:
                loan = self._pool.take(made.nbytes)
            except Exception:  # cuda.core has errors of its own
                self._pool.release()  # what lies idle is pinned, too
            else:
                return np.asarray(PinnedMemory(self, loan, made.shape, kind))
        return made

    def start_keeping(self) -> None:
        """One more whose memory is kept for later when it comes back."""
        self._pool.start_keeping()

    def stop_keeping(self) -> None:
        """One less: see :meth:`Pool.stop_keeping`."""
        self._pool.stop_keeping()


class _Buffer:
    """What owns pinned memory, and frees it in whichever thread."""

    def __init__(self, buffer: Any, make_current: Callable[[], None]):
        self._buffer, self._make_current = buffer, make_current

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the driver may have gone before, at the very end
            self._make_current()
            self._buffer.close()


def is_pinned(array: NDArray) -> bool:
    """Return whether a copy from the device may go to an array directly."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, PinnedMemory)
