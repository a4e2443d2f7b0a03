"""Frames and their gradients on the CPU."""

import pytest

from geolrm.engine.rendering.cpu import check_threads
from geolrm.engine.system import cores


def test_threads_are_the_cores_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert check_threads(None) == 3 and check_threads(2) == 2
    monkeypatch.delattr(cores.os, "sched_getaffinity")
    monkeypatch.setattr(cores.os, "cpu_count", lambda: None)
    assert check_threads(None) == 1
    with pytest.raises(ValueError, match="threads is 0; it must be a whole number, 1 or more"):
        check_threads(0)
