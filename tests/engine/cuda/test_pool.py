import itertools
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geolrm.engine.cuda import pool as pools
from geolrm.engine.cuda.pool import Pool, rounded
from geolrm.engine.errors import GeoLRMError


class Owner:
    """What frees memory when it goes."""


class Memory:
    """Addresses in ascending order, or another, up to a limit."""

    def __init__(self, limit=1 << 40, step=1):
        self.limit, self.sizes, self.next = limit, [], itertools.count(1 << 20, step)

    def __call__(self, size):
        if sum(self.sizes) + size > self.limit:
            raise GeoLRMError("full")
        self.sizes.append(size)
        owner = Owner()
        weakref.finalize(owner, self.sizes.remove, size)
        return 1024 * next(self.next), owner


@given(st.integers(0, 1 << 40))
def test_sizes_are_rounded_by_an_eighth_at_most(size):
    held = rounded(size)
    assert held >= size and held % 256 == 0 and rounded(held) == held
    assert held <= max(size * 9 / 8, size + 256)


def test_the_oldest_idle_piece_is_lent_first():
    pool = Pool(Memory())
    loans = [pool.take(300) for _ in range(3)]
    addresses = [loan.address for loan in loans]
    del loans[2], loans[0]
    assert pool.idle_bytes == 2 * 512
    again = [pool.take(500).address for _ in range(1)]
    assert again == [addresses[0]]


@pytest.mark.parametrize("step", [1, -1])
def test_the_same_requests_get_the_same_addresses(step):
    """Also after one that needed more, wherever the system had that memory."""
    memory = Memory(step=step)
    pool = Pool(memory)

    def run(*sizes):
        loans = [pool.take(size) for size in sizes]
        return [loan.address for loan in loans]

    sizes = (100, 5000, 100)
    first = run(*sizes)
    assert run(*sizes) == first and len(memory.sizes) == 3
    assert run(*sizes, 100, 100)[:3] == first and len(memory.sizes) == 5
    assert run(*sizes) == first


def test_shared_memory_is_lent_again_after_a_wait_alone():
    ready = []
    pool = Pool(Memory(), lambda: bool(ready))
    loan = pool.take(100)
    loan.shared, address = True, loan.address
    del loan
    assert pool.idle_bytes == 0
    other = pool.take(100)
    assert other.address != address
    ready.append(True)
    assert pool.take(100).address == address


def test_a_full_device_gets_back_what_lies_idle():
    memory = Memory(limit=1024)
    pool = Pool(memory)
    pool.take(1024)
    assert pool.idle_bytes == 1024
    assert pool.take(512).nbytes == 512 and pool.idle_bytes == 0
    with pytest.raises(GeoLRMError, match="full"):
        pool.take(2048)


def test_memory_is_kept_as_long_as_somebody_keeps_it(monkeypatch):
    pool = Pool(Memory())
    pool.start_keeping()
    pool.start_keeping()
    pool.take(100)
    assert pool.idle_bytes == 256
    pool.stop_keeping()
    assert pool.idle_bytes == 0
    pool.take(100)
    assert pool.idle_bytes == 256
    pool.stop_keeping()
    pool.take(100)
    assert pool.idle_bytes == 0
    pool.start_keeping()
    monkeypatch.setattr(pools, "KEPT", 100)
    pool.take(100)
    pool.take(5000)  # more than may lie idle does: it is let go of
    assert pool.idle_bytes == rounded(5000)
