import ctypes
from types import SimpleNamespace

from geolrm.engine.cuda.staging import SMALLEST, Staging


class Pinned:
    def __init__(self):
        self.made, self.closed = [], 0

    def allocate(self, size):
        memory = (ctypes.c_uint8 * size)()
        self.made.append(memory)
        close = lambda: setattr(self, "closed", self.closed + 1)  # noqa: E731
        return SimpleNamespace(size=size, handle=ctypes.addressof(memory), close=close)


def test_bytes_are_taken_from_the_front_and_again_after_a_reset():
    pinned, waits = Pinned(), []
    staging = Staging(pinned)
    places = [staging.take(size, lambda: waits.append(1)) for size in (10, 300)]
    addresses = [place.ctypes.data for place in places]
    assert [place.size for place in places] == [10, 300] and addresses[1] - addresses[0] == 256
    staging.reset()
    assert staging.take(5, lambda: waits.append(1)).ctypes.data == addresses[0]
    assert len(pinned.made) == 1 and not waits and len(pinned.made[0]) == SMALLEST


def test_a_larger_buffer_is_taken_after_a_wait():
    pinned, waits = Pinned(), []
    staging = Staging(pinned)
    staging.take(SMALLEST, lambda: waits.append(1))
    assert not waits
    staging.take(SMALLEST + 1, lambda: waits.append(1))
    staging.take(2 * SMALLEST, lambda: waits.append(1))
    assert len(pinned.made) == len(waits) + 1 == pinned.closed + 1 >= 2
