import os
import sys
import threading

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from geolrm import Engine
from geolrm.engine.backends.cpu import graph_threads
from geolrm.engine.backends.cpu.graph_threads import PARTS, GraphThreads
from geolrm.engine.backends.cpu.onnxruntime_segment import OnnxRuntimeSegment

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no thread is bound")


def logarithms() -> bytes:
    """A graph that takes the logarithm of each value."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Log", ["x"], ["y"])], "g", [x], [y])
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def session(threads):
    graph_threads = GraphThreads(threads)
    options = ort.SessionOptions()
    graph_threads.configure(options)
    with graph_threads.opening():
        opened = ort.InferenceSession(logarithms(), options, providers=["CPUExecutionProvider"])
    return graph_threads, opened


def tasks():
    return {int(task) for task in os.listdir("/proc/self/task")}


def comm():
    with open(f"/proc/self/task/{threading.get_native_id()}/comm") as file:
        return file.read()


@pytest.mark.parametrize("threads", [1, 2, 64])
def test_operations_are_cut_in_two_for_any_number_of_threads_and_nobody_spins(threads):
    _, opened = session(threads)
    options = opened.get_session_options()
    assert options.intra_op_num_threads == PARTS == 2
    assert options.inter_op_num_threads == 1 and options.use_per_session_threads
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_every_session_of_an_engine_is_opened_so(bundles, monkeypatch):
    seen = []
    real = ort.InferenceSession

    def opened(*args, **kwargs):
        seen.append(real(*args, **kwargs))
        return seen[-1]

    monkeypatch.setattr(ort, "InferenceSession", opened)
    monkeypatch.setattr("geolrm.engine.system.cores.usable_cores", lambda: 64)
    for threads in (1, 3, 64):
        Engine(bundles["token"], threads=threads)
    assert len(seen) > 9 and {s.get_session_options().intra_op_num_threads for s in seen} == {2}


def test_parts_change_bits_where_their_number_follows_threads():
    """Why it does not: ONNX Runtime's own logarithm ends each part in another form."""
    values = np.random.default_rng(0).uniform(0.01, 9, 30_007).astype(np.float32)

    def of(parts):
        options = ort.SessionOptions()
        options.intra_op_num_threads = parts
        opened = ort.InferenceSession(logarithms(), options, providers=["CPUExecutionProvider"])
        return opened.run(None, {"x": values})[0]

    others = [of(parts) for parts in (1, 3, 5, 8, 16)]
    expected = session(2)[1].run(None, {"x": values})[0]
    assert any((other != expected).any() for other in others)
    for threads in (1, 3, 64):
        np.testing.assert_array_equal(session(threads)[1].run(None, {"x": values})[0], expected)


@on_linux
def test_with_one_thread_the_sessions_own_takes_turns_on_the_callers_core():
    name, before, allowed = comm(), tasks(), os.sched_getaffinity(0)
    threads, opened = session(1)
    assert comm() == name
    (worker,) = threads._workers
    assert worker in tasks() - before
    with threads.running():
        (core,) = os.sched_getaffinity(0)
        assert os.sched_getaffinity(worker) == {core} and core in allowed
        opened.run(None, {"x": np.ones(100_000, np.float32)})
    assert os.sched_getaffinity(0) == allowed


@on_linux
def test_the_caller_is_free_again_after_an_error():
    allowed = os.sched_getaffinity(0)
    threads, opened = session(1)
    with pytest.raises(ValueError, match="y"), threads.running():
        opened.run(None, {"y": np.ones(1, np.float32)})
    assert os.sched_getaffinity(0) == allowed


@on_linux
def test_with_more_threads_nobody_is_bound():
    threads, _ = session(2)
    allowed = os.sched_getaffinity(0)
    with threads.running():
        assert os.sched_getaffinity(0) == allowed
    assert threads._workers == []


@on_linux
def test_a_core_that_is_gone_is_no_error(monkeypatch):
    threads, _ = session(1)
    allowed = os.sched_getaffinity(0)

    class System:
        sched_getcpu = staticmethod(lambda: 1023)

    monkeypatch.setattr(graph_threads, "_system", System)
    with threads.running():
        assert os.sched_getaffinity(0) == allowed


def test_without_a_list_of_threads_nobody_is_bound(monkeypatch, tmp_path):
    monkeypatch.setattr(graph_threads, "_TASKS", tmp_path)
    threads, opened = session(1)
    with threads.running():
        (logs,) = opened.run(None, {"x": np.ones(3, np.float32)})
    assert threads._workers == [] and (np.asarray(logs) == 0).all()


@on_linux
def test_more_threads_than_cores_are_not_started(bundles, shoe_views, monkeypatch):
    sessions = []
    real = OnnxRuntimeSegment.__init__

    def opened(self, *args):
        sessions.append(self)
        real(self, *args)

    monkeypatch.setattr(OnnxRuntimeSegment, "__init__", opened)
    before, cores = tasks(), len(os.sched_getaffinity(0))
    engine = Engine(bundles["token"], threads=64)
    engine.run(*shoe_views)
    assert engine.threads <= cores
    assert len(tasks() - before) <= len(sessions) + cores - 1
