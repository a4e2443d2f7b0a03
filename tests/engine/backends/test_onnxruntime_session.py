"""Graphs from memory: what they may read, and how their errors read."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from geolrm import BundleError, GeoLRMError
from geolrm.engine.backends.onnxruntime_session import failure, open_session
from geolrm.engine.bundle.bundle import StoredSegment
from geolrm.engine.bundle.manifest import WEIGHTS_NAME

WEIGHTS = np.arange(8, dtype=np.float32)


def pointing(name, location, offset=0, length=16):
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs=(), initializers=()):
    graph = helper.make_graph(nodes, "g", inputs, [value("y", [4])], initializers)
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


def plain(location, **place):
    node = helper.make_node("Identity", ["w"], ["y"])
    return model([node], initializers=[pointing("w", location, **place)])


def constant(location):
    return model([helper.make_node("Constant", [], ["y"], value=pointing("w", location))])


def inner(location):
    """Inside the branches of an If, where given files are not looked for."""
    identity = helper.make_node("Identity", ["w"], ["z"])
    branch = helper.make_graph([identity], "b", [], [value("z", [4])], [pointing("w", location)])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    return model([node], [value("c", [1], TensorProto.BOOL)])


def opened(content, weights=WEIGHTS.tobytes()):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    stored = StoredSegment(Path("there/a.onnx"), content, weights)
    return open_session(stored, options, ["CPUExecutionProvider"])


def test_a_graph_points_into_the_weights_given():
    session = opened(plain(WEIGHTS_NAME, offset=8))
    np.testing.assert_array_equal(session.run(None, {})[0], WEIGHTS[2:6])


@pytest.mark.parametrize("make", [plain, constant, inner])
@pytest.mark.parametrize("location", ["secret", "./secret", "../here/secret", "absolute"])
@pytest.mark.parametrize("weights", [b"", WEIGHTS.tobytes()])
def test_no_part_of_a_graph_reads_another_file(tmp_path, monkeypatch, make, location, weights):
    here = tmp_path / "here"
    here.mkdir()
    (here / "secret").write_bytes(WEIGHTS.tobytes())
    monkeypatch.chdir(here)
    if location == "absolute":
        location = str(here / "secret")
    with pytest.raises(BundleError, match=r"^ONNX Runtime cannot load there/a\.onnx: [^\n]*$"):
        opened(make(location), weights)


@pytest.mark.parametrize(
    "place",
    [
        {"offset": 20},
        {"offset": 32},
        {"offset": -4},
        {"offset": 2**63 - 8},
        {"offset": 2**64 - 8},
        {"length": 8},
        {"length": 2**40},
        {"length": -16},
    ],
)
def test_no_graph_reads_beside_the_weights(place):
    with pytest.raises(BundleError, match=r"^ONNX Runtime cannot load there/a\.onnx: [^\n]*$"):
        opened(plain(WEIGHTS_NAME, **place))


def test_errors_are_one_sentence():
    error = failure("load", "a.onnx", RuntimeError("no\n such  operator"))
    assert type(error) is BundleError
    assert str(error) == "ONNX Runtime cannot load a.onnx: no such operator"
    long = str(failure("run", "a.onnx", RuntimeError("words " * 1000)))
    assert long.endswith("words ...") and len(long) < 450
    assert type(failure("run", "a", RuntimeError("x"), GeoLRMError)) is GeoLRMError


@pytest.mark.parametrize(
    "reason",
    [
        RuntimeError("std::bad_alloc"),
        RuntimeError("Failed to allocate memory for requested buffer of size 4398046511104"),
        RuntimeError("CUDA failure 2: out of memory"),
        MemoryError("of NumPy"),
    ],
)
def test_lack_of_memory_is_no_fault_of_the_bundle(reason):
    error = failure("run", "a.onnx", reason)
    assert not isinstance(error, BundleError)
    assert str(error) == (
        "out of memory: ONNX Runtime cannot run a.onnx; use fewer views or anchors, or a machine "
        f"with more memory ({reason})"
    )


STARVED = """
import resource, sys
from pathlib import Path
import numpy as np
from onnx import TensorProto, helper
from geolrm.engine.backends.cpu.onnxruntime_segment import OnnxRuntimeSegment
from geolrm.engine.bundle.bundle import StoredSegment

value = lambda name, kind, shape: helper.make_tensor_value_info(name, kind, shape)
nodes = [
    helper.make_node("Expand", ["x", "s"], ["z"]),
    helper.make_node("ReduceSum", ["z"], ["y"], keepdims=0),
]
inputs = [value("x", TensorProto.FLOAT, [1]), value("s", TensorProto.INT64, [1])]
graph = helper.make_graph(nodes, "g", inputs, [value("y", TensorProto.FLOAT, [])])
opset = [helper.make_opsetid("", 20)]
content = helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
segment = OnnxRuntimeSegment(StoredSegment(Path("a.onnx"), content), 1)
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
inputs = {"x": np.ones(1, np.float32), "s": np.array([1 << 33])}
try:
    segment.run(inputs, {"y": np.zeros((), np.float32)})
except Exception as error:
    print(type(error).__name__, error)
inputs["s"][:] = 5
out = np.zeros((), np.float32)
segment.run(inputs, {"y": out})
print(out)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory")
def test_a_run_that_lacks_memory_says_so_and_the_next_one_works():
    done = subprocess.run(
        [sys.executable, "-c", STARVED], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    told, result = done.stdout.splitlines()
    assert told.startswith("GeoLRMError out of memory: ONNX Runtime cannot run a.onnx; use fewer ")
    assert result == "5.0"


def test_tensors_that_a_graph_does_not_take_are_one_sentence():
    from geolrm.engine.backends.cpu.onnxruntime_segment import OnnxRuntimeSegment

    node = helper.make_node("Relu", ["x"], ["y"])
    content = model([node], [value("x", [4])])
    segment = OnnxRuntimeSegment(StoredSegment(Path("a.onnx"), content), 1)
    x = np.ones(4, np.float32)
    for inputs, outputs in (
        ({"x": x[:3]}, {"y": x.copy()}),
        ({"x": x.astype(np.int64)}, {"y": x.copy()}),
        ({"x": x}, {"y": x.reshape(2, 2)}),
        ({"x": x}, {"other": x.copy()}),
    ):
        with pytest.raises(BundleError, match=r"^ONNX Runtime cannot run a\.onnx: [^\n]*$"):
            segment.run(inputs, outputs)
