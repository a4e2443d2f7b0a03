"""The comparison of views with targets, in one walk, against rendering and going back."""

import numpy as np
import pytest
from csrc.implementations import ISAS
from csrc.scenes import camera, cloud
from hypothesis import given, settings
from hypothesis import strategies as st

from geolrm import _C

NUMBERS = {"huber": 0.02, "slope": 0.1, "square_share": 0.5, "alpha_share": 1.0, "factor": 1.0}
BACKGROUND = (0.2, 0.5, 0.9)


def framed(size, views=1, **parameters):
    cams = [camera(size, azimuth=0.4 + 1.3 * v, shift=(v, -2 * v)) for v in range(views)]
    w2c, k = (np.stack([c[i] for c in cams]) for i in (0, 1))
    return w2c, k, *size, _C.RasterParameters(background=BACKGROUND, **parameters)


def targets_of(size, count, seed, weighted=False):
    rng = np.random.default_rng(seed)
    draw = lambda *s: rng.uniform(size=s).astype(np.float32)  # noqa: E731
    shape = (count, size[1], size[0])
    alpha = draw(*shape)
    return draw(*shape, 3) * alpha[..., None], alpha, draw(*shape) if weighted else None


def errors_of(scene, frame, targets, chosen, **options):
    """The errors of the finished images: colours, then alpha."""
    shape = (len(chosen), frame[3], frame[2])
    rgb, alpha, depth = (np.empty(s, np.float32) for s in ((*shape, 3), shape, shape))
    scene.model().render(*frame, rgb, alpha, depth, **options)
    wanted, wanted_alpha = targets[0][chosen], targets[1][chosen]
    background = (1 - wanted_alpha[..., None]) * np.float32(BACKGROUND)
    return rgb - wanted - background, alpha - wanted_alpha


def in_two_calls(scene, frame, targets, chosen, numbers, **options):
    """What the comparison does, by a render, NumPy and the way back."""
    error, of_alpha = errors_of(scene, frame, targets, chosen, **options)
    n = {name: np.float32(value) for name, value in numbers.items()}
    weights = 1 if targets[2] is None else targets[2][chosen]
    to_rgb = n["slope"] * np.clip(error / n["huber"], -1, 1) + n["square_share"] * error
    to_rgb = to_rgb * np.asarray(weights, np.float32)[..., None] * n["factor"]
    to_alpha = n["alpha_share"] * of_alpha * np.asarray(weights, np.float32) * n["factor"]
    out, cameras = zeros(scene), np.zeros((len(chosen), 8))
    images = (to_rgb, to_alpha, np.zeros_like(to_alpha))
    scene.model().backward(*frame, *images, *out.values(), cameras, **options)
    return out, cameras


def compare(scene, frame, targets, chosen, numbers=NUMBERS, *, cameras=True, **options):
    out, to_cameras = zeros(scene), np.zeros((len(chosen), 8)) if cameras else None
    losses = scene.model().compare(
        *frame, *targets, chosen, _C.ImageLoss(**numbers), *out.values(), to_cameras, **options
    )
    return out, to_cameras, losses


def zeros(scene):
    return {name: np.zeros_like(array) for name, array in scene.arrays().items()}


def loss_of(scene, frame, targets, chosen, numbers):
    """The loss of each view, in double."""
    error, of_alpha = (
        np.abs(e.astype(np.float64)) for e in errors_of(scene, frame, targets, chosen)
    )
    huber, slope = numbers["huber"], numbers["slope"]
    of_rgb = slope * np.where(error < huber, error**2 / (2 * huber), error - huber / 2)
    of_rgb += numbers["square_share"] / 2 * error**2
    each = of_rgb.sum(-1) + numbers["alpha_share"] / 2 * of_alpha**2
    weights = 1 if targets[2] is None else targets[2][chosen]
    return (each * weights * numbers["factor"]).sum((1, 2))


