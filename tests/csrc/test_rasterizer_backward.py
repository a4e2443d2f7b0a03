"""Gradients against central differences of the double-precision reference."""

import numpy as np
import pytest
from csrc.implementations import ISAS
from csrc.scenes import Scene, camera, cloud
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.rasterizer import Parameters, render

from geolrm import _C

# Alpha's cut-off at alpha_min is a step, where differences mean nothing: make it tiny here.
SMOOTH = {"alpha_min": 1e-6, "transmittance_min": 1e-9}


def image_gradients(size, seed, views=1):
    rng = np.random.default_rng(seed)
    shape = (views, size[1], size[0])
    draw = lambda *s: rng.normal(size=s).astype(np.float32)  # noqa: E731
    return draw(*shape, 3), draw(*shape), draw(*shape)


def backward(scene: Scene, cam, size, p: Parameters, gradients, **options):
    out = {name: np.zeros_like(array) for name, array in scene.arrays().items()}
    w2c, k = (np.asarray(a)[None] if np.ndim(a) == 2 else a for a in cam)
    scene.model().backward(
        w2c, k, *size, _C.RasterParameters(**vars(p)), *gradients, *out.values(), **options
    )
    return out


def loss(arrays, cam, size, p, gradients):
    geometry = [arrays[n] for n in ("means", "opacities", "scales", "quats")]
    image = render(*geometry, *cam, size, colors=arrays.get("colors"), sh=arrays.get("sh"), p=p)
    names = ("rgb", "alpha", "depth")
    return sum(float((image[n] * g[0]).sum()) for n, g in zip(names, gradients, strict=True))


def differences(scene: Scene, cam, size, p, gradients, chosen, step):
    arrays = {name: array.astype(np.float64) for name, array in scene.arrays().items()}
    values = {}
    for name, indices in chosen.items():
        values[name] = np.zeros(len(indices))
        flat = arrays[name].reshape(-1)
        for i, index in enumerate(indices):
            start = flat[index]
            sides = []
            for sign in (1, -1):
                flat[index] = start + sign * step
                sides.append(loss(arrays, cam, size, p, gradients))
            flat[index] = start
            values[name][i] = (sides[0] - sides[1]) / (2 * step)
    return values


def assert_gradients(scene, cam, size, p, seed, isa="", count=12):
    gradients = image_gradients(size, seed)
    ours = backward(scene, cam, size, p, gradients, isa=isa)
    rng = np.random.default_rng(seed)
    chosen = {n: rng.permutation(a.size)[:count] for n, a in scene.arrays().items()}
    coarse, fine = (differences(scene, cam, size, p, gradients, chosen, s) for s in (2e-5, 1e-5))
    for name, indices in chosen.items():
        scale = np.abs(ours[name]).max() + 1e-6
        # Where two steps disagree a pixel crossed an edge: finishing, clamping, clipping.
        smooth = np.abs(coarse[name] - fine[name]) < 2e-4 * np.abs(fine[name]) + 2e-5 * scale
        got, expected = ours[name].reshape(-1)[indices], fine[name]
        off = np.abs(got - expected) - 1e-3 * np.abs(expected) - 1e-4 * scale
        assert np.isfinite(ours[name]).all(), name
        assert (off[smooth] <= 0).all(), (name, got[smooth], expected[smooth])
        yield name, smooth.mean()


@pytest.mark.parametrize(
    ("sh_count", "antialiased"), [(0, False), (0, True), (16, False), (4, True)]
)
def test_gradients(sh_count, antialiased):
    scene, size = cloud(60, 3, low=0.02, high=0.2, sh_count=sh_count), (40, 30)
    scene.opacities[:] = np.clip(scene.opacities, 0.01, 0.98)
    p = Parameters(antialiased=antialiased, background=(0.2, 0.5, 1.0), **SMOOTH)
    cam = camera(size, shift=(3, -2), aspect=1.1)
    for name, share in assert_gradients(scene, cam, size, p, 1, count=20):
        assert share > 0.7, name


def test_isas_agree():
    scene, size = cloud(500, 3, low=0.02, high=0.2), (80, 60)
    gradients, p = image_gradients(size, 1), Parameters()
    first, *others = (backward(scene, camera(size), size, p, gradients, isa=i) for i in ISAS)
    for other in others:
        for name, array in other.items():
            np.testing.assert_allclose(
                array, first[name], rtol=1e-3, atol=1e-3 * np.abs(first[name]).max()
            )


def test_gradients_when_saturated_and_clipped():
    scene, size = cloud(80, 4, low=0.1, high=0.5), (40, 30)
    scene.opacities[:] = np.where(scene.opacities > 0.4, 0.97, 0.3)
    p = Parameters(alpha_max=0.9, alpha_min=1e-6)
    for name, share in assert_gradients(scene, camera(size, radius=0.9, fov=1.4), size, p, 2):
        assert share > 0.5, name


@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(1, 25),
    seed=st.integers(0, 2**31),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    low=st.floats(0.005, 0.1),
    ratio=st.floats(1, 20),
    radius=st.floats(0.2, 2.0),
    antialiased=st.booleans(),
    alpha_max=st.sampled_from([0.5, 0.99]),
    isa=st.sampled_from(ISAS),
)
def test_gradients_of_random_scenes(
    count, seed, width, height, low, ratio, radius, antialiased, alpha_max, isa
):
    scene, size = cloud(count, seed, low=low, high=low * ratio), (width, height)
    rng = np.random.default_rng(seed)
    cam = camera(size, azimuth=rng.uniform(0, 6), radius=radius, fov=rng.uniform(0.4, 1.6))
    p = Parameters(antialiased=antialiased, alpha_max=alpha_max, **SMOOTH)
    for _ in assert_gradients(scene, cam, size, p, seed, isa, count=5):
        pass


def test_bit_identical_over_threads_and_groups():
    scene, size = cloud(3000, 7, low=0.02, high=0.2), (203, 131)
    gradients = image_gradients(size, 1)
    cam, p = camera(size), Parameters()
    expected = backward(scene, cam, size, p, gradients, threads=1)
    for options in ({"threads": 2}, {"threads": 5}, {"threads": 2}):
        for name, array in backward(scene, cam, size, p, gradients, **options).items():
            assert array.tobytes() == expected[name].tobytes(), (name, options)
    grouped = backward(scene, cam, size, p, gradients, threads=2, pair_budget=3000)
    for name, array in grouped.items():  # sums per group: the same up to rounding
        np.testing.assert_allclose(
            array, expected[name], rtol=1e-3, atol=1e-5 * np.abs(expected[name]).max()
        )


def test_views_add_up():
    scene, size = cloud(200, 8), (50, 40)
    cams = [camera(size, azimuth=a) for a in (0.1, 2.0)]
    gradients, p = image_gradients(size, 3, views=2), Parameters()
    both = backward(scene, [np.stack([c[i] for c in cams]) for i in (0, 1)], size, p, gradients)
    single = [backward(scene, cams[v], size, p, [g[v : v + 1] for g in gradients]) for v in (0, 1)]
    for name, array in both.items():
        np.testing.assert_allclose(
            array,
            single[0][name] + single[1][name],
            rtol=1e-4,
            atol=1e-6 * np.abs(array).max(),
        )


def test_nothing_to_do():
    size = (9, 7)
    out = backward(cloud(0, 0), camera(size), size, Parameters(), image_gradients(size, 0))
    assert out["means"].shape == (0, 3)
