"""How the photographs lie to a scene."""

from dataclasses import replace

import numpy as np
import pytest
from samples.photographed_ball import ball, photographs, ring

from geolrm import Cameras
from geolrm.engine.geometry.motions import motion
from geolrm.engine.refinement.alignment import (
    Alignment,
    color_matrices,
    likeness,
    misalignment,
    only_stained,
    stained,
    view_weights,
)
from geolrm.engine.refinement.targets import Targets, on_black

BALL, RING = ball(), ring()
TARGETS = Targets.of(photographs(BALL, RING, 128))
DRAWN = on_black(BALL, TARGETS, 2)


def warm(matrix, view=3):
    matrices = np.tile(np.eye(3), (len(RING), 1, 1))
    matrices[view] = matrix
    return TARGETS.recolored(matrices)


def test_what_fits_is_not_off():
    assert misalignment(DRAWN, TARGETS).max() < 1e-4


@pytest.mark.parametrize(("pixels", "tolerance"), [(0.5, 0.05), (1.0, 0.1), (2.0, 0.4)])
def test_a_shift_is_measured_in_pixels(pixels, tolerance):
    """Of a camera that turns so far that the image moves by so much."""
    focal = TARGETS.frame.intrinsics[0, 0, 0]
    w2c = TARGETS.frame.w2c.copy()
    w2c[2, :3] = np.array([[1, 0, pixels / focal], [0, 1, 0], [-pixels / focal, 0, 1]]) @ w2c[2, :3]
    u, _, vt = np.linalg.svd(w2c[2, :3, :3])
    w2c[2, :3, :3] = u @ vt
    found = misalignment(on_black(BALL, TARGETS.seen_from(w2c), 2), TARGETS)
    assert found[2] == pytest.approx(pixels, abs=tolerance)
    assert np.delete(found, 2).max() < 1e-3


def test_a_shift_of_the_whole_scene_is_no_view_s_fault():
    shift = np.array([0.01, -0.006, 0.008])
    moved = BALL.transformed(motion(np.zeros(3), shift, np.zeros(3)))
    drawn = on_black(moved, TARGETS, 2)
    assert misalignment(drawn, TARGETS).max() < 0.1
    two = TARGETS[[0, 1]]  # too few to tell
    assert misalignment(on_black(moved, two, 2), two).min() > 0.5


def test_the_colours_of_a_warm_photograph_are_found_and_those_of_the_others_stay():
    matrix = np.diag([1.2, 1.0, 0.85])
    colors = color_matrices(DRAWN, warm(matrix))
    assert stained(colors) == [3]
    np.testing.assert_allclose(colors[3] @ matrix @ [0.5, 0.5, 0.5], [0.5] * 3, atol=0.06)
    np.testing.assert_allclose(np.delete(colors, 3, 0), np.tile(np.eye(3), (7, 1, 1)), atol=0.02)
    kept = only_stained(colors)
    np.testing.assert_array_equal(kept[3], colors[3])
    np.testing.assert_array_equal(np.delete(kept, 3, 0), np.tile(np.eye(3), (7, 1, 1)))


def test_what_all_photographs_share_is_no_stain():
    shared = TARGETS.recolored(np.tile(np.diag([1.2, 1.0, 0.8]), (len(RING), 1, 1)))
    assert stained(color_matrices(DRAWN, shared)) == []


def test_a_view_that_fits_far_worse_than_the_others_counts_less():
    noisy = replace(TARGETS, premultiplied=TARGETS.premultiplied + 0.01)
    assert view_weights(DRAWN, noisy).min() == 1
    colors = noisy.premultiplied.copy()
    colors[5] = colors[5][::-1]
    weights = view_weights(DRAWN, replace(noisy, premultiplied=colors))
    assert weights[5] < 0.25 and np.delete(weights, 5).min() == 1


def test_what_is_not_valid_says_nothing():
    noisy = replace(TARGETS, premultiplied=TARGETS.premultiplied + 0.01)
    colors, valid = noisy.premultiplied.copy(), np.ones_like(TARGETS.alpha)
    colors[5, :64], valid[5, :64] = 1, 0
    covered = replace(noisy, premultiplied=colors, valid=valid, weights=valid)
    assert view_weights(DRAWN, covered).min() == 1
    assert misalignment(DRAWN, covered)[5] < 0.2
    assert misalignment(DRAWN, replace(covered, valid=None, weights=None))[5] > 0.4


def test_views_out_of_line_are_named_by_their_weight():
    v = np.ones(4)
    weights = np.array([1, 0.2, 0.6, 1])
    alignment = Alignment(RING.c2w[:4], True, v, v, weights, np.tile(np.eye(3), (4, 1, 1)))
    assert alignment.out_of_line == [1]


def test_fine_detail_and_outlines_are_not_light():
    """An error that changes from pixel to pixel, and one at the edge, count for little."""
    plain = np.tile(np.eye(3), (len(RING), 1, 1))
    rows, columns = np.mgrid[:128, :128]
    inside = TARGETS.alpha > 0.9
    checks = 0.1 * (-1.0) ** (rows + columns)
    shade = 0.1 * np.sign(columns - 63.5)
    edge = inside & ~np.roll(inside, 1, axis=1)
    found = {}
    for name, error in (("checks", checks), ("edge", 0.5 * edge), ("shade", shade)):
        rgb = TARGETS.premultiplied + (error * inside)[..., None].astype(np.float32)
        found[name] = likeness(replace(DRAWN, rgb=rgb), TARGETS, plain)
    assert found["checks"] > 35 and found["edge"] > 60
    assert 20 < found["shade"] < 22  # 20 dB, less what the smoothing takes at the step


def test_an_object_of_few_pixels_tells_nothing_of_light():
    far = Cameras.orbit(np.arange(8) * 45, 20.0, 8.0, 50.0)
    small = Targets.of(photographs(BALL, far, 128))
    assert likeness(DRAWN, small, np.tile(np.eye(3), (len(far), 1, 1))) is None
