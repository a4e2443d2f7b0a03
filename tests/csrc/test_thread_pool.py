"""The pool of threads; tests/csrc/threads_stress.cpp has it under ThreadSanitizer."""

import subprocess
import sys
import textwrap

import pytest

FORKED = """
    import os
    import numpy as np
    from geolrm import _C

    rng = np.random.default_rng(0)
    query, key, value = (rng.normal(size=(500, 48)).astype(np.float32) for _ in range(3))

    def attend(threads):
        out = np.empty_like(query)
        _C.self_attention(query, key, value, 2, out, threads=threads)
        return out

    expected = attend(1)
    assert (attend(4) == expected).all()
    child = os.fork()
    if child == 0:  # it has the pool's memory, and none of its threads
        os._exit(0 if (attend(4) == expected).all() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert (attend(8) == expected).all()
    print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads as Linux lists them")
def test_a_forked_child_has_a_pool_of_its_own():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORKED)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8
