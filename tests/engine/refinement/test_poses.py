"""Poses refined with the splats."""

from dataclasses import replace

import numpy as np
import pytest
from samples.photographed_ball import ball, photographs, ring, shaken

from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.geometry.motions import common_motion, motion, rotation_vector
from geolrm.engine.geometry.similarity import move_poses
from geolrm.engine.refinement.budget import Budget
from geolrm.engine.refinement.poses import (
    Round,
    compare,
    moved_views,
    poses_look_wrong,
    refine_colors,
    refine_poses,
    splats_explain,
)
from geolrm.engine.refinement.refine import refine

BALL, RING = ball(), ring()
WRONG = shaken(RING, 1.0)
PART = Round(steps=60, size=64, most=4, rate=0.006, turn=2.5, share=0.5)


def turned_degrees(c2w):
    """The root mean square angle to the true cameras, after what all share is taken out."""
    back = move_poses(c2w, common_motion(RING.c2w, c2w, np.zeros(3)))
    motions = back @ np.linalg.inv(RING.c2w)
    return np.rad2deg(np.sqrt(np.mean([np.sum(rotation_vector(m[:3, :3]) ** 2) for m in motions])))


@pytest.fixture(scope="module")
def refined():
    views = photographs(BALL, RING, poses=WRONG)
    before = compare(BALL, views, 2)
    gaussians, alignment = refine_poses(
        BALL, views, before, PART, given=views.c2w, seed=0, threads=2
    )
    return views, before, gaussians, alignment


def test_wrong_poses_are_told_from_right_ones():
    assert not poses_look_wrong(compare(BALL, photographs(BALL, RING), 2))
    assert poses_look_wrong(compare(BALL, photographs(BALL, RING, poses=WRONG), 2))


def test_splats_that_move_explain_photographs_from_right_poses_alone():
    """What the network laid aside looks like wrong poses, until its splats have moved."""
    turned = motion([0, 0, np.deg2rad(4)], np.zeros(3), np.zeros(3))
    aside = BALL.transformed(turned)
    right, wrong = photographs(BALL, RING, 128), photographs(BALL, RING, 128, poses=WRONG)
    for views, explained in ((right, True), (wrong, False)):
        found = compare(aside, views, 2)
        assert poses_look_wrong(found)
        near = replace(found, residual_before=np.full(len(views), 1.2))
        assert splats_explain(aside, views, near, seed=0, threads=2) == explained
        far = replace(found, residual_before=np.full(len(views), 1.6))
        assert not splats_explain(aside, views, far, seed=0, threads=2)
    few = photographs(BALL, RING[[0, 1, 2, 3, 4]], 128)  # too few to contradict each other
    assert not splats_explain(aside, few, compare(aside, few, 2), seed=0, threads=2)


def test_wrong_poses_are_brought_in_line(refined):
    views, before, gaussians, alignment = refined
    after = compare(gaussians, moved_views(views, alignment.c2w), 2, alignment)
    assert after.moved and not before.moved
    assert np.median(before.residual_before) > 2 and np.median(after.residual_after) < 0.5
    assert turned_degrees(WRONG.c2w) > 0.5
    assert turned_degrees(alignment.c2w) < 0.5 * turned_degrees(WRONG.c2w)
    Cameras(alignment.c2w, RING.intrinsics)  # still rigid


@pytest.mark.parametrize(("views", "together"), [(1, 2), (6, 3), (8, 4), (40, 4)])
def test_a_step_compares_a_share_of_the_views(views, together):
    assert PART.together(views) == together


def test_the_scene_does_not_drift(refined):
    views, _, _, alignment = refined
    common = common_motion(views.c2w.astype(np.float64), alignment.c2w, np.zeros(3))
    np.testing.assert_allclose(common, np.eye(4), atol=2e-3)


def test_the_same_bits_for_any_number_of_threads(refined):
    views, before, gaussians, alignment = refined
    again, also = refine_poses(BALL, views, before, PART, given=views.c2w, seed=0, threads=1)
    assert again.means.tobytes() == gaussians.means.tobytes()
    assert also.c2w.tobytes() == alignment.c2w.tobytes()


