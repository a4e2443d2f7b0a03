"""What each combination of options, packages and GPUs comes to: a choice, or one sentence."""

import subprocess
import sys

import pytest

from geolrm import GeoLRMError, InputError
from geolrm.engine.bundle.manifest import GpuIdentity
from geolrm.engine.system import extras
from geolrm.engine.system.present_gpu import PresentGpu
from geolrm.examples import capture_path
from geolrm.export import backend_choice
from geolrm.export.backend_choice import Target, choose

BANANA = str(capture_path("banana"))
ADA = PresentGpu("RTX 4070", "sm_89", 46, 12_000_000_000)
HOPPER = PresentGpu("H200", "sm_90", 132, 141_000_000_000)
NVRTC = {"cuda-core": "1.2", "cuda-bindings": "13.0", "nvidia-cuda-nvrtc": "13.0"}
RTX = {"tensorrt-rtx": "1.7.1.116"}
TENSORRT = {"tensorrt": "11.4.0.106", **NVRTC}
ORT_GPU = {"onnxruntime-gpu": "1.31.1"}


@pytest.fixture
def machine(monkeypatch):
    """Pretend to have a GPU and packages."""

    def pretend(gpu=None, packages=None, missing="no NVIDIA driver was found"):
        def present():
            if gpu is None:
                raise GeoLRMError(missing)
            return gpu

        monkeypatch.setattr(backend_choice, "present_gpu", present)
        monkeypatch.setattr(extras, "installed_version", (packages or {}).get)

    return pretend


@pytest.mark.parametrize(
    ("gpu", "packages", "precision", "backend", "chosen_precision", "reason"),
    [
        (None, RTX, None, "onnxruntime", "fp32", "no NVIDIA driver was found"),
        (ADA, RTX | TENSORRT | ORT_GPU, None, "tensorrt-rtx", "fp16", "RTX 4070 with tensorrt-rtx"),
        (ADA, RTX, "bf16", "tensorrt-rtx", "bf16", "RTX 4070 with tensorrt-rtx"),
        (ADA, TENSORRT | ORT_GPU, None, "tensorrt", "fp16", "RTX 4070 with tensorrt"),
        (HOPPER, RTX | TENSORRT, None, "tensorrt", "fp16", "H200 with tensorrt"),
        (HOPPER, RTX | ORT_GPU, None, "cuda", "fp16", "H200 with onnxruntime-gpu"),
        (ADA, RTX | ORT_GPU, "fp32", "cuda", "fp32", "RTX 4070 with onnxruntime-gpu"),
        (ADA, {"tensorrt": "10.14.1", **NVRTC, **ORT_GPU}, None, "cuda", "fp16",
         "RTX 4070 with onnxruntime-gpu"),
        (ADA, {"tensorrt": "11.4.0", **ORT_GPU}, None, "cuda", "fp16",
         "RTX 4070 with onnxruntime-gpu"),
        (ADA, {}, None, "onnxruntime", "fp32",
         "RTX 4070 (sm_89) can be used with none of tensorrt-rtx, tensorrt, onnxruntime-gpu as "
         "installed; run: pip install 'geolrm[rtx]'"),
        (HOPPER, {}, "fp16", "onnxruntime", "fp16",
         "H200 (sm_90) can be used with none of tensorrt-rtx, tensorrt, onnxruntime-gpu as "
         "installed; run: pip install 'geolrm[gpu]'"),
    ],
)  # fmt: skip
def test_auto_takes_the_best_and_says_why(
    machine, gpu, packages, precision, backend, chosen_precision, reason
):
    machine(gpu, packages)
    choice = choose("auto", precision, None)
    assert (choice.backend, choice.precision) == (backend, chosen_precision)
    assert choice.reason == reason
    assert choice.stored_half == (chosen_precision != "fp32")


def test_targets(machine):
    machine(ADA, RTX | TENSORRT | ORT_GPU)
    identity = GpuIdentity("sm_89", 46, 12_000_000_000)
    assert choose("onnxruntime", None, None).targets == ()
    assert choose("tensorrt", None, None).targets == (Target("sm_89", identity, present=True),)
    here = Target("sm_89", GpuIdentity("sm_89"), present=True)
    assert choose("tensorrt-rtx", None, None).targets == (here,)
    several = choose("auto", None, "86, 89,120")
    assert (several.backend, several.reason) == ("tensorrt-rtx", "--sm was given")
    assert [(t.name, t.present) for t in several.targets] == [
        ("sm_86", False), ("sm_89", True), ("sm_120", False),
    ]  # fmt: skip
    assert choose("cuda", None, None).targets == (Target("any", present=True),)
    machine(None, RTX)
    assert choose("cuda", "fp32", None).targets == (Target("any", present=False),)
    assert choose("tensorrt-rtx", None, "120").targets[0].gpu == GpuIdentity("sm_120")


