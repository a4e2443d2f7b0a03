"""Commands on a bundle for GPUs: with one, as far as the commands can tell, and without."""

import json

import numpy as np
import pytest
from csrc.scenes import cloud
from doubles.device import rewrite_manifest, use_gpu_double
from harness.processes import call_here
from samples.gpu_bundles import as_engines, write_tiny_gpu_bundle

from geolrm import Engine, Gaussians, GeoLRMError
from geolrm.commands import info, render, run
from geolrm.engine.backends.cuda import onnxruntime_segment, segment_loaders
from geolrm.engine.backends.cuda.memory_plan import plan_memory
from geolrm.engine.bundle.bundle import Bundle
from geolrm.engine.system import usable_gpu
from geolrm.engine.system.exit_codes import one_sentence_errors
from geolrm.examples import CAPTURES

PARTS = ["weights", "inputs", "features", "activations", "outputs", "scratch", "libraries"]
NAMES = [*PARTS, "total"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Tiny, with the ranges of a large one."""
    folder = write_tiny_gpu_bundle(tmp_path_factory.mktemp("gpu") / "bundle")
    rewrite_manifest(folder, lambda content: content["anchors"].update(max=32768))
    return folder


@pytest.fixture
def gpu(monkeypatch, bundle):
    """A GPU with as much free memory as a test says."""
    use_gpu_double(monkeypatch, packages=("onnxruntime-gpu",))
    manifest = Bundle.open(bundle).manifest

    def free(views, tokens):
        plan = plan_memory(manifest, manifest.gpu, views, tokens)
        monkeypatch.setattr(
            "geolrm.engine.system.present_gpu.free_memory", lambda index: plan.total
        )
        return plan

    return free


@pytest.fixture
def no_gpu(monkeypatch):
    def missing(index=0):
        raise GeoLRMError("no NVIDIA driver was found")

    monkeypatch.setattr(usable_gpu, "present_gpu", missing)


def refuse(capsys, command, *arguments, **options):
    """Output, error and exit code of a command, run here."""
    with pytest.raises(SystemExit) as caught, one_sentence_errors():
        command(*arguments, **options)
    shown = capsys.readouterr()
    return shown.out, " ".join(shown.err.split()), caught.value.code


def test_the_memory_plan_needs_no_gpu(bundle):
    done = call_here("geolrm", "info", bundle, "--views", "21", "--tokens", "16384")
    assert done.returncode == 0, done.stderr
    assert "At 21 views and 16384 anchors, with scratch estimated:" in done.stdout
    facts = json.loads(
        call_here("geolrm", "info", bundle, "--views", "21", "--tokens", "16384", "--json").stdout
    )
    manifest = Bundle.open(bundle).manifest
    plan = plan_memory(manifest, manifest.gpu, 21, 16384)
    assert facts["gpu_memory"] == dict(plan.rows()) and list(facts["gpu_memory"]) == NAMES
    assert facts["gpu_memory"]["total"] == sum(facts["gpu_memory"][n] for n in NAMES[:-1])
    images, pixels = 21 * 3 * 56 * 56 * 4, 21 * (14 * 14 + 8 * 8) * 12 * 4
    assert plan.inputs >= images and plan.features >= pixels
    assert plan.outputs >= 16384 * 4 * (3 + 4 * 14)  # anchors, and four Gaussians of each


def test_the_plan_is_checked_against_what_is_free(gpu, bundle, capsys):
    planned = gpu(21, 16384)
    info.info(str(bundle), views=21, tokens=16384)
    shown = capsys.readouterr().out
    assert f"{planned.total / 1e6:.1f}" in shown and "free now" in shown
    gpu(21, 9000)
    shown, error, code = refuse(capsys, info.info, str(bundle), views=21, tokens=16384)
    assert "At 21 views and 16384" in shown and code == 1  # the plan is shown all the same
    assert "21 views with 16384 anchors need" in error
    assert "GB are free; 21 views with --max-tokens 9000 fit, or use the backend onnx" in error
    gpu(1, 1)
    info.info(str(bundle))  # nothing was asked for, so a note
    assert "note: 3 views with 64 anchors need" in capsys.readouterr().out
    info.info(str(bundle), views=21, tokens=16384, as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert facts["gpu_memory_free"] == gpu(1, 1).total
    assert "21 views with 16384 anchors need" in facts["gpu_memory_short"]


def test_settings_beyond_the_bundle_are_refused(no_gpu, bundle, capsys):
    _, error, code = refuse(capsys, info.info, str(bundle), views=22)
    assert error == "error: --views is 22; it must be a whole number from 1 to 21" and code == 2
    _, error, code = refuse(capsys, info.info, "mini", tokens=5)
    assert "--views and --tokens plan the memory of a GPU, and 'mini' has no GPU artifact" in error


def test_run_plans_its_memory_and_says_its_backend(gpu, bundle, tmp_path, capsys):
    planned = gpu(2, 64)
    options = {"views": "2", "model": str(bundle), "max_tokens": 64}
    run.run(CAPTURES / "lion", tmp_path / "a.ply", **options, refine=1)
    shown = " ".join(capsys.readouterr().out.split())
    assert "refine" in shown and "on the CPU" not in shown  # it runs where the engine does
    assert "backend: cuda (the bundle holds fp32 graphs that run on GPU double (sm_89))" in shown
    assert f"GPU memory: {planned.total / 1e9:.2f} GB planned" in shown
    run.run(CAPTURES / "lion", tmp_path / "a.ply", **options, as_json=True)
    assert json.loads(capsys.readouterr().out)["gpu_memory"] == dict(planned.rows())


NO_DRIVER = (
    "needs an NVIDIA GPU, but no NVIDIA driver was found; install a driver of CUDA 13.0 or later, "
)


def test_without_a_gpu_auto_takes_the_cpu_and_cuda_is_refused(no_gpu, bundle, tmp_path, capsys):
    out = tmp_path / "a.ply"
    options = {"views": "2", "model": str(bundle), "max_tokens": 64}
    run.run(CAPTURES / "lion", out, **options)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"backend: onnxruntime (not cuda: the backend cuda {NO_DRIVER}" in shown
    _, error, code = refuse(capsys, run.run, CAPTURES / "lion", out, **options, backend="cuda")
    assert error.endswith(f"the backend cuda {NO_DRIVER}or use the backend onnxruntime")
    assert code == 1
    _, error, code = refuse(capsys, info.info, str(bundle), backend="cuda")
    assert f"the backend cuda {NO_DRIVER}" in error and code == 1
    for backend in ("tensorrt", "tensorrt-rtx"):
        _, error, code = refuse(capsys, info.info, str(bundle), backend=backend)
        assert f"backend is '{backend}', but the bundle" in error and code == 2
        assert "holds onnxruntime and cuda; export it again: geolrm-export" in error


def test_render_draws_on_a_gpu_that_is_asked_for(monkeypatch, tmp_path, capsys):
    opened = use_gpu_double(monkeypatch)
    scene = cloud(60, 0)
    Gaussians(**scene.arrays()).save(tmp_path / "a.ply")
    for backend in ("cpu", "cuda"):
        folder = tmp_path / backend
        render.render(tmp_path / "a.ply", folder, orbit=2, size=48, backend=backend)
    assert len(opened) == 1 and opened[0].count("launch") > 20
    assert len({file.name for file in tmp_path.glob("*/*.png")}) == 2
    drawn = [np.frombuffer((tmp_path / b / "0001.png").read_bytes(), np.uint8) for b in
             ("cpu", "cuda")]  # fmt: skip
    np.testing.assert_array_equal(*drawn)
    _, error, code = refuse(
        capsys, render.render, tmp_path / "a.ply", tmp_path / "x", backend="auto"
    )
    assert error.endswith("error: --backend is 'auto'; it must be cpu or cuda") and code == 2


def test_render_without_a_gpu(no_gpu, tmp_path, capsys):
    Gaussians(**cloud(3, 0).arrays()).save(tmp_path / "a.ply")
    _, error, code = refuse(
        capsys, render.render, tmp_path / "a.ply", tmp_path / "x", orbit=1, backend="cuda"
    )
    assert error.endswith(f"the backend cuda {NO_DRIVER}or render with the backend cpu")
    assert code == 1


def test_auto_takes_the_cpu_where_the_gpus_part_does_not_load(monkeypatch, bundle):
    use_gpu_double(monkeypatch, packages=("onnxruntime-gpu",))

    class Loader(onnxruntime_segment.OnnxRuntimeLoader):
        def load(self, path, device):
            raise GeoLRMError("onnxruntime-gpu 1.31 does not load its CUDA provider")

    monkeypatch.setattr(segment_loaders, "loader", lambda *_: Loader())
    engine = Engine(bundle, threads=1)
    assert engine.backend == "onnxruntime" and engine.plan_memory(3) is None
    assert engine.backend_reason == (
        "not cuda: onnxruntime-gpu 1.31 does not load its CUDA provider"
    )
    with pytest.raises(GeoLRMError, match="does not load its CUDA provider"):
        Engine(bundle, backend="cuda")


def test_engines_of_another_gpu_are_left_alone_by_auto(monkeypatch, bundle, tmp_path):
    use_gpu_double(monkeypatch, packages=("tensorrt-rtx",))
    folder = as_engines(bundle, tmp_path / "rtx", sm="sm_120")
    engine = Engine(folder, threads=1)
    assert engine.backend == "onnxruntime"
    assert engine.backend_reason.startswith("not tensorrt-rtx: ")
    assert engine.backend_reason.endswith(
        "was built for sm_120; this GPU is sm_89. Rebuild it: geolrm-export tiny --fp16"
    )
