import time

from geolrm.fleet.serving.jobs import Made
from geolrm.fleet.serving.metrics import FORGOTTEN, Metrics


def made(seconds, anchors, engine="0", memory=None):
    return Made(b"", "ply", seconds, 0, anchors, 4, engine=engine, memory=memory)


def test_figures_are_those_of_one_application():
    metrics, other = Metrics(), Metrics()
    metrics.ran(made({"encode": 0.2, "total": 0.5}, 400))
    metrics.ran(made({"encode": 0.4, "total": 0.6}, 5))
    assert [metrics.opened_live(), metrics.opened_live()] == [1, 2]
    metrics.closed_live()
    lines = metrics.text().decode().splitlines()
    for line in (
        'geolrm_stage_seconds_count{stage="encode"} 2.0',
        'geolrm_stage_seconds_sum{stage="total"} 1.1',
        'geolrm_anchors_bucket{le="300.0"} 1.0',
        "geolrm_live_captures 1.0",
    ):
        assert line in lines
    assert "encode" not in other.text().decode()


def test_memory_is_that_of_each_engine_until_it_is_forgotten(monkeypatch):
    metrics = Metrics()
    for engine, memory in (("a", 1000), ("b", 2000), ("a", 3000), ("c", None)):
        metrics.ran(made({}, 1, engine, memory))
    lines = [line for line in metrics.text().decode().splitlines() if "engine=" in line]
    assert lines == [
        'geolrm_engine_resident_memory_bytes{engine="a"} 3000.0',
        'geolrm_engine_resident_memory_bytes{engine="b"} 2000.0',
    ]
    later = time.monotonic() + FORGOTTEN + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    metrics.ran(made({}, 1, "b", 4000))
    lines = [line for line in metrics.text().decode().splitlines() if "engine=" in line]
    assert lines == ['geolrm_engine_resident_memory_bytes{engine="b"} 4000.0']