def test_a_view_of_something_else_counts_less():
    views = photographs(BALL, RING)
    other = photographs(ball(seed=5, radius=0.2), RING)
    images, alpha = views.images.copy(), views.alpha.copy()
    images[4], alpha[4] = other.images[4], other.alpha[4]
    views = replace(views, images=images, alpha=alpha)
    part = replace(PART, steps=16)
    _, alignment = refine_poses(
        BALL, views, compare(BALL, views, 2), part, given=views.c2w, seed=0, threads=2
    )
    assert alignment.out_of_line == [4]


def test_cameras_go_along_where_the_colours_are_refined(refined):
    views = refined[0]
    few, budget = replace(PART, steps=15), Budget.exactly(30)
    options = {"finer": None, "seed": 0, "threads": 2}
    start, rough = refine_poses(
        BALL, views, compare(BALL, views, 2), few, given=views.c2w, seed=0, threads=2
    )
    _, kept, _ = refine_colors(start, views, rough, budget, **options)
    np.testing.assert_array_equal(kept.c2w, rough.c2w)
    made, moved, progress = refine_colors(start, views, rough, budget, given=views.c2w, **options)
    assert progress.steps == 30
    assert turned_degrees(moved.c2w) < 0.9 * turned_degrees(rough.c2w)
    assert np.median(moved.residual_after) < np.median(kept.residual_after)
    common = common_motion(views.c2w.astype(np.float64), moved.c2w, made.means.mean(0))
    np.testing.assert_allclose(common, np.eye(4), atol=3e-3)
    # Poses that were never wrong stay, whatever they are compared with.
    right = photographs(BALL, RING)
    _, still, _ = refine_colors(
        BALL, right, compare(BALL, right, 2), budget, given=right.c2w, **options
    )
    np.testing.assert_array_equal(still.c2w, right.c2w)


def test_no_view_is_held_back_from_cameras_that_move(refined):
    views, _, gaussians, alignment = refined
    budget = Budget(30, 10, holds_back=True)
    options = {"finer": None, "seed": 0, "threads": 2}
    for given, holds in ((None, True), (views.c2w, False)):
        _, _, progress = refine_colors(gaussians, views, alignment, budget, given=given, **options)
        assert (progress.held_back is not None) == holds


def test_nothing_at_all_is_refined_to_nothing(refined):
    views, _, gaussians, alignment = refined
    made, after, progress = refine_colors(
        gaussians.select([]), views, alignment, Budget.exactly(4), given=views.c2w, finer=None,
        seed=0, threads=2,
    )  # fmt: skip
    assert len(made) == 0 and progress.steps == 0
    np.testing.assert_array_equal(after.c2w, alignment.c2w)


def test_moved_views_are_those_that_would_have_been_prepared():
    views = photographs(BALL, RING)
    c2w = motion([0.1, 0, 0], np.array([0, 0, 0.1]), np.zeros(3)) @ RING.c2w
    moved = moved_views(views, c2w)
    expected = photographs(BALL, RING, poses=Cameras(c2w, RING.intrinsics))
    np.testing.assert_array_equal(moved.c2w, expected.c2w)
    np.testing.assert_allclose(moved.projection, expected.projection, atol=1e-6)
    assert moved.images is views.images


def test_one_warm_photograph_is_corrected_and_whole_ones_keep_their_bits():
    views = photographs(BALL, RING)
    start = compare(BALL, views, 2)
    options = {"seed": 0, "threads": 2}
    budget, options["finer"] = Budget.exactly(12), None
    plain, alignment, progress = refine_colors(BALL, views, start, budget, **options)
    assert (progress.steps, progress.budget, progress.ended) == (12, 12, "budget")
    assert alignment.corrected == [] and not alignment.moved
    expected = refine(BALL, views, steps=12, threads=2)
    assert plain.means.tobytes() == expected.means.tobytes()
    assert plain.colors.tobytes() == expected.colors.tobytes()
    images = views.images.copy()
    alpha = views.alpha[3]
    images[3] = (images[3] - (1 - alpha)) * np.array([1.0, 0.8, 0.6])[:, None, None] + 1 - alpha
    warm = replace(views, images=images)
    stained, alignment, _ = refine_colors(BALL, warm, start, budget, **options)
    assert alignment.corrected == [3]
    facing = BALL.means @ RING.c2w[3, :3, 3] > 0.35  # of 1.8 units away
    assert facing.sum() > 50
    uncorrected = refine(BALL, warm, steps=12, threads=2)
    blue, left = ((BALL.colors - g.colors)[facing, 2].mean() for g in (uncorrected, stained))
    assert blue > 0.005 and abs(left) < 0.6 * blue
