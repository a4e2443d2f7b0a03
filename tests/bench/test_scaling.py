import json
import subprocess
import sys
import threading
import time

import pytest

from geolrm import GeoLRMError
from geolrm.bench import scaling
from geolrm.bench.scaling import ThreadClock, Work, table, thread_seconds


def test_the_model_is_amdahls_law_with_graphs_cut_in_two():
    work = Work.of(
        caller=5, graphs=1, kernels=2
    )  # of the other threads: as much again by the caller
    assert work == Work(serial=2, graphs=2, kernels=4) and work.total == 8
    assert [work.seconds(cores) for cores in (1, 2, 4, 32)] == [8, 5, 4, 3.125]


def test_a_caller_that_waited_has_no_serial_work_below_none():
    assert Work.of(caller=1, graphs=1, kernels=0.5) == Work(0, 2, 1)


def test_a_table_has_the_shares_of_each_stage_and_of_all():
    lines = table({"encode": Work(1, 3, 0), "refine": Work(1, 0, 3)})
    assert lines[2:] == [
        "| encode | 4.00 s | 25 % | 75 % | 0 % | 1.6 | 1.6 | 1.6 | 1.6 |",
        "| refine | 4.00 s | 25 % | 0 % | 75 % | 1.6 | 2.9 | 3.4 | 3.7 |",
        "| all | 8.00 s | 25 % | 38 % | 38 % | 1.6 | 2.1 | 2.2 | 2.2 |",
    ]


def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_a_clock_tells_threads_of_graphs_and_kernels_apart():
    """Threads that burn a known time stand for those of an engine."""
    go, done = threading.Barrier(2), threading.Event()

    def worker():
        go.wait()
        spin(0.2)
        done.set()
        go.wait()

    graph = threading.Thread(target=worker)
    others = set(thread_seconds())
    graph.start()
    clock = ThreadClock(threading.get_native_id(), others, {graph.native_id or 0})
    with clock("encode"):
        go.wait()
        spin(0.3)
        done.wait()
    go.wait()
    graph.join()
    work = clock.work["encode"]
    assert work.graphs == pytest.approx(0.4, abs=0.05) and work.kernels == 0
    assert work.serial == pytest.approx(0.1, abs=0.06)


def test_every_stage_of_the_default_is_measured():
    """In a process of its own: there the kernels' threads start within the measurement."""
    command = [sys.executable, "-m", "geolrm.bench.scaling", "--views", "1", "--repeats", "1"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    work, simulated = found["work"], found["simulated_seconds"]
    assert set(work) == {"prepare", "encode", "propose", "select", "reconstruct", "refine"}
    assert work["propose"]["graphs"] > 0 and work["refine"]["kernels"] > 0
    assert work["refine"]["graphs"] > 0  # of the learned steps
    assert work["prepare"]["graphs"] < 0.02  # a worker falls asleep
    assert list(simulated["propose"]) == ["1", "2", "8", "16", "32"]
    assert simulated["propose"]["1"] == pytest.approx(sum(work["propose"].values()))


def test_without_times_of_threads_it_says_where_to_measure(monkeypatch, tmp_path):
    monkeypatch.setattr(scaling, "TASKS", tmp_path / "none")
    with pytest.raises(GeoLRMError) as error:
        thread_seconds()
    assert str(error.value) == ("this system does not tell the time of a thread; measure on Linux")
