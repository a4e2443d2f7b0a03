"""What ONNX Runtime's CUDA provider is told, recorded in its place."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from fake_device import FakeDevice

from geolrm.engine.cuda.onnxruntime_segment import OnnxRuntimeSegment
from geolrm.engine.errors import GeoLRMError


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

    def __init__(self, path, options, providers):
        self.path, self.providers, self.runs = path, providers, []
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
        self.runs.append((binding, options))


@pytest.fixture
def device(monkeypatch):
    monkeypatch.setattr(ort, "InferenceSession", Session)
    return FakeDevice(2)


def test_it_runs_on_our_stream_in_our_buffers(device):
    segment = OnnxRuntimeSegment(Path("a.onnx"), device)
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


def test_a_provider_that_does_not_load_is_not_replaced_by_the_cpu(device, monkeypatch):
    monkeypatch.setattr(Session, "loaded", ("CPUExecutionProvider",))
    with pytest.raises(GeoLRMError, match=r"does not load its CUDA provider, .* run: pip install"):
        OnnxRuntimeSegment(Path("a.onnx"), device)
