"""Device memory that is lent and comes back.

The same requests in the same order get the same addresses again, which is what lets a CUDA graph be
replayed.
"""

import bisect
import itertools
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from geolrm.engine.errors import GeoLRMError

SMALLEST = 256  # bytes, also the alignment
KEPT = 1 << 30  # bytes that may lie idle

Allocate = Callable[[int], tuple[int, Any]]  # bytes to an address and what owns it


class Piece(NamedTuple):
    """Memory as it was allocated; the oldest sorts first."""

    age: int  # how many were allocated before it
    address: int
    nbytes: int
    owner: Any


class Loan:
    """One piece of memory; it goes back with its last reference.

    Everything runs on one stream, so the next borrower's work is queued behind the last one's. What
    another library has seen may be in use on a stream of its own, so it is ``shared`` for good.
    """

    __slots__ = ("_piece", "_pool", "address", "nbytes", "shared")

    def __init__(self, pool: "Pool", piece: Piece):
        self._pool, self._piece = pool, piece
        self.address, self.nbytes, self.shared = piece.address, piece.nbytes, False

    def __del__(self) -> None:
        self._pool.give_back(self._piece, shared=self.shared)


class Pool:
    """Lends memory in rounded sizes, the oldest idle piece first.

    By age, not by address: a piece that one run needed more takes no other's place in the next.

    Args:
        allocate: Gets more memory.
        wait_for_others: Queues on our stream a wait for what others have queued; False where that
            cannot be done now. Shared memory is lent again only after it.
    """

    def __init__(self, allocate: Allocate, wait_for_others: Callable[[], bool] = lambda: True):
        self._allocate, self._wait_for_others = allocate, wait_for_others
        self._idle: dict[int, list[Piece]] = {}
        self._returned: list[Piece] = []  # shared ones
        self._ages = itertools.count()
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
                self.idle_bytes -= size
                return Loan(self, idle.pop(0))
            if self.idle_bytes > KEPT:
                self.release()
            try:
                address, owner = self._allocate(size)
            except GeoLRMError:
                if not self.idle_bytes:
                    raise
                self.release()
                address, owner = self._allocate(size)
            return Loan(self, Piece(next(self._ages), address, size, owner))

    def give_back(self, piece: Piece, *, shared: bool = False) -> None:
        """Take back the memory of a loan that ends, in whichever thread that happens."""
        with self._lock:
            if shared:
                self._returned.append(piece)
                return
            if not self._keeps:
                return  # its owner frees it
            bisect.insort(self._idle.setdefault(piece.nbytes, []), piece, key=lambda idle: idle.age)
            self.idle_bytes += piece.nbytes

    def _settle(self) -> None:
        """Take shared memory back, all of it with one wait."""
        returned = len(self._returned)
        if returned and self._wait_for_others():
            settled, self._returned = self._returned[:returned], self._returned[returned:]
            for piece in settled:
                self.give_back(piece)

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
