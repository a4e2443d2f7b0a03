import time

from geolrm.engine.system.stopwatch import Stopwatch


def test_seconds_of_a_stage_are_summed(monkeypatch):
    now = iter([0.0, 1.0, 3.0, 5.0, 6.5, 10.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    watch = Stopwatch()
    for _ in range(2):
        with watch("encode"):
            pass
    assert watch.timings() == {"encode": 3.5, "total": 10.0}
