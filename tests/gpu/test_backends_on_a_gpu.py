"""Whole engines on a real GPU, on each backend whose packages are installed."""

import numpy as np
import pytest
from samples.gpu_bundles import write_gpu_bundle
from samples.tiny_models import tiny_config, tiny_model

from geolrm import Engine
from geolrm.engine.backends.selection import PACKAGES
from geolrm.engine.errors import InputError
from geolrm.engine.system.extras import KERNEL_PACKAGES, installed_version
from geolrm.export import backend_choice

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    ("backend", "precision"),
    [("cuda", "fp32"), ("cuda", "fp16"), ("tensorrt-rtx", "fp16"), ("tensorrt", "fp16")],
)
def test_every_backend(device, shoe_views, tmp_path, backend, precision):
    images, cameras = shoe_views
    for package in (*KERNEL_PACKAGES, PACKAGES[backend]):
        if installed_version(package) is None:
            pytest.skip(f"{package} is not installed")
    try:
        choice = backend_choice.choose(backend, precision, None)
    except InputError as error:  # TensorRT for RTX does not build for every GPU
        pytest.skip(str(error))
    folder = write_gpu_bundle(tiny_model(tiny_config()), tmp_path / "b", precision, choice)
    engine = Engine(folder, backend=backend)
    anchors = np.random.default_rng(0).uniform(-0.5, 0.5, (40, 3)).astype(np.float32)
    expected = Engine(folder, backend="onnxruntime").run(images, cameras, anchors=anchors)
    tolerance = {"fp32": 1e-4, "fp16": 2e-2}[precision]
    for _ in range(4):  # queued, captured, replayed
        scene = engine.run(images, cameras, anchors=anchors)
        for field in ("means", "opacities", "scales", "quats", "colors"):
            got, wanted = (getattr(s.gaussians, field) for s in (scene, expected))
            np.testing.assert_allclose(got, wanted, atol=tolerance)
