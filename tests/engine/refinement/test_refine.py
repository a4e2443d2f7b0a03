"""Refinement on input pictures, and the Gaussians that nobody sees."""

from dataclasses import replace

import numpy as np
import pytest

from geolrm import Cameras, Engine, Gaussians, InputError
from geolrm.engine.refinement.budget import Budget, budget_of
from geolrm.engine.refinement.progress import squared_error
from geolrm.engine.refinement.refine import refine, refine_within
from geolrm.engine.refinement.targets import Targets
from geolrm.engine.refinement.visibility import (
    CAMERA_DISTANCE,
    FOV,
    NUM_CAMERAS,
    blending_weights,
    drop_hidden,
)
from geolrm.engine.rendering.render import render
from geolrm.engine.views.preprocessing import make_views

SIZE = 64


def ball(count, radius, scale=0.05, seed=0):
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(count, 3))
    points *= radius / np.linalg.norm(points, axis=1, keepdims=True)
    quats = np.tile([1.0, 0, 0, 0], (count, 1))
    return Gaussians(
        points, np.full(count, 0.95), np.full((count, 3), scale), quats, colors=0.5 + points
    )


def pictures(gaussians, cameras):
    drawn = render(gaussians, cameras, (SIZE, SIZE))
    return make_views(drawn.rgb.transpose(0, 3, 1, 2), cameras.c2w, cameras.intrinsics, drawn.alpha)


def disturbed(truth, seed=1):
    generator = np.random.default_rng(seed)
    return Gaussians(
        truth.means + generator.normal(scale=0.01, size=truth.means.shape),
        truth.opacities - 0.2,
        truth.scales * 1.2,
        truth.quats,
        colors=(truth.colors + generator.normal(scale=0.1, size=truth.means.shape)).clip(0, 1),
    )


def psnr(gaussians, truth, cameras):
    drawn, expected = (render(g, cameras, (SIZE, SIZE)).rgb for g in (gaussians, truth))
    return -10 * np.log10(np.mean((drawn - expected) ** 2))


@pytest.fixture(scope="module")
def truth():
    return ball(400, 0.35)


@pytest.fixture(scope="module")
def inputs():
    return Cameras.orbit(np.arange(8) * 45.0, np.array([20.0, -20.0] * 4), 1.8, 50.0)


def test_views_that_were_held_out_come_nearer_to_the_truth(truth, inputs):
    start, held_out = disturbed(truth), Cameras.orbit([20.0, 110.0, 250.0], 0.0, 1.8, 50.0)
    refined = refine(start, pictures(truth, inputs), steps=30)
    assert psnr(refined, truth, inputs) > psnr(start, truth, inputs) + 5
    assert psnr(refined, truth, held_out) > psnr(start, truth, held_out) + 3
    np.testing.assert_allclose(np.linalg.norm(refined.quats, axis=1), 1, atol=1e-5)
    assert refined.colors.min() >= 0 and refined.colors.max() <= 1


def test_threads_do_not_change_a_bit_and_seeds_do(truth, inputs):
    views, start = pictures(truth, inputs), disturbed(truth)
    one, two = (refine(start, views, steps=4, threads=n) for n in (1, 2))
    other = refine(start, views, steps=4, seed=5)
    for name in ("means", "opacities", "scales", "quats", "colors"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert not np.array_equal(one.colors, other.colors)


def test_centres_and_colours_go_slower_in_a_gentle_descent(truth, inputs):
    views, start = pictures(truth, inputs), disturbed(truth)
    start = replace(start, colors=start.colors.clip(0.1, 0.9))  # none comes to an end
    moved = []
    for gentle in (False, True):
        made, _ = refine_within(start, views, Budget(1, 0, gentle=gentle), threads=1)
        assert len(made) == len(start)
        moved.append(
            {
                name: getattr(made, name) - getattr(start, name)
                for name in ("means", "colors", "scales")
            }
        )
    for name, share in (("means", 0.7), ("colors", 0.35)):
        assert np.abs(moved[0][name]).max() > 1e-3
        np.testing.assert_allclose(moved[1][name], share * moved[0][name], rtol=0.05, atol=1e-5)
    np.testing.assert_array_equal(moved[1]["scales"], moved[0]["scales"])


def test_no_steps_and_no_gaussians_change_nothing(truth, inputs):
    views = pictures(truth, inputs)
    assert refine(truth, views, steps=0) is truth
    nothing = truth.select(np.zeros(len(truth), bool))
    assert len(refine(nothing, views, steps=3)) == 0


def test_harmonics_are_refined_as_harmonics(truth, inputs):
    start = Gaussians(
        truth.means, truth.opacities, truth.scales, truth.quats,
        sh=np.zeros((len(truth), 4, 3), np.float32),
    )  # fmt: skip
    refined = refine(start, pictures(truth, inputs), steps=10)
    assert refined.sh.shape[1:] == (4, 3) and np.abs(refined.sh[:, 1:]).max() > 0.01
    assert psnr(refined, truth, inputs) > psnr(start, truth, inputs) + 1


def test_weights_are_the_pixels_a_splat_makes_up():
    cameras = Cameras.orbit([0.0], 0.0, 1.8, 50.0)
    alone = ball(1, 0.0)
    weight = blending_weights(alone, cameras, SIZE)
    np.testing.assert_allclose(
        weight[0], render(alone, cameras, (SIZE, SIZE)).alpha.sum(), rtol=1e-5
    )


def test_the_inside_of_a_closed_ball_is_dropped(truth):
    inside = ball(50, 0.1, seed=3)
    shell = ball(3000, 0.35)
    arrays = (
        np.concatenate([getattr(shell, name), getattr(inside, name)])
        for name in ("means", "opacities", "scales", "quats", "colors")
    )
    kept = drop_hidden(Gaussians(*arrays))
    radii = np.linalg.norm(kept.means, axis=1)
    assert (radii > 0.3).all() and len(kept) > 2500


def test_splats_far_below_a_pixel_stay():
    dust = ball(10, 0.3, scale=1e-5)
    assert len(drop_hidden(dust)) == 10
    assert len(drop_hidden(dust.select(np.zeros(10, bool)))) == 0


def test_cameras_surround_the_cube():
    cameras = Cameras.around(NUM_CAMERAS, CAMERA_DISTANCE, FOV)
    places = cameras.c2w[:, :3, 3]
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), 1.8)
    assert np.abs(places.mean(axis=0)).max() < 0.05
    assert places[:, 2].max() > 1.7 and places[:, 2].min() < -1.7


