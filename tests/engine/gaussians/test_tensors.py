import inspect

import numpy as np
import pytest
from samples.gaussians import random_gaussians

from geolrm import Gaussians, GeoLRMError, InputError

NAMES = ("means", "quats", "scales", "opacities", "colors")


@pytest.mark.parametrize("sh", [None, 1, 16])
def test_tensors_go_there_and_back(sh):
    torch = pytest.importorskip("torch")
    scene = random_gaussians(sh)
    tensors = scene.to_torch()
    assert tensors._fields == NAMES
    for name, tensor in zip(NAMES, tensors, strict=True):
        assert tensor.dtype == torch.float32 and str(tensor.device) == "cpu"
        expected = scene.sh if name == "colors" and sh else getattr(scene, name)
        np.testing.assert_array_equal(tensor.numpy(), expected)
    read = Gaussians.from_torch(*tensors)
    for name in ("means", "scales", "opacities", "colors", "sh"):
        np.testing.assert_array_equal(getattr(read, name), getattr(scene, name))
    np.testing.assert_allclose(read.quats, scene.quats, atol=1e-7)


def test_the_order_is_that_of_gsplat():
    gsplat = pytest.importorskip("gsplat")
    first = list(inspect.signature(gsplat.rasterization).parameters)[:5]
    assert tuple(first) == NAMES


def test_no_memory_is_shared():
    torch = pytest.importorskip("torch")
    scene = random_gaussians()
    before = scene.means.copy()
    tensors = scene.to_torch()
    tensors.means.zero_()
    np.testing.assert_array_equal(scene.means, before)
    given = [torch.tensor(getattr(scene, name)) for name in NAMES]
    read = Gaussians.from_torch(*given)
    given[0].zero_()
    np.testing.assert_array_equal(read.means, before)
    arrays = [getattr(scene, name).copy() for name in NAMES]
    assert not np.shares_memory(Gaussians.from_torch(*arrays).means, arrays[0])


def test_what_training_holds_is_taken():
    """Half precision, gradients and rotations of any length."""
    torch = pytest.importorskip("torch")
    scene = random_gaussians()
    given = [torch.tensor(getattr(scene, name)) for name in NAMES]
    given[1] = given[1] * 3
    given[2] = given[2].to(torch.bfloat16)
    given[4].requires_grad_()
    read = Gaussians.from_torch(*given)
    np.testing.assert_allclose(read.quats, scene.quats, atol=1e-6)
    np.testing.assert_allclose(read.scales, scene.scales, rtol=5e-3)
    np.testing.assert_array_equal(read.colors, scene.colors)


def test_colours_of_bytes_are_refused_as_of_arrays():
    torch = pytest.importorskip("torch")
    given = [torch.tensor(getattr(random_gaussians(), name)) for name in NAMES]
    given[4] = torch.full((50, 3), 200, dtype=torch.uint8)
    with pytest.raises(InputError, match="colors"):
        Gaussians.from_torch(*given)


def test_shapes_are_checked_as_of_arrays():
    arrays = [np.zeros((2, 3)), np.ones((2, 3)), np.ones((2, 3)), np.ones(2), np.ones((2, 3))]
    with pytest.raises(InputError, match=r"quats has shape \(2, 3\); with 2 means it must be"):
        Gaussians.from_torch(*arrays)


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("geolrm.engine.system.extras.installed_version", lambda name: None)
    message = r"a tensor needs torch, which is not installed; run: pip install 'geolrm\[export\]'"
    with pytest.raises(GeoLRMError, match=message):
        random_gaussians().to_torch()
