import pytest
from doubles.device import use_gpu_double
from samples.gpu_artifacts import make_artifact

from geolrm.engine.backends.selection import check_artifact, select_backend
from geolrm.engine.bundle.bundle import Bundle
from geolrm.engine.errors import BundleError, GeoLRMError, InputError
from geolrm.engine.system import usable_gpu

ALL = ("onnxruntime-gpu", "tensorrt", "tensorrt-rtx")


@pytest.mark.parametrize("backend", ["cuda", "tensorrt", "tensorrt-rtx"])
def test_an_artifact_that_runs_here(monkeypatch, backend):
    use_gpu_double(monkeypatch, packages=ALL)
    selected = check_artifact(make_artifact(backend), "auto")
    what = "graphs" if backend == "cuda" else "TensorRT engines"
    assert selected.name == backend
    assert selected.target == ("any" if backend == "cuda" else "sm_89")
    assert selected.reason == f"the bundle holds fp16 {what} that run on GPU double (sm_89)"


def test_no_driver(monkeypatch):
    def missing(index):
        raise GeoLRMError("no NVIDIA driver was found")

    monkeypatch.setattr(usable_gpu, "present_gpu", missing)
    with pytest.raises(GeoLRMError) as caught:
        check_artifact(make_artifact(), "asked")
    assert str(caught.value) == (
        "the backend cuda needs an NVIDIA GPU, but no NVIDIA driver was found; install a driver "
        "of CUDA 13.0 or later, or use the backend onnxruntime"
    )


def test_no_such_device(monkeypatch):
    def missing(index):
        raise GeoLRMError(f"there is no GPU {index}: the NVIDIA driver has 1 GPU, counted from 0")

    monkeypatch.setattr(usable_gpu, "present_gpu", missing)
    with pytest.raises(InputError, match="device is 3, but there is no GPU 3: the NVIDIA driver"):
        check_artifact(make_artifact(), "asked", 3)


def test_old_driver(monkeypatch):
    use_gpu_double(monkeypatch, packages=ALL, cuda=(12, 4))
    with pytest.raises(GeoLRMError, match=r"supports CUDA 12\.4; update the driver, or use"):
        check_artifact(make_artifact(), "asked")


@pytest.mark.parametrize(
    ("backend", "package", "extras"),
    [
        ("cuda", "onnxruntime-gpu", "gpu"),
        ("tensorrt", "tensorrt", "gpu,tensorrt"),
        ("tensorrt-rtx", "tensorrt-rtx", "gpu,rtx"),
    ],
)
def test_missing_extra(monkeypatch, backend, package, extras):
    use_gpu_double(monkeypatch)
    with pytest.raises(GeoLRMError) as caught:
        check_artifact(make_artifact(backend), "asked")
    assert str(caught.value) == (
        f"the backend {backend} needs {package}, which is not installed; run: "
        f"pip install 'geolrm[{extras}]'"
    )


def test_the_cpu_package_over_the_gpu_package(monkeypatch):
    use_gpu_double(monkeypatch, packages=ALL, providers=False)
    with pytest.raises(GeoLRMError, match="pip uninstall -y onnxruntime && pip install"):
        check_artifact(make_artifact(), "asked")


@pytest.mark.parametrize(
    ("artifact", "message"),
    [
        (make_artifact("tensorrt-rtx", sm="sm_120"), "built for sm_120; this GPU is sm_89"),
        (
            make_artifact("tensorrt-rtx", builder="1.6"),
            "by tensorrt-rtx 1.6; installed is tensorrt-",
        ),
        (
            make_artifact("tensorrt", multiprocessors=64),
            "for a GPU of 64 multiprocessors; this one",
        ),
    ],
)
def test_engines_of_another_machine(monkeypatch, artifact, message):
    use_gpu_double(monkeypatch, packages=ALL)
    with pytest.raises(BundleError, match=message) as caught:
        check_artifact(artifact, "asked")
    assert str(caught.value).endswith("Rebuild it: geolrm-export mini --fp16")


def test_a_bundle_for_the_cpu(monkeypatch):
    use_gpu_double(monkeypatch, packages=ALL)
    bundle = Bundle.open("mini")
    selected = select_backend("auto", bundle)
    assert (selected.name, selected.target) == ("onnxruntime", None)
    assert selected.reason == "the bundle holds nothing for a GPU"
    with pytest.raises(BundleError, match="export it again: geolrm-export mini --backend"):
        select_backend("tensorrt", bundle)
    with pytest.raises(InputError, match="backend is 'tpu'; it must be one of auto, tensorrt-rtx"):
        select_backend("tpu", bundle)
