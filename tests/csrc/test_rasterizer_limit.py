"""Where rounding decides which splat is a pixel's last: by how much an image can differ then."""

import numpy as np
import pytest
from csrc.implementations import ISAS
from csrc.scenes import Scene, assert_close, camera, cloud, draw, draw_on_device, truth
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.rasterizer import Parameters, project

from geolrm import _C
from geolrm.engine.rendering.splat_plan import BUDGET

SIDE, STEP, FOCAL = 16, 12, 100.0
PIXELS = np.arange(SIDE) * STEP + STEP // 2


def in_front_of_the_grid(centres, z):
    """Means [N, 3] seen at pixel coordinates [N, 2]."""
    across = (centres - SIDE * STEP / 2) / FOCAL * z
    return np.concatenate([across, np.full((len(centres), 1), z)], 1)


def two_a_pixel(first, second, shift=0.0) -> tuple[Scene, tuple, tuple[int, int]]:
    """At every 12th pixel a splat in its middle and, behind, one `shift` px beside the middle."""
    x, y = np.meshgrid(PIXELS, PIXELS)
    centres = np.stack([x.ravel(), y.ravel()], 1) + 0.5
    count = len(centres)
    f = lambda a: np.ascontiguousarray(a, np.float32)  # noqa: E731
    means = [in_front_of_the_grid(centres, 1.0), in_front_of_the_grid(centres + shift, 2.0)]
    scene = Scene(
        f(np.concatenate(means)),
        f(np.concatenate([first, second])),
        f(np.full((2 * count, 3), 1e-4)),
        f(np.tile([1, 0, 0, 0], (2 * count, 1))),
        f(np.zeros((2 * count, 3))),
    )
    size = (SIDE * STEP, SIDE * STEP)
    k = np.array([[FOCAL, 0, size[0] / 2], [0, FOCAL, size[1] / 2], [0, 0, 1]])
    return scene, (np.eye(4), k), size


def pairs_on_the_limit(alpha_max: float):
    """Pixels behind a splat that leaves 1e-4 / (1 - alpha_max), give or take a few ulp."""
    count = SIDE * SIDE
    first = np.float32(1 - 1e-4 / (1 - alpha_max))
    ulps = np.arange(count) - count // 2
    opacities = (first.view(np.int32) + ulps.astype(np.int32)).view(np.float32)
    return two_a_pixel(opacities, np.ones(count))


@pytest.mark.parametrize("alpha_max", [0.992, 0.995, 0.999])
def test_the_largest_difference_at_the_limit(alpha_max):
    scene, cam, size = pairs_on_the_limit(alpha_max)
    p = Parameters(alpha_max=alpha_max)
    image, expected = draw(scene, cam, size, p=p), truth(scene, cam, size, p=p)
    most = 1.001e-4 / (1 - alpha_max)
    assert np.abs(image.alpha[0] - expected["alpha"]).max() <= most
    assert np.abs(image.rgb[0] - expected["rgb"]).max() <= most  # black before white
    for alpha in (image.alpha[0], expected["alpha"]):
        added = alpha[np.ix_(PIXELS, PIXELS)] > 1 - 0.5 * most
        assert 0.1 < added.mean() < 0.9  # both fates: the second splat is added, or it is not


def left_behind(scene: Scene, cam, size, p: Parameters) -> np.ndarray:
    """T behind both splats of each pixel in double, over the limit [SIDE, SIDE]."""
    geometry = [a.astype(np.float64) for a in list(scene.arrays().values())[:4]]
    s = project(*geometry, *cam, size, p)
    dx, dy = (np.floor(s.mean) + 0.5 - s.mean).T
    a, b, c = s.conic.T
    power = 0.5 * (a * dx**2 + c * dy**2) + b * dx * dy
    alpha = np.minimum(p.alpha_max, s.opacity * np.exp(-power))
    left = np.prod((1 - alpha).reshape(2, SIDE * SIDE), 0)
    return (left / p.transmittance_min).reshape(SIDE, SIDE)


def last_splats_near_the_limit(p: Parameters):
    """One of 0.9, then one that leaves 0.001, give or take a thousandth, of what it meets.

    Float loses a few 1e-4 of the latter in 1 - alpha.
    """
    shift, count = 0.0151, SIDE * SIDE
    sigma = shift**2 / p.eps2d
    leaves = 1e-3 * (1 + np.linspace(-1e-3, 1e-3, count))
    opacities = np.float32((1 - leaves) * np.exp(sigma))
    return two_a_pixel(np.full(count, 0.9), opacities, shift)