def assert_same(got, expected):
    for name, array in expected[0].items():
        np.testing.assert_array_equal(got[0][name], array, err_msg=name)
    np.testing.assert_array_equal(got[1], expected[1])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("sh_count", [0, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_render_and_the_way_back_to_the_last_bit(isa, sh_count, weighted):
    scene, size = cloud(900, 5, low=0.01, high=0.1, sh_count=sh_count), (131, 94)
    frame, targets = framed(size, 2), targets_of(size, 4, 1, weighted)
    numbers = {**NUMBERS, "factor": 4.0}
    got = compare(scene, frame, targets, [3, 1], numbers, isa=isa)
    assert_same(got, in_two_calls(scene, frame, targets, [3, 1], numbers, isa=isa))
    assert np.abs(got[0]["means"]).max() > 1
    expected = loss_of(scene, frame, targets, [3, 1], numbers)
    np.testing.assert_allclose(got[2], expected, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(0, 60),
    seed=st.integers(0, 2**31),
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    tile_size=st.sampled_from([32, 64]),
    opaque=st.booleans(),
    isa=st.sampled_from(ISAS),
)
def test_any_size(count, seed, width, height, tile_size, opaque, isa):
    scene, size = cloud(count, seed, low=0.02, high=0.3), (width, height)
    if opaque:  # pixels are finished, some by one splat alone
        scene.opacities[:] = 1 - 1e-3 * scene.opacities
    frame, targets = framed(size, alpha_max=0.9995), targets_of(size, 1, seed, True)
    options = {"isa": isa, "tile_size": tile_size}
    got = compare(scene, frame, targets, [0], **options)
    assert_same(got, in_two_calls(scene, frame, targets, [0], NUMBERS, **options))
    np.testing.assert_allclose(
        got[2], loss_of(scene, frame, targets, [0], NUMBERS), rtol=1e-4, atol=1e-6
    )


def test_instruction_sets_agree():
    scene, size = cloud(500, 3, low=0.02, high=0.2), (80, 60)
    frame, targets = framed(size), targets_of(size, 1, 1)
    first, *others = (compare(scene, frame, targets, [0], isa=isa) for isa in ISAS)
    for other in others:
        for name, array in other[0].items():
            np.testing.assert_allclose(
                array, first[0][name], rtol=1e-3, atol=1e-3 * np.abs(first[0][name]).max()
            )
        np.testing.assert_allclose(other[2], first[2], rtol=1e-5)


def test_threads_and_groups_of_tiles():
    scene, size = cloud(3000, 7, low=0.02, high=0.2), (203, 131)
    frame, targets = framed(size, 2), targets_of(size, 2, 1, True)
    expected = compare(scene, frame, targets, [0, 1], threads=1)
    for threads in range(2, 9):
        got = compare(scene, frame, targets, [0, 1], threads=threads)
        assert_same(got, expected)
        assert got[2].tobytes() == expected[2].tobytes()
    grouped = compare(scene, frame, targets, [0, 1], threads=2, pair_budget=3000)
    for name, array in grouped[0].items():  # sums per group: the same up to rounding
        np.testing.assert_allclose(
            array, expected[0][name], rtol=1e-3, atol=1e-5 * np.abs(expected[0][name]).max()
        )
    np.testing.assert_array_equal(grouped[2], expected[2])


def test_gradients_are_added_and_cameras_are_optional():
    scene, size = cloud(200, 2, low=0.02, high=0.2), (40, 30)
    frame, targets = framed(size), targets_of(size, 1, 1)
    expected, _, losses = compare(scene, frame, targets, [0])
    out = {name: np.ones_like(array) for name, array in scene.arrays().items()}
    found = scene.model().compare(
        *frame, *targets, [0], _C.ImageLoss(**NUMBERS), *out.values(), threads=2
    )
    np.testing.assert_array_equal(found, losses)
    for name, array in expected.items():
        np.testing.assert_allclose(out[name], array + 1, rtol=1e-6, atol=1e-6)


def test_a_nan_in_a_target_reaches_the_splats_of_its_pixel_and_the_loss():
    scene, size = cloud(100, 4, low=0.1, high=0.2), (24, 18)
    frame, targets = framed(size, 2), targets_of(size, 2, 1)
    targets[0][0, 9, 12, 1] = np.nan
    got = compare(scene, frame, targets, [0, 1])
    assert_same(got, in_two_calls(scene, frame, targets, [0, 1], NUMBERS))
    assert np.isnan(got[0]["means"]).any() and not np.isnan(got[0]["means"]).all()
    np.testing.assert_array_equal(np.isnan(got[2]), [True, False])


def test_nothing_to_render_is_still_compared():
    size = (70, 9)
    frame, targets = framed(size), targets_of(size, 1, 0)
    scene = cloud(0, 0)
    out, _, losses = compare(scene, frame, targets, [0])
    assert out["means"].shape == (0, 3)
    np.testing.assert_allclose(losses, loss_of(scene, frame, targets, [0], NUMBERS), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"chosen": [0]}, "chosen has 1 targets; it must name one for each of the 2 cameras"),
        ({"chosen": [0, 3]}, "chosen has target 3; there are 3, counted from 0"),
        ({"chosen": [-1, 0]}, "chosen has target -1; there are 3, counted from 0"),
        ({"premultiplied": np.zeros((3, 9, 8, 3), np.float32)},
         r"premultiplied has shape \[3, 9, 8, 3\]; it must be \[N, 9, 7, 3\]"),
        ({"alpha": np.zeros((2, 9, 7), np.float32)},
         r"the target's alpha has shape \[2, 9, 7\]; it must be \[3, 9, 7\]"),
        ({"weights": np.zeros((2, 9, 7), np.float32)},
         r"weights has shape \[2, 9, 7\]; it must be \[3, 9, 7\]"),
        ({"huber": 0.0}, "huber is 0.0; it must be a positive number: the error from where"),
        ({"huber": float("nan")}, "huber is nan; it must be a positive number"),
    ],
)  # fmt: skip
def test_errors(change, text):
    size = (7, 9)
    names = ("premultiplied", "alpha", "weights")
    call = {**dict(zip(names, targets_of(size, 3, 0, True), strict=True)), **change}
    with pytest.raises(ValueError, match=text):
        compare(
            cloud(5, 0), framed(size, 2), [call[name] for name in names],
            call.get("chosen", [0, 1]), {**NUMBERS, "huber": call.get("huber", 0.02)},
        )  # fmt: skip