SENTENCES = [
    ("vulkan", None, None, ADA, {}, InputError,
     "--backend is 'vulkan'; it must be one of auto, tensorrt-rtx, tensorrt, cuda, onnxruntime"),
    ("cuda", None, "89", ADA, {}, InputError,
     "--sm is for --backend tensorrt-rtx; cuda graphs run on every GPU"),
    ("tensorrt", None, "89", ADA, TENSORRT, InputError,
     "--sm is for --backend tensorrt-rtx; tensorrt engines are built for the GPU of this machine"),
    ("onnxruntime", None, "89", None, {}, InputError,
     "--sm is for --backend tensorrt-rtx; onnxruntime runs on the CPU"),
    ("onnxruntime", "bf16", None, None, {}, InputError,
     "--bf16 is for GPUs, and the backend is onnxruntime; use --fp16"),
    ("auto", "bf16", None, None, {}, InputError,
     "--bf16 is for GPUs, and the backend is onnxruntime (no NVIDIA driver was found); use --fp16"),
    ("tensorrt", "fp32", None, ADA, TENSORRT, InputError,
     "--fp32 does not go with --backend tensorrt, whose attention runs in half precision alone; "
     "use --fp16 or --bf16, or --backend cuda"),
    ("tensorrt-rtx", "fp32", "89", None, RTX, InputError,
     "--fp32 does not go with --backend tensorrt-rtx, whose attention runs in half precision "
     "alone; use --fp16 or --bf16, or --backend cuda"),
    ("tensorrt-rtx", None, "89", None, {}, GeoLRMError,
     "--backend tensorrt-rtx needs tensorrt-rtx, which is not installed; run: "
     "pip install 'geolrm[rtx]'"),
    ("tensorrt-rtx", None, None, None, RTX, GeoLRMError,
     "--backend tensorrt-rtx builds for the GPU of this machine, but no NVIDIA driver was found; "
     "say for which: --sm 86,89,120"),
    ("tensorrt-rtx", None, None, HOPPER, RTX, InputError,
     "this GPU is sm_90, for which TensorRT for RTX does not build (75, 80, 86, 89, 120, 121); "
     "use --backend cuda"),
    ("tensorrt-rtx", None, "86,90", None, RTX, InputError,
     "--sm is '86,90'; give some of 75, 80, 86, 89, 120, 121, each once, with commas between"),
    ("tensorrt-rtx", None, "86,86", None, RTX, InputError,
     "--sm is '86,86'; give some of 75, 80, 86, 89, 120, 121, each once, with commas between"),
    ("tensorrt", None, None, ADA, {}, GeoLRMError,
     "--backend tensorrt needs tensorrt, which is not installed; run: "
     "pip install 'geolrm[tensorrt]'"),
    ("tensorrt", None, None, ADA, {"tensorrt": "10.14.1"}, GeoLRMError,
     "--backend tensorrt needs tensorrt 11.4 or newer, and 10.14.1 is installed; run: "
     "pip install -U 'geolrm[tensorrt]'"),
    ("tensorrt", None, None, ADA, {"tensorrt": "11.4.0"}, GeoLRMError,
     "--backend tensorrt needs cuda-core, which is not installed; run: "
     "pip install 'geolrm[tensorrt]'"),
    ("tensorrt", None, None, None, TENSORRT, GeoLRMError,
     "--backend tensorrt builds on the GPU of this machine, but no NVIDIA driver was found; build "
     "without one: --backend tensorrt-rtx --sm 86,89,120"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("backend", "precision", "sm", "gpu", "packages", "kind", "sentence"), SENTENCES
)
def test_every_refusal_is_one_sentence(
    machine, backend, precision, sm, gpu, packages, kind, sentence
):
    machine(gpu, packages)
    with pytest.raises(GeoLRMError) as error:
        choose(backend, precision, sm)
    assert type(error.value) is kind
    assert str(error.value) == sentence


def test_anchors_are_padded_where_work_is_captured(machine):
    machine(ADA, RTX)
    assert choose("tensorrt-rtx", None, None, buckets=True).buckets
    assert not choose("tensorrt-rtx", None, None).buckets
    for backend in ("cuda", "onnxruntime"):
        with pytest.raises(InputError) as error:
            choose(backend, None, None, buckets=True)
        assert str(error.value) == (
            "--buckets is for --backend tensorrt-rtx and tensorrt, whose work is captured for a "
            f"number of anchors; {backend} captures nothing: leave it out"
        )


def test_a_package_that_does_not_load_is_one_sentence(monkeypatch):
    from geolrm.export.engine_builder import load_tensorrt

    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(GeoLRMError, match=r"^tensorrt-rtx is installed but does not load: import "):
        load_tensorrt("tensorrt-rtx")


WITHOUT_GPU_PACKAGES = """
import importlib.abc, importlib.metadata as metadata, sys

ABSENT = ("cuda", "tensorrt", "nvidia", "cupy")
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].split("_")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
found = metadata.version
def version(name):
    if name.split("-")[0] in ABSENT or name == "onnxruntime-gpu":
        raise metadata.PackageNotFoundError(name)
    return found(name)
metadata.version = version
import geolrm.engine.system.present_gpu as present
present._driver = lambda: None
from geolrm.commands import export, main
sys.argv = ["geolrm", *sys.argv[1:]]
export.main() if sys.argv[1] == "mini" else main()
"""


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["info", "mini"], 0, "mini"),
        (["run", BANANA, "-o", "b.ply", "--views", "2", "--max-tokens", "64", "--refine", "0"], 0,
         "b.ply"),
        (["info", "mini", "--backend", "tensorrt"], 2, "backend is 'tensorrt', but the bundle"),
        (["run", BANANA, "-o", "b.ply", "--backend", "cuda"], 2,
         "export it again: geolrm-export mini --backend cuda --fp16 -o FOLDER"),
        (["demo", "-o", "d"], 0, "Gaussians"),
        (["mini", "--backend", "tensorrt-rtx", "--sm", "89", "-o", "b"], 1, "geolrm[rtx]"),
        (["mini", "--backend", "tensorrt", "-o", "b"], 1, "geolrm[tensorrt]"),
        (["mini", "--bf16", "-o", "b"], 2, "no NVIDIA driver was found"),
    ],
)  # fmt: skip
def test_commands_without_any_package_for_gpus(tmp_path, arguments, code, text):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_GPU_PACKAGES, *arguments], cwd=tmp_path,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert "Traceback" not in output
    assert done.returncode == code, output
    assert text in output
