"""What gsplat is asked for, checked with a double of its signature that renders with ours."""

import inspect
import sys
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")

from csrc.scenes import camera, cloud  # noqa: E402
from doubles.gsplat import rasterization  # noqa: E402
from samples.training import run, tiny_recipe  # noqa: E402

from geolrm.engine.errors import GeoLRMError  # noqa: E402
from geolrm.training import gsplat_backend  # noqa: E402
from geolrm.training.rendering import choose_rasterizer  # noqa: E402

CPU = torch.device("cpu")
SIZE = (40, 30)


@pytest.fixture
def gsplat_double(monkeypatch):
    module = ModuleType("gsplat")
    module.rasterization = rasterization  # pyright: ignore
    monkeypatch.setitem(sys.modules, "gsplat", module)


@pytest.mark.parametrize("sh_count", [0, 9])
def test_the_same_pictures_and_gradients(gsplat_double, sh_count):
    results = []
    for name in ("gsplat", "cpu"):
        splats = {
            n: torch.from_numpy(a).requires_grad_()
            for n, a in cloud(60, 1, sh_count=sh_count).arrays().items()
        }
        # Rounded as gsplat takes them: else an ellipse's border may fall to another pixel.
        matrices = [torch.from_numpy(m)[None].float().double() for m in camera(SIZE)]
        view = {"w2c": matrices[0], "intrinsics": matrices[1], "size": SIZE}
        draw = choose_rasterizer(name, CPU, threads=1)
        drawn = draw(**splats, **view, background=[0.2, 0.5, 1.0])
        assert drawn.rgb.shape == (1, 30, 40, 3) and drawn.alpha.shape == (1, 30, 40)
        (drawn.rgb.sum() + drawn.alpha.sum() + drawn.depth.sum()).backward()
        results.append([*drawn, *(tensor.grad for tensor in splats.values())])
    for first, second in zip(*results, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-4)


def test_a_step_trains_with_it(gsplat_double, tmp_path):
    recipe = tiny_recipe(steps=1)
    _, ours = run(tmp_path / "ours", recipe, rasterizer="cpu")
    _, theirs = run(tmp_path / "theirs", recipe, rasterizer="gsplat")
    assert theirs[0]["total"] == pytest.approx(ours[0]["total"], rel=1e-5)


def test_without_it_cuda_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(GeoLRMError, match="pip install gsplat, or choose --rasterizer cpu"):
        choose_rasterizer("auto", torch.device("cuda", 0), threads=1)
    assert choose_rasterizer("auto", CPU, threads=1)
    assert choose_rasterizer("cpu", torch.device("cuda", 0), threads=1)


def test_the_double_has_the_signature_of_an_installed_gsplat():
    gsplat = pytest.importorskip("gsplat")
    real = inspect.signature(gsplat.rasterization).parameters
    assert set(inspect.signature(rasterization).parameters) <= set(real)
    assert real["eps2d"].default == gsplat_backend.EPS2D
