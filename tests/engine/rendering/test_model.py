"""Scenes on their way to the CPU's rasterizer."""

import gc
from types import SimpleNamespace

import numpy as np
import pytest
from csrc.scenes import camera, cloud

from geolrm import Cameras, InputError
from geolrm.engine.rendering import model as models
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.render import render

SIZE = (20, 20)


class Bag(SimpleNamespace):
    __hash__ = object.__hash__


def cameras():
    w2c, k = camera(SIZE)
    return Cameras.from_opencv(world_to_camera=w2c, intrinsics=k, size=SIZE)


def test_a_scene_is_packed_once_and_let_go():
    scene = Bag(**cloud(50, 2).arrays())
    held = len(models._models)
    out = Renders.empty(1, SIZE)
    first = render(scene, cameras(), SIZE, out=out)
    assert first is out
    model = models.splat_model(scene)
    render(scene, cameras(), SIZE)
    assert models.splat_model(scene) is model
    assert len(models._models) == held + 1
    del scene
    gc.collect()
    assert len(models._models) == held


def test_float64_is_rounded_and_integers_are_refused():
    arrays = cloud(50, 2).arrays()
    expected = render(Bag(**arrays), cameras(), SIZE)
    wide = Bag(**{name: array.astype(np.float64) for name, array in arrays.items()})
    np.testing.assert_array_equal(render(wide, cameras(), SIZE).rgb, expected.rgb)
    arrays["means"] = np.zeros((50, 3), np.int64)
    with pytest.raises(TypeError, match="means has dtype int64; it must be float32"):
        render(Bag(**arrays), cameras(), SIZE)


def test_scenes_that_cannot_be_watched_are_packed_each_time():
    class Slotted:
        __slots__ = ("colors", "means", "opacities", "quats", "scales")

    scene, held = Slotted(), len(models._models)
    for name, array in cloud(5, 2).arrays().items():
        setattr(scene, name, array)
    assert models.splat_model(scene) is not models.splat_model(scene)
    assert len(models._models) == held


def test_what_the_kernels_refuse_is_an_input_error():
    scene = cloud(5, 2)
    scene.opacities[3] = 1.5
    with pytest.raises(InputError, match="opacities of splat 3 is 1.5; it must lie in"):
        models.pack(Bag(**scene.arrays()))
