"""Device memory that is lent and comes back.

The same requests in the same order get the same addresses again, which is what lets a CUDA graph be
replayed.
"""

import bisect
import threading
from collections.abc import Callable
from typing import Any

from geolrm.engine.errors import GeoLRMError

SMALLEST = 256  # bytes, also the alignment
KEPT = 1 << 30  # bytes that may lie idle

Allocate = Callable[[int], tuple[int, Any]]  # bytes to an address and what owns it


class Loan:
    """One piece of memory; it goes back with its last reference.

    Everything runs on one stream, so the next borrower's work is queued behind the last one's. What
    another library has seen may be in use on a stream of its own, so it is ``shared`` for good.
    """

    __slots__ = ("_pool", "address", "nbytes", "owner", "shared")

    def __init__(self, pool: "Pool", address: int, nbytes: int, owner: Any):
        self._pool, self.address, self.nbytes, self.owner = pool, address, nbytes, owner
        self.shared = False

    def __del__(self) -> None:
        self._pool.give_back(self.address, self.nbytes, self.owner, shared=self.shared)


class Pool:
    """Lends memory in rounded sizes, the lowest idle address first.

    Args:
        allocate: Gets more memory.
        wait_for_others: Queues on our stream a wait for what others have queued; False where that
            cannot be done now. Shared memory is lent again only after it.
    """

    def __init__(self, allocate: Allocate, wait_for_others: Callable[[], bool] = lambda: True):
        self._allocate, self._wait_for_others = allocate, wait_for_others
        self._idle: dict[int, list[tuple[int, Any]]] = {}
        self._returned: list[tuple[int, int, Any]] = []  # shared: size, address, owner
        self._lock = threading.RLock()  # a collection may return a loan in the midst of another
        self.idle_bytes = 0
        self._keeps, self._keepers = True, 0

    def take(self, size: int) -> Loan:
        """At least ``size`` bytes, aligned to 256."""
        size = rounded(size)
        with self._lock:
            self._settle()
            idle = self._idle.get(size)
            if idle:
                address, owner = idle.pop(0)
                self.idle_bytes -= size
                return Loan(self, address, size, owner)
            if self.idle_bytes > KEPT:
                self.release()
            try:
                address, owner = self._allocate(size)
            except GeoLRMError:
                if not self.idle_bytes:
                    raise
                self.release()
                address, owner = self._allocate(size)
            return Loan(self, address, size, owner)

    def give_back(self, address: int, size: int, owner: Any, *, shared: bool = False) -> None:
        """Take back the memory of a loan that ends, in whichever thread that happens."""
        with self._lock:
            if shared:
                self._returned.append((size, address, owner))
                return
            if not self._keeps:
                return  # its owner frees it
            bisect.insort(self._idle.setdefault(size, []), (address, owner), key=lambda e: e[0])
            self.idle_bytes += size

    def _settle(self) -> None:
        """Take shared memory back, all of it with one wait."""
        returned = len(self._returned)
        if returned and self._wait_for_others():
            settled, self._returned = self._returned[:returned], self._returned[returned:]
            for size, address, owner in settled:
                self.give_back(address, size, owner)

    def start_keeping(self) -> None:
        """One more whose memory is kept for later when it comes back."""
        with self._lock:
            self._keeps, self._keepers = True, self._keepers + 1

    def stop_keeping(self) -> None:
        """One less: what lies idle is freed, and after the last one whatever comes back at once."""
        with self._lock:
            self._keepers -= 1
            self._keeps = self._keepers > 0
            self.release()

    def release(self) -> None:
        """Let go of what lies idle."""
        with self._lock:
            self._idle.clear()
            self.idle_bytes = 0


def rounded(size: int) -> int:
    """Up to one of eight steps between powers of two: at most an eighth is wasted."""
    step = max(SMALLEST, 1 << max(size.bit_length() - 4, 0))
    return max(-(-size // step) * step, SMALLEST)
