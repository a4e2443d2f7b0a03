"""The parts of the GPU benchmark, with NVIDIA's packages on the driver double or without."""

import importlib.util
import json
import sys

import numpy as np
import pytest
import torch
from doubles import driver as driver_double
from samples.gpu_bundles import write_tiny_gpu_bundle
from samples.tiny_models import tiny_config, tiny_model

from geolrm.bench import gpu_raster
from geolrm.bench.gpu import counted, torch_peer
from geolrm.bench.gpu import engine as bench
from geolrm.bench.gpu.choices import Choices
from geolrm.bench.gpu.report import NotRun, Part, Recorder, run_part
from geolrm.engine.system import extras
from geolrm.engine.system.extras import KERNEL_PACKAGES
from geolrm.engine.system.present_gpu import PresentGpu
from geolrm.export import backend_choice

on_the_stub = [
    pytest.mark.skipif(
        importlib.util.find_spec("cuda") is None, reason="the packages of NVRTC are not installed"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="the double of the driver is for Linux"),
]

KERNELS = """
import json
from doubles import driver as driver_double
driver_double.use_kernels(emulated=False)
import numpy as np
from geolrm.bench import gpu_raster
from geolrm.bench.gpu import counted, kernels, splat_kernels, timing
from geolrm.bench.gpu.choices import Choices
from geolrm.bench.gpu.report import Part, Recorder
times = timing.milliseconds
def quick(call, wait, **options):
    return times(call, wait, repeats=1, warm_up=1, inner=options.get("inner", 1))
kernels.milliseconds = splat_kernels.milliseconds = quick
kernels.COPIED, kernels.SIDES, kernels.PIXELS = 1 << 20, [(11, 11), (7, 7)], 170
splat_kernels.measure.__defaults__ = (5000, 64, 20.0)
part = Part("Kernels", "running")
kernels.measure(Recorder(part), Choices(((2, 300), (1, 300)), 0.1))
seen = []
raster = gpu_raster.measure(
    (32,), counts=(1000,), real=False, repeats=2, warm_up=1, peer=False, seen=seen.append)
counted.main((2, 300), 1000, 32)
counted.check()
print(json.dumps({"rows": part.rows, "raster": raster, "seen": seen}))
"""

ENGINE = """
import json, sys
from pathlib import Path
from doubles import driver as driver_double
driver_double.use_kernels()
import onnxruntime
from doubles.device import HostSession
from geolrm.bench.gpu import engine as bench
from geolrm.bench.gpu.choices import Choices
from geolrm.bench.gpu.report import Part, Recorder
from geolrm.engine.system import extras
from geolrm.engine.backends.cuda import segment_loaders, segments

class HostSegment:
    capturable = False
    def __init__(self, stored, device):
        self.session = HostSession(stored.content, weights=stored.weights)
    def bind(self, inputs, outputs, scratch, *, lasting=False):
        return segments.Binding(
            lambda: self.session.run(dict(inputs), dict(outputs)), lambda: False)

class Loader:
    def load(self, stored, device):
        return HostSegment(stored, device)
    __call__ = load
    def keep(self):
        pass

segment_loaders.loader = lambda *_: Loader()
extras.installed_version = lambda name: "13.0"
onnxruntime.get_available_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
bench.WARM_UP, bench.REPEATS = 0, 2
prepared, make_views = [], bench.make_views
def counting(size, count):
    prepared.append(count)
    return make_views(size, count)
bench.make_views = counting
part, file = Part("Engine", "running"), Path(BUNDLE).parent / "part.json"
bench.time_bundle(
    Path(BUNDLE), "cuda", Recorder(part, file), Choices(((3, 16), (2, 8), (3, 8)), 9.0))
written = json.loads(file.read_text())
assert written["rows"] == part.rows, written
print(json.dumps({"prepared": prepared, "rows": part.rows, "notes": part.notes}))
"""


