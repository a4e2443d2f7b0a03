"""Bundles for GPUs, and devices in place of them."""

import pytest
from doubles.device import use_gpu_double
from doubles.tensorrt_runtime import make_module
from samples.gpu_bundles import as_engines, write_tiny_gpu_bundle

from geolrm.engine.backends.cuda import tensorrt_segment


@pytest.fixture(scope="session")
def gpu_bundles(tmp_path_factory):
    """Tiny bundles by variant and precision, each made when first asked for."""
    root, made = tmp_path_factory.mktemp("gpu"), {}

    def get(variant="token", precision="fp32"):
        key = variant, precision
        if key not in made:
            made[key] = write_tiny_gpu_bundle(root / "-".join(key), *key)
        return made[key]

    return get


@pytest.fixture
def views(shoe_views):
    images, cameras = shoe_views
    return images[:3], cameras[[0, 1, 2]]


@pytest.fixture
def devices(monkeypatch):
    return use_gpu_double(monkeypatch, packages=("onnxruntime-gpu", "tensorrt-rtx"))


@pytest.fixture
def rtx(monkeypatch, devices, gpu_bundles, tmp_path):
    """A bundle of engines, and the module that would run them."""
    monkeypatch.setenv("GEOLRM_CACHE", str(tmp_path / "cache"))
    folder = as_engines(gpu_bundles(), tmp_path / "rtx")
    module = make_module(folder, lambda: devices[0])
    monkeypatch.setattr(tensorrt_segment, "load_module", lambda package: module)
    return folder, module
