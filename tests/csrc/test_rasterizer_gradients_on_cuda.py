"""The CUDA rasterizer's gradients against the CPU's, and their bits over schedules and budgets."""

from dataclasses import fields

import numpy as np
import pytest
from csrc.implementations import shuffle
from csrc.scenes import Arrays, camera, cloud
from csrc.test_rasterizer_limit import (
    PIXELS,
    SIDE,
    last_splats_near_the_limit,
    left_behind,
)
from reference.rasterizer import Parameters

from geolrm import _C, InputError
from geolrm.engine.rendering.cpu import Gradients, backward
from geolrm.engine.rendering.cuda_gradients import SplatDifferentiator
from geolrm.engine.rendering.cuda_rasterizer import DeviceRenders, SplatRasterizer
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.images import Renders

NAMES = ("means", "opacities", "scales", "quats", "color")
TOLERANCE = 2e-5  # of the whole array, by its norm


def image_gradients(views, size, seed=1):
    rng = np.random.default_rng(seed)
    shape = (views, size[1], size[0])
    draw = lambda *s: rng.normal(size=s).astype(np.float32)  # noqa: E731
    return Renders(draw(*shape, 3), draw(*shape), draw(*shape))


def frame_of(cams, size, **parameters):
    w2c, intrinsics = (np.stack([cam[i] for cam in cams]) for i in (0, 1))
    return Frame(w2c, intrinsics, size, _C.RasterParameters(**parameters))


def on_device(device, scene, frame, to_images, **options) -> Gradients:
    splats = SplatRasterizer(device).pack(Arrays(scene))
    images = DeviceRenders(*(device.upload(getattr(to_images, f.name)) for f in fields(Renders)))
    differentiator = SplatDifferentiator(device, **options)
    out, cameras = differentiator.backward(splats, frame, images, cameras=True)
    found = out.numpy()
    return Gradients(*(getattr(found, name) for name in NAMES), cameras=cameras)


def assert_like(got: Gradients, expected: Gradients):
    for name in (*NAMES, "cameras"):
        ours, theirs = getattr(got, name), getattr(expected, name)
        assert ours.shape == theirs.shape
        off = np.linalg.norm(ours.astype(np.float64) - theirs)
        assert off <= TOLERANCE * np.linalg.norm(theirs), name


@pytest.mark.parametrize(("sh_count", "antialiased"), [(0, False), (4, True), (16, False)])
def test_the_cpus_gradients(device, sh_count, antialiased):
    scene, size = cloud(300, sh_count + 3, low=0.01, high=0.2, sh_count=sh_count), (70, 45)
    cams = [camera(size, azimuth=a, aspect=1.1, shift=(3, -2)) for a in (0.4, 2.0)]
    frame = frame_of(cams, size, antialiased=antialiased, background=(0.2, 0.5, 1.0))
    to_images = image_gradients(2, size)
    expected = backward(scene.model(), frame, to_images, coefficients=sh_count, cameras=True)
    assert_like(on_device(device, scene, frame, to_images), expected)


def test_saturated_and_clipped(device):
    """Pixels end early, alpha is clamped, and means lie outside the image."""
    scene, size = cloud(600, 4, low=0.1, high=0.5), (64, 40)
    scene.opacities[:] = np.where(scene.opacities > 0.4, 0.97, 0.3)
    frame = frame_of([camera(size, radius=0.9, fov=1.4)], size, alpha_max=0.9)
    to_images = image_gradients(1, size)
    expected = backward(scene.model(), frame, to_images, cameras=True)
    got = on_device(device, scene, frame, to_images)
    assert_like(got, expected)
    # What is hidden or outside gets exactly nothing, as on the CPU.
    np.testing.assert_array_equal(got.opacities == 0, expected.opacities == 0)
    assert 0.05 < np.mean(expected.opacities == 0) < 0.95


def test_schedules_and_budgets_never_change_a_bit(device):
    scene, size = cloud(400, 7, low=0.02, high=0.2), (70, 66)
    frame = frame_of([camera(size)], size)
    to_images = image_gradients(1, size)
    expected = on_device(device, scene, frame, to_images)
    for seed, budget in ((5, 128 << 20), (9, 4000)):  # by the tile, at the least
        shuffle(device, seed)
        again = on_device(device, scene, frame, to_images, budget=budget)
        for name in (*NAMES, "cameras"):
            assert getattr(again, name).tobytes() == getattr(expected, name).tobytes(), name


def test_the_same_splats_are_the_last(device):
    """Where float cannot tell, double decides backwards, too."""
    p = Parameters(alpha_max=0.9995)
    scene, cam, size = last_splats_near_the_limit(p)
    left = left_behind(scene, cam, size, p)
    decided, added = np.abs(left - 1) > 1e-9, left > 1
    none = np.zeros((1, size[1], size[0]), np.float32)
    to_images = Renders(np.ones((*none.shape, 3), np.float32), none, none)
    got = on_device(device, scene, frame_of([cam], size, **vars(p)), to_images)
    weights = got.color[SIDE * SIDE :, 0].reshape(SIDE, SIDE)
    np.testing.assert_array_equal((weights > 0.81)[decided], added[decided])
    assert len(PIXELS) == SIDE


@pytest.mark.parametrize("count", [0, 5])
def test_nothing_in_sight(device, count):
    scene, size = cloud(count, 1), (20, 9)
    scene.means[:] += 100
    frame = frame_of([camera(size)], size)
    got = on_device(device, scene, frame, image_gradients(1, size))
    for name in (*NAMES, "cameras"):
        assert not getattr(got, name).any()
    assert got.means.shape == (count, 3) and got.cameras.shape == (1, 8)


def test_gradients_of_other_images_are_refused(device):
    scene = cloud(3, 1)
    with pytest.raises(InputError) as raised:
        on_device(device, scene, frame_of([camera((8, 8))], (8, 8)), image_gradients(1, (8, 9)))
    assert str(raised.value) == "the gradients are of images [1, 9, 8]; the frame has [1, 8, 8]"