class TestOnTheDriverDouble:
    pytestmark = on_the_stub

    def test_every_kernel_has_times_and_a_floor(self):
        printed = driver_double.run(KERNELS).splitlines()
        assert printed[-2] == counted.ENDED
        made = json.loads(printed[-1])
        rows = made["rows"]
        assert rows[0]["kernel"] == "copy" and rows[0]["GB/s"] > 0
        names = [row["kernel"] for row in rows]
        assert names[1:4] == [
            "deformable attention float16, Morton order",  # the target's, first
            "deformable attention float16",
            "deformable attention float32",
        ]
        settings = [row["setting"] for row in rows if row["kernel"].startswith("deformable")]
        assert settings == ["V=2 N=300"] * 3 + ["V=1 N=300"] * 3
        attended = [row for row in rows if row["kernel"] == "self-attention float16"]
        assert [row["setting"] for row in attended] == ["N=300"] * 2
        for row in attended:
            rate = 4 * 300**2 * 16 * 48 / 1e9 / max(row["p50 ms"], 1e-9)
            assert row["TFLOP/s"] == pytest.approx(rate, rel=1e-6)
        assert {"select anchors", "grid sample", "RoPE indices", "clear_tiles", "project_splats",
                "the sort, 8 launches", "bin_splats", "blend_tiles",
                "decide_pixels"} <= set(names)  # fmt: skip
        for row in rows[1:]:
            assert row["p50 ms"] >= 0, row
            assert row["kernel"] == "a whole frame" or row["floor ms"] > 0, row
        half, full = (row["floor ms"] for row in rows[2:4])
        assert half < full
        raster = made["raster"]
        assert (raster["ours"], raster["gsplat"]) == ("measured", "not run: it was not asked for")
        (row,) = raster["rows"]
        assert made["seen"] == [row]
        assert row["graph"]["p50_ms"] > 0 and row["splats"] == 1000

    def test_the_engine_is_timed_and_its_memory_is_seen(self, tmp_path):
        bundle = write_tiny_gpu_bundle(tmp_path / "bundle")
        code = f"BUNDLE = {str(bundle)!r}\n{ENGINE}"
        log = tmp_path / "log"
        made = json.loads(driver_double.run(code, log=log).splitlines()[-1])
        rows = made["rows"]
        # What lies idle is given back before each reading of a peak.
        assert log.read_text().splitlines().count("trim 0") == len(rows)
        assert [(row["V"], row["N"]) for row in rows] == [(3, 16), (2, 8), (3, 8)]
        assert made["prepared"] == [3, 2]  # views once for all settings of their number
        assert made["notes"][-1] == "no table of kernels: torch sees no CUDA device"
        for row in rows:
            assert 0 < row["p10 ms"] <= row["p50 ms"] <= row["p99 ms"]
            stages = ["encode", "propose", "select", "reconstruct"]
            host, gpu = ([row[f"{stage}{kind} ms"] for stage in stages] for kind in ("", " GPU"))
            assert min(host) > 0 and min(gpu) > 0 and "prepare ms" not in row
            # Here the double runs what is queued at once, so that both clocks see the same.
            assert all(ours <= theirs for ours, theirs in zip(host, gpu, strict=True))
            assert sum(gpu) <= row["total GPU ms"] * 1.01
            assert 1e-5 < row["peak GB"] < 1.0


def test_no_parameter_of_the_model_is_zero():
    """Else the export leaves additions out, and the figures are better than a model's."""
    model = bench.make_model(tiny_config())
    zeros = [name for name, parameter in model.named_parameters() if not parameter.any()]
    assert zeros == []
    biases = [name for name, _ in model.named_parameters() if name.endswith("value_proj.bias")]
    assert biases and all(0.005 < model.get_parameter(name).std() < 0.05 for name in biases)
    again = bench.make_model(tiny_config())
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter, again.get_parameter(name), name)


