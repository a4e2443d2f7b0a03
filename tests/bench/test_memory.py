import numpy as np
import pytest

from geolrm.bench.memory import CLEAR_REFS, forget_peak, peak_bytes

SIZE = 64 << 20


@pytest.mark.skipif(not CLEAR_REFS.is_file(), reason="only Linux can forget a peak")
def test_a_peak_is_what_was_held_since_it_was_forgotten():
    def hold(size):
        return np.ones(size, np.uint8).sum()

    hold(2 * SIZE)
    start = forget_peak()
    hold(SIZE)
    grown = peak_bytes() - start
    assert 0.9 * SIZE < grown < 1.5 * SIZE


def test_elsewhere_the_system_is_asked(monkeypatch, tmp_path):
    from geolrm.bench import memory

    monkeypatch.setattr(memory, "STATUS", tmp_path / "status")
    monkeypatch.setattr(memory, "CLEAR_REFS", tmp_path / "no" / "clear_refs")
    assert forget_peak() == peak_bytes() > 1 << 20