@pytest.mark.parametrize("isa", ISAS)
def test_double_decides_where_much_hangs_on_it(isa):
    p = Parameters(alpha_max=0.9995)
    scene, cam, size = last_splats_near_the_limit(p)
    left = left_behind(scene, cam, size, p)
    near = np.abs(left - 1) < 5e-4
    assert near.mean() > 0.4
    decided = np.abs(left - 1) > 1e-9
    assert decided.mean() > 0.99
    added = left > 1
    assert 0.2 < added[near & decided].mean() < 0.8
    expected = truth(scene, cam, size, p=p)
    for options in ({}, {"tile_size": 32}, {"pair_budget": 100}, {"cull": False}):
        image = draw(scene, cam, size, p=p, isa=isa, **options)
        off = np.abs(image.alpha[0] - expected["alpha"])[np.ix_(PIXELS, PIXELS)]
        assert off[decided].max() < 1e-5
        got = image.alpha[0][np.ix_(PIXELS, PIXELS)] > 0.95
        np.testing.assert_array_equal(got[decided], added[decided])

    # Backwards the same splats are the last: the weight is the gradient of the colour.
    shape = (1, size[1], size[0])
    none = np.zeros(shape, np.float32)
    images = (np.ones((*shape, 3), np.float32), none, none)
    out = {name: np.zeros_like(array) for name, array in scene.arrays().items()}
    pose, parameters = (cam[0][None], cam[1][None]), _C.RasterParameters(**vars(p))
    scene.model().backward(*pose, *size, parameters, *images, *out.values(), isa=isa)
    weights = out["colors"][SIDE * SIDE :, 0].reshape(SIDE, SIDE)
    # What these give to the pixels around, and 0.1 more where they are added in the middle.
    np.testing.assert_array_equal((weights > 0.81)[decided], added[decided])
    assert np.ptp(weights[added & decided]) < 1e-3


def where_the_front_decides():
    """T in front of the last splat is off by some 1e-7 in float: that alone decides here."""
    p, count = Parameters(alpha_max=0.9995), SIDE * SIDE
    scene, cam, size = two_a_pixel(np.full(count, 0.95), np.full(count, 0.5))
    scene.means[:count, :2] += np.float32(0.2 / FOCAL)  # beside the middle: exp is rounded
    half = left_behind(scene, cam, size, p) * p.transmittance_min
    scene.opacities[count:] = np.float32(1 - p.transmittance_min * 0.5 / half.ravel())
    left = left_behind(scene, cam, size, p)
    added = left > 1
    assert np.abs(left - 1).max() < 1e-3
    assert np.sum(np.abs(left - 1) < 2e-6) > 3
    assert 0.2 < added.mean() < 0.8
    return scene, cam, size, p, added


@pytest.mark.parametrize("isa", ISAS)
def test_what_lies_in_front_is_taken_in_double_too(isa):
    scene, cam, size, p, added = where_the_front_decides()
    for options in ({}, {"tile_size": 32}, {"pair_budget": 100}, {"cull": False}):
        image = draw(scene, cam, size, p=p, isa=isa, **options)
        got = image.alpha[0][np.ix_(PIXELS, PIXELS)] > 0.95
        np.testing.assert_array_equal(got, added)


@pytest.mark.parametrize("budget", [BUDGET, 1 << 17])
def test_a_gpu_decides_as_the_cpu_does(device, budget):
    p = Parameters(alpha_max=0.9995)
    scene, cam, size = last_splats_near_the_limit(p)
    scene.colors[:] = np.linspace(0, 1, scene.colors.size, dtype=np.float32).reshape(-1, 3)
    expected = draw(scene, cam, size, p=p)
    image = draw_on_device(device, scene, [cam], size, p=p, budget=budget)
    decided = np.abs(left_behind(scene, cam, size, p) - 1) > 1e-9
    for name in ("rgb", "alpha", "depth"):
        ours, theirs = (getattr(i, name)[0][np.ix_(PIXELS, PIXELS)] for i in (image, expected))
        assert np.abs(ours - theirs)[decided].max() < 1e-5, name


def test_a_gpu_takes_what_lies_in_front_in_double_too(device):
    scene, cam, size, p, added = where_the_front_decides()
    image = draw_on_device(device, scene, [cam], size, p=p)
    got = image.alpha[0][np.ix_(PIXELS, PIXELS)] > 0.95
    np.testing.assert_array_equal(got, added)


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 300),
    seed=st.integers(0, 2**31),
    low=st.floats(0.005, 0.1),
    ratio=st.floats(1, 20),
    transparency=st.floats(1e-4, 0.1),
    alpha_max=st.sampled_from([0.99, 0.995, 0.999, 0.9999]),
    isa=st.sampled_from(ISAS),
)
def test_nearly_opaque_scenes(count, seed, low, ratio, transparency, alpha_max, isa):
    scene, size = cloud(count, seed, low=low, high=low * ratio), (120, 90)
    scene.opacities[:] = 1 - transparency * scene.opacities
    cam, p = camera(size, radius=1.3), Parameters(alpha_max=alpha_max)
    assert_close(draw(scene, cam, size, p=p, isa=isa), truth(scene, cam, size, p=p))
