import pytest

from geolrm.bench import gpu_raster


def test_says_why_nothing_was_measured():
    """Where a GPU is at hand, the GPU tests run the rest."""
    result = gpu_raster.measure(sizes=(), repeats=1, warm_up=0)
    if result["ours"] == "measured":
        pytest.skip("a GPU is at hand")
    assert result["ours"].startswith("not run: ") and result["gsplat"].startswith("not run: ")
    assert result["rows"] == []


def test_times_are_percentiles_of_whole_frames():
    waits = []
    times = gpu_raster._time(lambda: None, lambda: waits.append(1), repeats=7, warm_up=2)
    assert len(waits) == 14
    assert list(times) == ["p10_ms", "p50_ms", "p90_ms", "p99_ms"]
    assert 0 <= times["p10_ms"] <= times["p50_ms"] <= times["p99_ms"]
