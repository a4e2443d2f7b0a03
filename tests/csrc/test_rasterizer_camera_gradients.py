"""Gradients to the cameras against central differences of the double-precision reference."""

import numpy as np
import pytest
from csrc.implementations import ISAS
from csrc.scenes import Scene, camera, cloud
from csrc.test_rasterizer_backward import SMOOTH, image_gradients, loss
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.rasterizer import Parameters

from geolrm import _C

KINDS = ["rotation x", "rotation y", "rotation z", "translation x", "translation y",
         "translation z", "fx", "fy"]  # fmt: skip


def backward(scene: Scene, cams, size, p: Parameters, gradients, *, cameras=True, **options):
    """The gradients to the splats by name, then [V, 8] to the cameras; None if not asked for."""
    out = {name: np.zeros_like(array) for name, array in scene.arrays().items()}
    w2c, k = (np.asarray(a)[None] if np.ndim(a) == 2 else np.asarray(a) for a in cams)
    to_cameras = np.zeros((len(w2c), 8)) if cameras else None
    scene.model().backward(
        w2c, k, *size, _C.RasterParameters(**vars(p)), *gradients, *out.values(), to_cameras,
        **options,
    )  # fmt: skip
    return out, to_cameras


def turned(rotation_vector):
    """The rotation matrix of a small rotation vector: its series, to its fifth power."""
    x, y, z = rotation_vector
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    total, power = np.eye(3), np.eye(3)
    for n in range(1, 6):
        power = power @ skew / n
        total = total + power
    return total


def moved(cam, increment):
    """A camera after an increment of 8 numbers, as csrc/rasterizer/splat_gradient.h says."""
    w2c, k = (np.array(array, np.float64) for array in cam)
    w2c[:3] = turned(increment[:3]) @ w2c[:3]
    w2c[:3, 3] += increment[3:6]
    k[0, 0] += increment[6]
    k[1, 1] += increment[7]
    return w2c, k


def differences(scene, cam, size, p, gradients, step):
    """Central differences of the loss, with a step in radians, units and hundreds of px."""
    arrays = {name: array.astype(np.float64) for name, array in scene.arrays().items()}
    steps = np.array([step] * 6 + [100 * step] * 2)
    out = np.zeros(8)
    for i in range(8):
        increment = np.eye(8)[i] * steps[i]
        sides = [loss(arrays, moved(cam, s * increment), size, p, gradients) for s in (1, -1)]
        out[i] = (sides[0] - sides[1]) / (2 * steps[i])
    return out


def share_of_smooth(scene, cam, size, p, seed, isa=""):
    """Check all eight against differences where those are smooth; return how many were."""
    gradients = image_gradients(size, seed)
    got = backward(scene, cam, size, p, gradients, isa=isa)[1][0]
    coarse, fine = (differences(scene, cam, size, p, gradients, s) for s in (4e-7, 2e-7))
    # Sums over all splats: what cancels in them was rounded to float before.
    scale = np.array([np.abs(got[:6]).max()] * 6 + [np.abs(got[6:]).max()] * 2) + 1e-6
    smooth = np.abs(coarse - fine) < 2e-4 * np.abs(fine) + 1e-4 * scale
    off = np.abs(got - fine) - 1e-3 * np.abs(fine) - 2e-4 * scale
    assert np.isfinite(got).all()
    assert (off[smooth] <= 0).all(), list(zip(KINDS, got, fine, smooth, strict=True))
    return smooth.mean()


@pytest.mark.parametrize(
    ("sh_count", "antialiased"), [(0, False), (0, True), (16, False), (4, True)]
)
def test_gradients_to_cameras(sh_count, antialiased):
    scene, size = cloud(60, 3, low=0.02, high=0.2, sh_count=sh_count), (40, 30)
    scene.opacities[:] = np.clip(scene.opacities, 0.01, 0.98)
    p = Parameters(antialiased=antialiased, background=(0.2, 0.5, 1.0), **SMOOTH)
    shares = [
        share_of_smooth(scene, camera(size, azimuth=a, shift=(3, -2), aspect=1.1), size, p, a)
        for a in range(4)
    ]
    assert np.mean(shares) > 0.7


