"""Colours by direction, for photographs whose light moves with the camera."""

from dataclasses import replace

import numpy as np
import pytest
from samples.photographed_ball import ball, photographs, ring

from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.geometry.harmonics import dc_of_colors
from geolrm.engine.refinement.budget import Budget
from geolrm.engine.refinement.learned import LearnedRefinement, LearnedSteps, rows_of
from geolrm.engine.refinement.poses import compare, refine_colors
from geolrm.engine.refinement.shading import (
    COEFFICIENTS,
    FEWEST_VIEWS,
    LIKE,
    directional,
    directional_rates,
    needs_shading,
    shade,
)
from geolrm.engine.refinement.splat_descent import to_parameters
from geolrm.engine.rendering.render import render
from geolrm.engine.views.preprocessing import join_views

BALL, RING = ball(), ring()
BETWEEN = Cameras.orbit([20.0, 110.0, 250.0], 0.0, 1.8, 50.0)
OPTIONS = {"seed": 0, "threads": 2}


def lit(cameras, size=64):
    """Photographs of the ball with a lamp on each camera: what faces it is bright."""
    views = []
    for index in range(len(cameras)):
        towards = cameras.c2w[index, :3, 3] / np.linalg.norm(cameras.c2w[index, :3, 3])
        normals = BALL.means / np.linalg.norm(BALL.means, axis=1, keepdims=True)
        light = 0.1 + 0.9 * (normals @ towards).clip(0, 1) ** 2
        seen = type(BALL)(
            BALL.means, BALL.opacities, BALL.scales, BALL.quats, BALL.colors * light[:, None]
        )
        views.append(photographs(seen, cameras[[index]], size))
    return join_views(views)


def psnr_inside(gaussians, views, cameras):
    size = views.images.shape[-1]
    drawn = render(gaussians, cameras, (size, size), background=[0, 0, 0]).rgb
    truth = views.foreground.transpose(0, 2, 3, 1)
    inside = truth[..., 3] > 0.9
    return -10 * np.log10(np.mean((drawn[inside] - truth[inside][:, :3]) ** 2))


def plainly(views):
    """Refine with plain colours."""
    budget = Budget.exactly(30)
    return refine_colors(BALL, views, compare(BALL, views, 2), budget, finer=None, **OPTIONS)[:2]


@pytest.fixture(scope="module")
def moving_light():
    views = lit(RING)
    plain, alignment = plainly(views)
    return views, plain, alignment


@pytest.fixture(scope="module")
def shaded(moving_light):
    views, plain, alignment = moving_light
    return shade(BALL, plain, views, lambda size: lit(RING, size // 4), alignment, **OPTIONS)


def test_light_that_moves_is_told_from_light_that_stands_still(moving_light):
    _, still = plainly(photographs(BALL, RING))
    assert not needs_shading(still) and still.likeness > LIKE + 4
    _, _, moving = moving_light
    assert needs_shading(moving) and moving.likeness < LIKE - 0.5
    assert not moving.shaded


class Evened:
    """Stands for a closing network: says of the splats what the fit of the photographs says."""

    def __init__(self, rows):
        self.rows = rows

    def run(self, inputs, outputs):
        outputs["moved"][:] = self.rows
        outputs["new_mean"][:] = outputs["new_square"][:] = 0


def test_a_closing_step_does_not_hide_a_light_that_moves():
    """Its splats may explain the photographs as it likes: the descent before it tells."""
    views = lit(RING)
    budget = Budget(30, 15)
    begun = replace(compare(BALL, views, 2), corrected=[0])  # no descent is done again
    bare = refine_colors(BALL, views, begun, budget, finer=None, **OPTIONS)[1]
    closing = LearnedSteps(Evened(rows_of(to_parameters(BALL))), 1, 64)
    made, closed, progress = refine_colors(
        BALL, views, begun, replace(budget, closes=True), finer=None,
        learned=LearnedRefinement(closing=closing), **OPTIONS,
    )  # fmt: skip
    assert progress.closing == 1
    np.testing.assert_array_equal(made.means, BALL.means)
    assert closed.likeness == bare.likeness < LIKE
    assert not np.array_equal(closed.residual_after, bare.residual_after)


def test_few_views_are_never_shaded_by_themselves():
    few = ring(FEWEST_VIEWS - 2)
    _, alignment = plainly(lit(few))
    assert alignment.likeness is not None and not needs_shading(alignment)


@pytest.mark.parametrize("moved", [False, True])
def test_wrong_poses_are_no_light(moving_light, moved):
    """Where poses were refined, what is left counts; else how the photographs lay at first."""
    _, _, moving = moving_light
    off, near = np.full(len(RING), 1.0), np.full(len(RING), 0.5)
    wrong = replace(
        moving, moved=moved, residual_before=near if moved else off,
        residual_after=off if moved else near,
    )  # fmt: skip
    assert not needs_shading(wrong)
    assert needs_shading(replace(wrong, residual_before=near, residual_after=near))
    # Poses that looked wrong until splats moved are right.
    assert needs_shading(replace(wrong, explained=True)) != moved


def test_views_that_were_held_out_come_nearer_to_the_truth(moving_light, shaded):
    views, plain, _ = moving_light
    gaussians, alignment = shaded
    held_out = lit(BETWEEN)
    before, after = (psnr_inside(g, held_out, BETWEEN) for g in (plain, gaussians))
    assert after > before + 1.2
    assert psnr_inside(gaussians, views, RING) > psnr_inside(plain, views, RING) + 3
    assert alignment.shaded and gaussians.sh.shape[1] == COEFFICIENTS


def test_the_same_bits_for_any_number_of_threads(moving_light, shaded):
    views, plain, alignment = moving_light
    again, _ = shade(
        BALL, plain, views, lambda size: lit(RING, size // 4), alignment, seed=0, threads=1
    )
    for name in ("means", "opacities", "scales", "quats", "sh"):
        np.testing.assert_array_equal(getattr(again, name), getattr(shaded[0], name))


def test_directional_colours_start_as_the_plain_ones():
    made = directional(BALL)
    assert made.colors is None and directional(made) is made
    np.testing.assert_array_equal(made.sh[:, 0], dc_of_colors(BALL.colors))
    assert not made.sh[:, 1:].any()
    drawn, expected = (render(g, RING, (32, 32)).rgb for g in (made, BALL))
    np.testing.assert_allclose(drawn, expected, atol=1e-5)


def test_a_step_of_the_mean_colour_is_what_it_is_for_plain_colours():
    rate = directional_rates(9)["color"]
    assert rate.shape == (1, 9, 1)
    assert rate[0, 0, 0] * 0.28209479 == pytest.approx(0.02)
    assert set(rate[0, 1:, 0]) == {rate[0, 0, 0] / 2}
