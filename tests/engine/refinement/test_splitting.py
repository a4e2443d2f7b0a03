"""Splats in two, where detail is left."""

from dataclasses import replace

import numpy as np
import pytest
from samples.photographed_ball import ball, photographs, ring

from geolrm import Gaussians
from geolrm.engine.refinement.splitting import (
    APART,
    SHRUNK,
    halved,
    joined,
    pixels_across,
    split_detail,
)
from geolrm.engine.refinement.targets import Targets

BALL, RING = ball(), ring()
TARGETS = Targets.of(photographs(BALL, RING))


def test_halves_lie_on_the_longest_axis_and_cover_what_the_whole_did():
    quarter = [np.sqrt(0.5), 0, 0, np.sqrt(0.5)]  # about z: x to y
    whole = Gaussians(
        [[0.1, 0, 0], [0, 0, 0]], [0.9, 0.5], [[0.04, 0.01, 0.01], [0.02, 0.02, 0.02]],
        [quarter, [1, 0, 0, 0]], colors=[[1, 0, 0], [0, 1, 0]],
    )  # fmt: skip
    made = halved(whole, np.array([0]))
    np.testing.assert_allclose(
        made.means, [[0, 0, 0], [0.1, APART * 0.04, 0], [0.1, -APART * 0.04, 0]], atol=1e-7
    )
    np.testing.assert_allclose(made.scales[1:], [[SHRUNK * 0.04, 0.01, 0.01]] * 2, rtol=1e-6)
    np.testing.assert_array_equal(made.colors, [[0, 1, 0], [1, 0, 0], [1, 0, 0]])
    np.testing.assert_allclose(made.opacities, [0.5, 0.9, 0.9])


def test_harmonics_are_split_as_harmonics():
    sh = np.zeros((len(BALL), 4, 3), np.float32)
    shaded = replace(BALL, colors=None, sh=sh)
    assert halved(shaded, np.array([3, 5])).sh.shape == (len(BALL) + 2, 4, 3)
    assert len(joined([shaded, shaded])) == 2 * len(BALL)


def test_those_are_split_that_answer_for_what_is_wrong():
    """One photograph shows stripes on one side: splats there are split, the others stay."""
    striped = TARGETS.premultiplied.copy()
    striped[0, ::2] *= 0.2
    targets = replace(TARGETS, premultiplied=striped)
    made = split_detail(BALL, targets, most=len(BALL) + 20, threads=2)
    assert len(made) == len(BALL) + 20
    fresh = made.means[len(BALL) - 20 :]
    towards = RING.c2w[0, :3, 3] / np.linalg.norm(RING.c2w[0, :3, 3])
    assert (fresh @ towards > 0.05).all()
    again = split_detail(BALL, targets, most=len(BALL) + 20, threads=1)
    assert again.means.tobytes() == made.means.tobytes()


def test_none_is_split_below_a_pixel_or_beyond_the_most():
    small = replace(BALL, scales=BALL.scales * 0.01)
    assert pixels_across(small, TARGETS).max() < 0.7
    assert split_detail(small, TARGETS, most=10_000) is small
    assert split_detail(BALL, TARGETS, most=len(BALL)) is BALL


def test_pixels_are_those_of_the_nearest_view():
    one = Gaussians([[0.0, 0, 0]], [0.5], [[0.1, 0.02, 0.02]], [[1.0, 0, 0, 0]], colors=[[0, 0, 0]])
    focal = RING.intrinsics[0, 0, 0] * 64
    distance = np.linalg.norm(RING.c2w[:, :3, 3], axis=1).min()
    assert pixels_across(one, TARGETS)[0] == pytest.approx(0.1 * focal / distance, rel=1e-4)
