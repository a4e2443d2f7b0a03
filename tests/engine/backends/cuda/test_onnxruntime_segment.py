"""What ONNX Runtime's CUDA provider is told, recorded in its place."""

import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from doubles.device import DeviceDouble

from geolrm.engine.backends.cuda import onnxruntime_segment
from geolrm.engine.backends.cuda.onnxruntime_segment import (
    OnnxRuntimeLoader,
    OnnxRuntimeSegment,
    arena_bytes,
)
from geolrm.engine.bundle.bundle import StoredSegment
from geolrm.engine.errors import GeoLRMError

GRAPH = StoredSegment(Path("a.onnx"), b"graph", b"weights")


class Binding:
    def __init__(self):
        self.inputs, self.outputs = {}, {}

    def bind_input(self, name, *place):
        self.inputs[name] = place

    def bind_output(self, name, *place):
        self.outputs[name] = place


class Session:
    loaded = ("CUDAExecutionProvider", "CPUExecutionProvider")
    made = None

    failure = None

    def __init__(self, content, options, providers):
        self.content, self.options, self.providers, self.runs = content, options, providers, []
        Session.made = self

    def get_providers(self):
        return list(self.loaded)

    def get_inputs(self):
        class Value:
            name = "x"

        return [Value]

    def io_binding(self):
        return Binding()

    def run_with_iobinding(self, binding, options):
        if self.failure is not None:
            raise self.failure
        self.runs.append((binding, options))


@pytest.fixture
def device(monkeypatch):
    monkeypatch.setattr(ort, "InferenceSession", Session)
    return DeviceDouble(2)


def test_it_runs_on_our_stream_in_our_buffers(device):
    segment = OnnxRuntimeSegment(GRAPH, device)
    name, options = Session.made.providers[0]
    assert name == "CUDAExecutionProvider"
    assert options["device_id"] == "2" and options["use_tf32"] == "0"
    assert options["user_compute_stream"] == str(device.stream)
    x, y = device.upload(np.zeros((3, 2), np.float16)), device.empty((4,), "bfloat16")
    bound = segment.bind({"x": x, "unread": x}, {"y": y}, lambda size: None)
    assert not segment.capturable and not bound.can_capture()
    assert Session.made.runs == []
    bound.enqueue()
    ((binding, run_options),) = Session.made.runs
    assert binding.inputs == {"x": ("cuda", 2, np.dtype("float16"), (3, 2), x.address)}
    assert binding.outputs == {"y": ("cuda", 2, 16, (4,), y.address)}
    key = "disable_synchronize_execution_providers"
    assert run_options.get_run_config_entry(key) == "1"


def test_no_plan_is_made_anew_for_each_number_of_anchors(device):
    OnnxRuntimeSegment(GRAPH, device)
    options = Session.made.providers[0][1]
    assert options["sdpa_kernel"] == "3"  # flash or memory-efficient attention, not cuDNN's
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"


@pytest.fixture
def arenas(monkeypatch):
    """What is registered in place of arenas, where all libraries are there."""
    made = []
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # what a test sets is undone
    monkeypatch.setattr(
        ort, "create_and_register_allocator_v2", lambda *given: made.append(given), raising=False
    )
    monkeypatch.setattr(onnxruntime_segment, "CUDNN", None)  # which dlopen finds
    onnxruntime_segment.share_arena.cache_clear()
    yield made
    onnxruntime_segment.share_arena.cache_clear()


def test_all_segments_share_one_arena_a_gpu(device, arenas):
    loader, other = OnnxRuntimeLoader(), DeviceDouble(3)
    for name, where in (("a.onnx", device), ("b.onnx", device), ("c.onnx", other)):
        loader.load(StoredSegment(Path(name), b"graph"), where)
        entry = Session.made.options.get_session_config_entry
        assert entry("session.use_env_allocators") == "1"
        assert entry("session.use_device_allocator_for_initializers") == "1"
        assert not Session.made.options.enable_mem_pattern  # it would hold the scratch twice
    assert [given[2] for given in arenas] == [{"device_id": "2"}, {"device_id": "3"}]
    for provider, memory, _, arena in arenas:
        assert (provider, memory.name) == ("CUDAExecutionProvider", "Cuda")
        assert arena.initial_chunk_size_bytes == onnxruntime_segment.ARENA_START


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, ":4096:2:16:8"),
        (":16:8", ":16:8"),
        (":32768:1:16:2", ":32768:1:16:2"),
        (":0:0", ":0:0"),
    ],
)
def test_cublas_keeps_little_for_a_session_and_as_much_as_the_user_says(
    device, arenas, monkeypatch, given, kept
):
    if given is None:
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    else:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", given)
    before = onnxruntime_segment.handle_bytes()  # planned by a process that runs nothing
    OnnxRuntimeLoader().load(GRAPH, device)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == kept
    sizes = {":4096:2:16:8": 8 * 1024 + 128, ":16:8": 128, ":32768:1:16:2": 32800, ":0:0": 0}
    assert before == onnxruntime_segment.handle_bytes() == 1024 * sizes[kept]


