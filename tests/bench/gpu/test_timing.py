import subprocess
import time

import pytest

from geolrm.bench.gpu import timing


def test_percentiles_are_columns():
    found = timing.percentiles(range(101))
    assert found == {"p10 ms": 10.0, "p50 ms": 50.0, "p90 ms": 90.0, "p99 ms": 99.0}


def test_calls_are_timed_from_idle_to_idle(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def call():
        clock[0] += 0.002

    def wait():
        clock[0] += 0.004

    found = timing.milliseconds(call, wait, repeats=5, inner=2, warm_up=1)
    assert found["p50 ms"] == pytest.approx((2 * 2 + 4) / 2)


def test_no_more_than_its_time_but_three(monkeypatch):
    clock, calls = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def call():
        calls.append(1)
        clock[0] += 100

    timing.milliseconds(call, lambda: None, repeats=50, warm_up=0, seconds=1)
    assert len(calls) == 3


def test_the_peak_of_a_block_is_seen():
    readings = [5]
    with timing.peak_memory(lambda: readings[-1]) as peak:
        readings.append(9)
    assert peak.bytes == 9


@pytest.mark.parametrize(
    ("tool", "run", "told"),
    [
        (None, None, "unknown: no nvidia-smi"),
        ("smi", lambda *_, **__: subprocess.CompletedProcess([], 0, "1980 MHz\n"), "1980 MHz"),
        ("smi", lambda *_, **__: subprocess.CompletedProcess([], 0, ""), "unknown"),
    ],
)
def test_clocks_are_what_nvidia_smi_tells(monkeypatch, tool, run, told):
    monkeypatch.setattr(timing.shutil, "which", lambda _: tool)
    monkeypatch.setattr(timing.subprocess, "run", run)
    assert timing.clocks() == told