def test_the_bundled_model_refines_by_default(shoe):
    used, target = shoe.subset([0, 4, 8, 12, 16, 20]), shoe.subset([2, 10, 18, 24, 30])
    engine = Engine("mini")
    raw = engine.run(used.images, used.cameras, refine_steps=0)
    scene = engine.run(used.images, used.cameras)
    assert "refine" in scene.timings and "refine" not in raw.timings
    assert len(raw.gaussians) == 16 * len(raw.anchors) > len(scene.gaussians) > 1000
    images = np.stack(target.images).astype(np.float32) / 255
    white = images[..., :3] * images[..., 3:] + 1 - images[..., 3:]

    def error(one):
        drawn = one.gaussians.render(target.cameras, (256, 256)).rgb.clip(0, 1)
        return -10 * np.log10(np.mean((drawn - white) ** 2))

    assert error(scene) > error(raw) + 1.0  # held-out views


def test_live_capture_refines_to_the_same_bits(shoe):
    used = shoe.subset([0, 8, 16])
    engine = Engine("mini")
    live = engine.live()
    for index in range(3):
        live.add(used.images[index], used.cameras[[index]])
    a, b = live.run(refine_steps=3), engine.run(used.images, used.cameras, refine_steps=3)
    np.testing.assert_array_equal(a.gaussians.means, b.gaussians.means)
    np.testing.assert_array_equal(a.gaussians.colors, b.gaussians.colors)


def test_steps_are_checked(shoe):
    used = shoe.subset([0, 8])
    with pytest.raises(
        InputError, match="refine_steps is -1; it must be a whole number from 0 to 1000"
    ):
        Engine("mini").run(used.images, used.cameras, refine_steps=-1)


def test_the_view_that_gets_worse_ends_the_first_part(truth, inputs):
    views = pictures(truth, inputs)
    budget = Budget(300, 10, holds_back=True)
    refined, progress = refine_within(disturbed(truth), views, budget, threads=2)
    assert progress.ended == "worse" and progress.held_back == 0
    assert progress.steps == progress.residuals[-1][0] + 10 < 200
    again, _ = refine_within(disturbed(truth), views, budget, threads=1)
    assert again.means.tobytes() == refined.means.tobytes()


def test_the_last_part_looks_at_finer_photographs_and_splits_for_them(truth, inputs):
    """Stripes of four pixels of 128, of which images of 32 px show the mean alone."""

    def striped(size):
        drawn = render(truth, inputs, (size, size))
        stripes = np.where(np.arange(size) % 8 < 4, 1.0, 0.4)
        light = stripes if size == 128 else np.full(size, 0.7)
        rgb = drawn.rgb * light[:, None, None].astype(np.float32)
        rgb = rgb * drawn.alpha[..., None] + 1 - drawn.alpha[..., None]
        return make_views(rgb.transpose(0, 3, 1, 2), inputs.c2w, inputs.intrinsics, drawn.alpha)

    asked = []

    def finer(size):
        asked.append(size)
        return striped(128)

    coarse, fine = striped(32), Targets.of(striped(128))
    errors = []
    for budget, source in (
        (Budget(40, 20, 128, closer=20), None),
        (Budget(40, 20, 128), finer),
        (Budget(40, 20, 128, splats=600), finer),
        (Budget(40, 20, 128, splats=600, closer=20), finer),
    ):
        made, progress = refine_within(truth, coarse, budget, finer=source, threads=2)
        errors.append(squared_error(made, fine, 2, None))
        assert progress.size == (32 if source is None else 128)
        steps = 40 + (budget.closer if source is not None else 0)
        assert (progress.steps, progress.budget) == (steps, steps)
    assert errors == sorted(errors, reverse=True) and asked == [128] * 3
    assert len(made) > len(truth)


def test_seconds_are_steps_that_can_be_had_again(truth, inputs):
    views = pictures(truth, inputs)
    made, progress = refine_within(truth, views, budget_of(0.3, 8).after(0.1), threads=2)
    assert progress.steps >= 4 and progress.held_back is None
    again = refine(truth, views, steps=progress.steps, threads=1)
    assert again.means.tobytes() == made.means.tobytes()
