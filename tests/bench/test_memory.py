import subprocess
import sys

import pytest

from geolrm.bench.memory import CLEAR_REFS, forget_peak, peak_bytes

SIZE = 64 << 20
# In a process of its own: what a long one gives back meanwhile would hide a part of what is held.
HOLD = f"""
import numpy as np
from geolrm.bench.memory import forget_peak, peak_bytes

def hold(size):
    return np.ones(size, np.uint8).sum()

hold(2 * {SIZE})
start = forget_peak()
hold({SIZE})
print(peak_bytes() - start)
"""


@pytest.mark.skipif(not CLEAR_REFS.is_file(), reason="only Linux can forget a peak")
def test_a_peak_is_what_was_held_since_it_was_forgotten():
    done = subprocess.run([sys.executable, "-c", HOLD], capture_output=True, text=True, check=True)
    assert 0.9 * SIZE < int(done.stdout) < 1.5 * SIZE


def test_elsewhere_the_system_is_asked(monkeypatch, tmp_path):
    from geolrm.bench import memory

    monkeypatch.setattr(memory, "STATUS", tmp_path / "status")
    monkeypatch.setattr(memory, "CLEAR_REFS", tmp_path / "no" / "clear_refs")
    assert forget_peak() == peak_bytes() > 1 << 20