@pytest.mark.parametrize(
    ("backend", "packages", "status"),
    [
        ("cuda", (), "cuda-core and cuda-bindings and nvidia-cuda-nvrtc and onnxruntime-gpu "
         "missing; pip install 'geolrm[gpu]'"),
        ("tensorrt", KERNEL_PACKAGES, "tensorrt missing; pip install 'geolrm[gpu,tensorrt]'"),
        ("tensorrt-rtx", (*KERNEL_PACKAGES, "tensorrt-rtx"), "this GPU is sm_90, for which "
         "TensorRT for RTX does not build (75, 80, 86, 89, 120, 121); use --backend cuda"),
    ],
)  # fmt: skip
def test_a_backend_that_is_not_here_is_listed_as_not_run(monkeypatch, backend, packages, status):
    def version(name):
        return "13.0" if name in packages else None

    gpu = PresentGpu("H200", "sm_90", 132, 10**11)
    monkeypatch.setattr(extras, "installed_version", version)
    monkeypatch.setattr(backend_choice, "present_gpu", lambda: gpu)
    part = run_part("e", lambda rec: bench.measure_engine(backend, rec, Choices()), "measured")
    assert part.status == f"not run: {status}"


def test_the_peer_computes_what_the_model_does():
    """On the CPU under autocast to float16: the same anchors, and the model's own Gaussians."""
    model = bench.make_model(tiny_config())
    made = torch_peer.torch_run(model, torch_peer.stages_of(model), 2, 40, "cpu")()
    _, views = bench.make_views(model.config.image_size, 2)
    arrays = (views.images, views.c2w, views.intrinsics, views.projection, views.foreground)
    images, c2w, intrinsics, projection, foreground = map(torch.from_numpy, arrays)
    side = model.config.proposal.grid_size
    voxels = np.stack(np.unravel_index(np.arange(40), (side,) * 3), 1)  # every voxel is occupied
    anchors = torch.from_numpy((voxels / (side - 1) - 0.5).astype(np.float32))
    with torch.inference_mode():
        proposal, features = model.encode(images, c2w, intrinsics)
        volume = model.propose(proposal, projection, foreground).volume
        expected = model.reconstruct(features, projection, anchors, foreground, volume)
    for name, got in zip(expected._fields, made, strict=True):
        np.testing.assert_allclose(got.float(), getattr(expected, name), atol=0.03, err_msg=name)


RECORDER = Recorder(Part("torch", "running"))


def test_an_old_torch_and_one_without_cuda_are_listed_as_not_run(monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("this torch has a GPU")
    with pytest.raises(NotRun, match=r"^torch \S+ sees no CUDA device$"):
        torch_peer.measure_torch(False, RECORDER, Choices(), tiny_model(tiny_config()))
    monkeypatch.setattr(torch, "__version__", "2.10.1+cu128")
    with pytest.raises(NotRun, match=r"^torch is 2\.10\.1\+cu128; it must be 2\.11 or newer$"):
        torch_peer.measure_torch(True, RECORDER, Choices(), tiny_model(tiny_config()))


def test_a_peer_that_breaks_leaves_our_figures(monkeypatch):
    from geolrm.engine.cuda import device

    def frame():
        raise RuntimeError("nvcc\nwas not found")

    monkeypatch.setattr(device, "open_device", lambda index: None)
    monkeypatch.setattr(gpu_raster, "_gsplat", lambda: (lambda scene, size: frame, "measured"))
    monkeypatch.setattr(gpu_raster, "_wait_for_torch", lambda: None)
    monkeypatch.setattr(gpu_raster, "_ours", lambda *_: {"graph": {"p50_ms": 1.0}})
    result = gpu_raster.measure((8, 16), counts=(10,), real=False, repeats=1, warm_up=0)
    assert result["gsplat"] == "failed: gsplat: RuntimeError: nvcc was not found"
    assert [row["px"] for row in result["rows"]] == [8, 16]
