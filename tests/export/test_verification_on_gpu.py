"""The comparison of the GPU's engines with torch: on an emulated device, and without any."""

import importlib
import json

import pytest
from doubles.device import use_gpu_double
from doubles.tensorrt_runtime import make_module
from samples.gpu_bundles import as_engines, write_tiny_gpu_bundle

from geolrm import GeoLRMError, VerificationError
from geolrm.engine.backends.cuda import tensorrt_segment
from geolrm.engine.bundle.manifest import GpuIdentity, Source
from geolrm.export import backend_choice, command, verification
from geolrm.export.backend_choice import Choice, Target
from geolrm.export.verification import verify_on_gpu

HERE = Choice("cuda", "fp16", (Target("any", present=True),), "")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_gpu_bundle(tmp_path_factory.mktemp("gpu") / "bundle", "token", "fp16")


@pytest.fixture
def few(monkeypatch):
    """A smaller comparison: emulated kernels are slow."""
    monkeypatch.setattr(verification, "NUM_VIEWS", 2)
    monkeypatch.setattr(verification, "MAX_ANCHORS", 12)


def test_a_passed_comparison_says_for_which_gpu(monkeypatch, few, bundle, models, shoe):
    opened = use_gpu_double(monkeypatch, packages=("onnxruntime-gpu",))
    report = verify_on_gpu(bundle, models["token"], shoe, HERE)
    assert (report["status"], report["targets"]) == ("passed", ["any"])
    assert "not_run" not in report
    stages = {stage["stage"]: stage for stage in report["stages"]}
    assert len(stages) == 9 and stages["means"]["gate"] == "cosine >= 0.999"
    assert stages["features (proposal)"]["max_abs"] > 1e-6  # half precision ran, not the CPU
    assert opened[0].count("launch") > 0


def test_an_engine_that_computes_something_else_abandons_the_export(
    monkeypatch, few, bundle, models, shoe
):
    use_gpu_double(monkeypatch, packages=("onnxruntime-gpu",))
    with pytest.raises(VerificationError, match=r"^the exported graphs differ from the torch mode"):
        verify_on_gpu(bundle, models["head"], shoe, HERE)


def test_where_no_target_is_here_it_says_so(models, shoe):
    absent = Choice("tensorrt-rtx", "fp16", (Target("sm_89", GpuIdentity("sm_89")),), "")
    assert verify_on_gpu("", models["token"], shoe, absent) == {"status": "not run: no GPU"}


def test_a_missing_package_of_the_run_time_is_named(monkeypatch, bundle, models, shoe):
    use_gpu_double(monkeypatch)
    report = verify_on_gpu(bundle, models["token"], shoe, HERE)
    assert report == {
        "status": "not run: the backend cuda needs onnxruntime-gpu, which is not installed; run: "
        "pip install 'geolrm[gpu]'"
    }


@pytest.fixture
def rtx(monkeypatch, bundle, tmp_path):
    """Engines for this GPU, and for one that is not here."""
    opened = use_gpu_double(monkeypatch, packages=("onnxruntime-gpu", "tensorrt-rtx"))
    monkeypatch.setenv("GEOLRM_CACHE", str(tmp_path / "cache"))
    folder = as_engines(bundle, tmp_path / "rtx")
    module = make_module(folder, lambda: opened[0])
    monkeypatch.setattr(tensorrt_segment, "load_module", lambda package: module)
    names = ("sm_86", "sm_89")
    targets = tuple(Target(n, GpuIdentity(n), present=n == "sm_89") for n in names)
    return folder, Choice("tensorrt-rtx", "fp16", targets, "")


def test_engines_for_other_gpus_are_listed_as_not_run(rtx, few, models, shoe):
    folder, choice = rtx
    report = verify_on_gpu(folder, models["token"], shoe, choice)
    assert (report["status"], report["targets"]) == ("passed", ["sm_89"])
    assert report["not_run"] == ["sm_86"]


def test_an_engine_that_does_not_load_is_an_error(monkeypatch, rtx, models, shoe):
    """Built here and not usable here: that is no reason to go on."""
    folder, choice = rtx

    def refuse(self, stored, device):
        raise GeoLRMError(f"tensorrt-rtx 1.7.1 cannot load {stored.path.name}: no reason was given")

    monkeypatch.setattr(tensorrt_segment.Runtime, "load", refuse)
    with pytest.raises(GeoLRMError, match="^tensorrt-rtx 1.7.1 cannot load encoder_proposal"):
        verify_on_gpu(folder, models["token"], shoe, choice)


@pytest.mark.parametrize("verify", [True, False])
def test_the_command_and_the_report_say_that_there_is_no_gpu(
    monkeypatch, few, models, tmp_path, capsys, verify
):
    """The graphs of ``cuda`` are made anywhere."""

    def missing():
        raise GeoLRMError("no NVIDIA driver was found")

    def load(checkpoint):
        return models["token"], Source("tiny", "", trained=False), True

    export = importlib.import_module("geolrm.commands.export").export
    monkeypatch.setattr(backend_choice, "present_gpu", missing)
    monkeypatch.setattr(command, "load_checkpoint", load)
    export("tiny", tmp_path / "b", backend="cuda", fp16=True, no_verify=not verify)
    status = "not run: no GPU" if verify else "not run: switched off by --no-verify"
    written = json.loads((tmp_path / "b" / "verify.json").read_text())
    printed = capsys.readouterr().out
    assert f"verification on the GPU: {status}" in printed
    assert "backend: cuda for any (--backend cuda)" in printed
    if verify:
        assert written["status"] == "passed" and written["gpu"] == {"status": status}
        assert "Engine against torch" in printed
    else:
        assert written["status"].startswith("not run: switched off")
