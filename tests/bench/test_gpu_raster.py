import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from geolrm.bench import gpu_raster, splat_scenes


def test_says_why_nothing_was_measured():
    """Where a GPU is at hand, the GPU tests run the rest."""
    result = gpu_raster.measure(sizes=(), repeats=1, warm_up=0)
    if result["ours"] == "measured":
        pytest.skip("a GPU is at hand")
    assert result["ours"].startswith("not run: ") and result["gsplat"].startswith("not run: ")
    assert result["rows"] == []


def test_times_are_percentiles_of_whole_frames():
    waits = []
    times = gpu_raster._time(lambda: None, lambda: waits.append(1), repeats=7, warm_up=2)
    assert len(waits) == 14
    assert list(times) == ["p10_ms", "p50_ms", "p90_ms", "p99_ms"]
    assert 0 <= times["p10_ms"] <= times["p50_ms"] <= times["p99_ms"]


class FloatTensor:
    """As much of a tensor as a peer is given."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def cuda(self):
        return self


@pytest.fixture
def gsplat_16(monkeypatch):
    """gsplat 1.6 by its names: what its float16 renderer is asked."""
    asked = SimpleNamespace(scenes=[], frames=[])
    packages = ("gsplat", "gsplat.experimental", "gsplat.experimental.render", "gsplat.scene")
    modules = {name: ModuleType(name) for name in packages}

    class Scene:
        @classmethod
        def from_gaussian_tensors(
            cls, means, quats, scales, opacities, colors, sh_degree, sh_compression, *, id
        ):
            lengths = np.linalg.norm(quats.values, axis=1)
            np.testing.assert_allclose(lengths, 1, atol=1e-6)
            assert (sh_degree, sh_compression) == (None, "none")
            asked.scenes.append((means, scales, opacities, colors))
            return cls()

    class Renderer:
        def __init__(self, scene):
            assert isinstance(scene, Scene)

        def render(self, *, viewmat, K, width, height):
            asked.frames.append((viewmat.values.shape, K.values.shape, width, height))

    modules["gsplat.scene"].GaussianInferenceScene = Scene
    modules["gsplat.experimental.render"].GaussianInferenceRenderer = Renderer
    torch = ModuleType("torch")
    torch.from_numpy = FloatTensor
    torch.cuda = SimpleNamespace(is_available=lambda: True)
    unit = lambda x, dim: FloatTensor(x.values / np.linalg.norm(x.values, axis=dim, keepdims=True))  # noqa: E731
    torch.nn = SimpleNamespace(functional=SimpleNamespace(normalize=unit))
    torch.no_grad = lambda: pytest.MonkeyPatch.context()
    for name, module in (*modules.items(), ("torch", torch)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(gpu_raster, "installed_version", lambda package: "1.6.0")
    return asked


def test_gsplats_float16_renderer_is_raced_where_it_is_installed(gsplat_16):
    prepare, state = gpu_raster._gsplat_fp16()
    assert state == "measured with gsplat 1.6.0"
    frame = prepare(splat_scenes.ring_and_ball(10), 16)
    frame()
    frame()
    assert len(gsplat_16.scenes) == 1  # packed once, as ours
    assert gsplat_16.frames == [((4, 4), (3, 3), 16, 16)] * 2


def test_an_older_gsplat_has_no_float16_renderer(monkeypatch):
    monkeypatch.setitem(sys.modules, "gsplat", ModuleType("gsplat"))
    prepare, state = gpu_raster._gsplat_fp16()
    assert prepare is None
    assert state.startswith("not run: gsplat 1.6 or later and torch are needed (")