def test_gradients_when_ratios_are_clipped():
    """A wide lens close by: the Jacobian's ratios stop at limits that go with the focal length."""
    scene, size = cloud(80, 4, low=0.1, high=0.5), (40, 30)
    p = Parameters(alpha_max=0.9, clip_margin=0.0, **SMOOTH)
    shares = [
        share_of_smooth(scene, camera(size, azimuth=a, radius=0.9, fov=1.0), size, p, 2)
        for a in range(6)
    ]
    assert np.mean(shares) > 0.5


@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(1, 25),
    seed=st.integers(0, 2**31),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    low=st.floats(0.005, 0.1),
    ratio=st.floats(1, 20),
    radius=st.floats(0.8, 2.0),
    antialiased=st.booleans(),
    sh_count=st.sampled_from([0, 1, 4, 9, 16]),
    isa=st.sampled_from(ISAS),
)
def test_gradients_of_random_scenes(
    count, seed, width, height, low, ratio, radius, antialiased, sh_count, isa
):
    scene = cloud(count, seed, low=low, high=low * ratio, sh_count=sh_count)
    rng = np.random.default_rng(seed)
    cam = camera((width, height), azimuth=rng.uniform(0, 6), radius=radius)
    share_of_smooth(scene, cam, (width, height), Parameters(antialiased=antialiased, **SMOOTH), 1,
                    isa)  # fmt: skip


def test_bit_identical_over_threads_and_views():
    scene, size = cloud(3000, 7, low=0.02, high=0.2, sh_count=4), (203, 131)
    both = [camera(size, azimuth=a) for a in (0.1, 2)]
    cams = [np.stack([one[i] for one in both]) for i in (0, 1)]
    gradients, p = image_gradients(size, 1, views=2), Parameters()
    _, expected = backward(scene, cams, size, p, gradients, threads=1)
    for threads in (2, 5, 2):
        _, other = backward(scene, cams, size, p, gradients, threads=threads)
        assert other.tobytes() == expected.tobytes()
    for view in (0, 1):  # each view by itself
        one = [array[view : view + 1] for array in gradients]
        _, alone = backward(scene, [a[view : view + 1] for a in cams], size, p, one)
        assert alone.tobytes() == expected[view : view + 1].tobytes()
    _, grouped = backward(scene, cams, size, p, gradients, pair_budget=3000)
    np.testing.assert_allclose(grouped, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_asking_changes_no_gradient_of_the_splats():
    scene, size = cloud(500, 5, low=0.02, high=0.2), (80, 60)
    gradients, p = image_gradients(size, 2), Parameters()
    without, nothing = backward(scene, camera(size), size, p, gradients, cameras=False)
    assert nothing is None
    for name, array in backward(scene, camera(size), size, p, gradients)[0].items():
        assert array.tobytes() == without[name].tobytes()


def test_they_are_added():
    scene, size = cloud(50, 5), (40, 30)
    out = [np.zeros_like(a) for a in scene.arrays().values()]
    w2c, k = (a[None] for a in camera(size))
    parameters, to = _C.RasterParameters(), np.zeros((1, 8))
    images = image_gradients(size, 2)
    scene.model().backward(w2c, k, *size, parameters, *images, *out, to)
    once = to.copy()
    assert np.abs(once).min() > 0
    scene.model().backward(w2c, k, *size, parameters, *images, *out, to)
    np.testing.assert_array_equal(to, 2 * once)


def test_an_array_of_another_shape_is_refused():
    scene, size = cloud(5, 5), (8, 8)
    out = [np.zeros_like(a) for a in scene.arrays().values()]
    w2c, k = (a[None] for a in camera(size))
    with pytest.raises(ValueError, match=r"cameras has shape \[1, 6\]"):
        scene.model().backward(
            w2c, k, *size, _C.RasterParameters(), *image_gradients(size, 0), *out,
            np.zeros((1, 6)),
        )  # fmt: skip
