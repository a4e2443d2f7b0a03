"""Arrays over pinned memory: lent while anything refers to them, then taken again."""

import gc
import threading

import numpy as np
from doubles.device import PinnedDouble

from geolrm.engine.cuda import pinned
from geolrm.engine.cuda.pinned import SMALLEST, PinnedArrays, is_pinned

VALUES = SMALLEST // 4


def make():
    log = []
    arrays = PinnedArrays(PinnedDouble(log), lambda: log.append("current"))
    return arrays, log


def test_memory_is_pinned_once_for_arrays_one_after_another():
    arrays, log = make()
    for _ in range(3):
        made = arrays.empty((VALUES, 1), "float32")
        made[:] = 3.0
        assert is_pinned(made) and made.shape == (VALUES, 1) and made.dtype == np.float32
        assert arrays.lent_bytes == SMALLEST
        del made
        assert arrays.lent_bytes == 0
    assert log == ["current", ("pin", SMALLEST)]


def test_a_part_keeps_the_memory_and_nobody_else_gets_it():
    arrays, log = make()
    part = arrays.empty((VALUES,), "float32").reshape(2, -1)[1].view(np.int32)
    part[:] = 7
    gc.collect()
    other = arrays.empty((VALUES,), "float32")
    other[:] = 1.0
    assert is_pinned(part) and (part == 7).all()
    assert log.count(("pin", SMALLEST)) == 2


def test_what_is_small_and_what_is_too_much_is_ordinary_memory(monkeypatch):
    arrays, log = make()
    assert not is_pinned(arrays.empty((VALUES - 1,), "float32")) and not log
    monkeypatch.setattr(pinned, "MOST", 2 * SMALLEST)
    held = [arrays.empty((VALUES,), "float32") for _ in range(3)]
    assert [is_pinned(array) for array in held] == [True, True, False]
    del held[0]
    assert is_pinned(arrays.empty((VALUES,), "float32"))


def test_the_last_reference_may_go_in_any_thread_once_nothing_is_kept():
    arrays, log = make()
    arrays.start_keeping()
    held = [arrays.empty((VALUES,), "float32")]
    arrays.stop_keeping()
    log.clear()
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert log == ["current"] and arrays.lent_bytes == 0


def test_where_the_system_pins_no_more_what_lies_idle_goes_first_and_then_it_is_ordinary_memory():
    arrays, _ = make()
    arrays.empty((VALUES,), "float32")  # comes back at once
    real, refusals = arrays._pinned.allocate, []

    def refuse(size):
        if arrays._pool.idle_bytes or len(refusals) > 1:
            refusals.append(size)
            raise RuntimeError("CUDA_ERROR_OUT_OF_MEMORY")
        return real(size)

    arrays._pinned.allocate = refuse
    assert is_pinned(arrays.empty((2 * VALUES,), "float32"))  # once the idle piece was let go
    assert refusals == [2 * SMALLEST] and arrays.lent_bytes == 0
    refusals.extend([0, 0])
    made = arrays.empty((3 * VALUES,), "float32")
    assert not is_pinned(made) and made.shape == (3 * VALUES,)
    assert arrays.lent_bytes == 0
