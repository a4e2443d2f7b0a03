import time

from geolrm.bench import machine


def test_calls_are_timed_one_by_one(monkeypatch):
    now = iter([0.0, 3.0, 10.0, 12.0, 20.0, 25.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    calls = []
    assert machine.best_seconds(lambda: calls.append(1), repeats=3) == 2.0
    assert len(calls) == 4  # one to warm up


def test_the_machine_is_described(monkeypatch):
    monkeypatch.setattr(machine, "matmul_gflops", lambda: 12.345)
    told = machine.describe()
    assert told["numpy_sgemm_gflops"] == 12.3 and told["cpu"] and told["cores"] > 0
    assert {"isa", "python", "geolrm", "numpy"} <= told.keys()


def test_a_product_has_a_speed():
    assert machine.matmul_gflops(64) > 0