NEEDS = r"needs CUDA 13 and cuDNN 9 \({}\); run: pip install 'onnxruntime-gpu\[cuda,cudnn\]'"


def test_a_missing_cudnn_is_found_before_the_first_run(device, arenas, monkeypatch):
    monkeypatch.setattr(onnxruntime_segment, "CUDNN", "libcudnn_absent.so.9")
    reason = NEEDS.format("libcudnn_absent.so.9: cannot open shared object file.*")
    with pytest.raises(GeoLRMError, match=reason):
        OnnxRuntimeLoader().load(GRAPH, device)
    assert arenas == []


def test_a_missing_library_of_the_provider_is_named(device, arenas, monkeypatch, capsys):
    def fail(*given):
        raise RuntimeError("Failed to load library libonnxruntime_providers_cuda.so\nlibcublas.so")

    def preload(directory):
        print("Failed to load libcublas.so.13")

    monkeypatch.setattr(ort, "create_and_register_allocator_v2", fail)
    monkeypatch.setattr(ort, "preload_dlls", preload, raising=False)
    reason = NEEDS.format("Failed to load library libonnxruntime_providers_cuda.so libcublas.so")
    with pytest.raises(GeoLRMError, match=reason):
        OnnxRuntimeLoader().load(GRAPH, device)
    assert capsys.readouterr().out == ""


def test_the_systems_own_reason_is_told(device, arenas, tmp_path, monkeypatch):
    """ONNX Runtime says no more than that its provider is not available."""

    def fail(*given):
        raise RuntimeError("CUDA Provider not available")

    library = tmp_path / "capi" / "libonnxruntime_providers_cuda.so"
    library.parent.mkdir()
    library.write_bytes(b"no library")
    monkeypatch.setattr(ort, "create_and_register_allocator_v2", fail)
    monkeypatch.setattr(ort, "__file__", str(tmp_path / "__init__.py"))
    reason = NEEDS.format(f"CUDA Provider not available; {library}: (file too short|invalid ELF.*)")
    with pytest.raises(GeoLRMError, match=reason):
        OnnxRuntimeLoader().load(GRAPH, device)


def test_an_error_of_a_run_is_one_sentence(device):
    bound = OnnxRuntimeSegment(GRAPH, device).bind({}, {}, lambda size: None)
    Session.made.failure = RuntimeError("Non-zero status code\nwhile running Conv")
    with pytest.raises(GeoLRMError) as caught:
        bound.enqueue()
    assert str(caught.value) == (
        "ONNX Runtime cannot run a.onnx: Non-zero status code while running Conv"
    )
    Session.made.failure = RuntimeError("no cuDNN: " + '{"nodes": []} ' * 1000)
    with pytest.raises(GeoLRMError, match=r"no cuDNN: .* \.\.\.$") as caught:
        bound.enqueue()
    assert len(str(caught.value)) < 500


def test_a_provider_that_does_not_load_is_not_replaced_by_the_cpu(device, monkeypatch):
    monkeypatch.setattr(Session, "loaded", ("CPUExecutionProvider",))
    with pytest.raises(GeoLRMError, match=r"does not load its CUDA provider, .* run: pip install"):
        OnnxRuntimeSegment(GRAPH, device)


def test_the_arena_doubles():
    """As ONNX Runtime 1.31.1's own CUDA provider did without a GPU, in MB needed and held."""
    measured = {71: 134.2, 140: 402.7, 279: 402.7, 542: 939.5, 1081: 2013.3, 1354: 2013.3}
    for needed, held in measured.items():
        assert arena_bytes(needed * 10**6) == pytest.approx(held * 1e6, abs=1e5)
