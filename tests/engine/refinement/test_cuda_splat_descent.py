"""The refinement on a GPU against that on the CPU, step by step."""

from dataclasses import replace

import numpy as np
import pytest
from csrc.implementations import DEVICES, open_device, shuffle
from samples.photographed_ball import ball, photographs, ring, shaken

from geolrm.engine.refinement.poses import Round, compare, refine_poses
from geolrm.engine.refinement.refine import descend, refine
from geolrm.engine.refinement.shading import directional, directional_rates
from geolrm.engine.refinement.targets import Targets
from geolrm.engine.refinement.visibility import blending_weights, drop_hidden

BALL, RING = ball(), ring()
SIZE = 32  # px: an emulated pixel takes its time


@pytest.fixture(scope="module", params=DEVICES)
def device(request):
    return open_device(request.param)


def start():
    """Fewer and other splats than the photographs show; none is round, so that turns matter."""
    some = BALL.select(np.arange(0, len(BALL), 8))
    scales = some.scales * np.float32([0.5, 0.8, 1.3])
    return replace(some, scales=scales, opacities=some.opacities * 0.9)


def targets(size=SIZE):
    return Targets.of(photographs(BALL, RING), size)


# Of the largest step of each: 2e-3 a mean, 0.15 a logit, 0.05 of a scale, 0.02 a quaternion.
TOLERANCES = {"means": 1e-5, "opacities": 1e-4, "scales": 1e-5, "quats": 1e-4}


def assert_like(got, expected):
    """Within some thousandths of what one step moves them by."""
    assert len(got) == len(expected)
    for name, most in TOLERANCES.items():
        ours, theirs = getattr(got, name), getattr(expected, name)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=most, err_msg=name)


@pytest.mark.parametrize("harmonics", [False, True])
def test_the_cpus_steps(device, harmonics):
    before, images = start(), targets()
    options = {"steps": 3, "together": 2, "seed": 1, "threads": 2}
    if harmonics:
        before = directional(before)
        options["rates"] = directional_rates(4)
    expected = descend(before, images, **options)
    got = descend(before, images, **options, gpu=device)
    assert_like(got, expected)
    color = "sh" if harmonics else "colors"
    ours, theirs, first = (getattr(g, color) for g in (got, expected, before))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert np.abs(theirs - first).max() > 0.02  # it has moved


def test_weights_count(device):
    images = targets()
    weighted = images.weighted(np.linspace(0.1, 1.0, len(images)))
    options = {"steps": 2, "together": 3, "seed": 0, "threads": 2}
    expected = descend(start(), weighted, **options)
    assert_like(descend(start(), weighted, **options, gpu=device), expected)
    plain = descend(start(), images, **options)
    assert np.abs(plain.means - expected.means).max() > 1e-4


def test_the_same_bits_every_time(device):
    options = {"steps": 2, "together": 2, "seed": 3, "threads": 2, "gpu": device}
    once = descend(start(), targets(), **options)
    shuffle(device, 11)
    again = descend(start(), targets(), **options)
    for name in (*TOLERANCES, "colors"):
        assert getattr(again, name).tobytes() == getattr(once, name).tobytes(), name


def test_cameras_go_along(device):
    views = photographs(BALL, shaken(RING, 1.0))
    before, part = start(), Round(steps=3, size=SIZE, most=2, rate=0.006, turn=1.0)
    alignment = compare(before, views, 2)
    options = {"given": views.c2w, "seed": 0, "threads": 2}
    expected, theirs = refine_poses(before, views, alignment, part, **options)
    got, ours = refine_poses(before, views, alignment, part, **options, gpu=device)
    assert_like(got, expected)
    np.testing.assert_allclose(ours.c2w, theirs.c2w, rtol=0, atol=2e-5)
    assert np.abs(theirs.c2w - views.c2w).max() > 2e-3
    np.testing.assert_allclose(ours.residual_after, theirs.residual_after, rtol=0, atol=0.02)


def test_what_nobody_sees_is_found_there_too(device):
    before, cameras = start(), RING
    expected = blending_weights(before, cameras, SIZE, 2)
    got = blending_weights(before, cameras, SIZE, gpu=device)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)
    assert len(drop_hidden(before.select([]), gpu=device)) == 0


def test_no_steps_change_nothing(device):
    before = start()
    assert refine(before, photographs(BALL, RING), steps=0, gpu=device) is before
