"""Learned steps: what the network is told, in which order, and what is made of its answers."""

from dataclasses import replace

import numpy as np
import pytest
from csrc.implementations import DEVICES, open_device
from samples.photographed_ball import ball, photographs, ring

from geolrm.engine.refinement.budget import Budget, budget_of
from geolrm.engine.refinement.draws import Draws
from geolrm.engine.refinement.learned import (
    ROWS,
    LearnedRefinement,
    LearnedSteps,
    parameters_of,
    rows_of,
)
from geolrm.engine.refinement.refine import falling, refine, refine_within, start, visible
from geolrm.engine.refinement.shading import directional
from geolrm.engine.refinement.splat_descent import (
    RATES,
    HostSplatDescent,
    gradients,
    to_parameters,
)
from geolrm.engine.refinement.targets import Targets, on_black

BALL, RING = ball(), ring()
SIZE = 32  # px
NAMES = ("splats", "start", "gradient", "magnitude", "seen", "weight", "mean", "square",
         "views", "step", "progress")  # fmt: skip


class Recorder:
    """Stands for the network: adds a constant to each row, and keeps what it was told."""

    def __init__(self, change=None):
        self.change = np.zeros((ROWS, 1), np.float32) if change is None else change
        self.told = []

    def run(self, inputs, outputs):
        self.told.append({name: array.copy() for name, array in inputs.items()})
        outputs["moved"][:] = inputs["splats"] + self.change
        outputs["new_mean"][:] = inputs["mean"] + 1
        outputs["new_square"][:] = inputs["square"] + 2


def first(graph, steps, views):
    """A bundle's learned refinement, of an update network alone."""
    return LearnedRefinement(update=LearnedSteps(graph, steps, views))


def splats():
    """Fewer than the photographs show; the first is where no camera looks."""
    some = BALL.select(np.arange(0, len(BALL), 8))
    means = some.means.copy()
    means[0] = [0, 0, 5]
    scales = some.scales * np.float32([0.5, 0.8, 1.3])  # none is round, so that turns matter
    return replace(some, means=means, scales=scales, opacities=some.opacities * 0.9)


WEIGHT = np.linspace(0, 3, len(splats()), dtype=np.float32)


def descent(threads=1):
    return HostSplatDescent(splats(), Targets.of(photographs(BALL, RING), SIZE), RATES, threads)


def test_rows_hold_all_parameters_in_the_order_of_the_network():
    parameters = to_parameters(splats())
    rows = rows_of(parameters)
    assert rows.shape == (14, len(splats())) and rows.flags.c_contiguous
    np.testing.assert_array_equal(rows[:3].T, parameters["means"])
    np.testing.assert_array_equal(rows[3], parameters["logits"])
    np.testing.assert_array_equal(rows[4:7].T, parameters["log_scales"])
    np.testing.assert_array_equal(rows[7:11].T, parameters["quats"])
    np.testing.assert_array_equal(rows[11:].T, parameters["color"])
    for name, array in parameters_of(rows).items():
        assert array.flags.c_contiguous and array.shape == parameters[name].shape
        np.testing.assert_array_equal(array, parameters[name])


def test_the_network_is_told_sums_over_views_and_its_own_moments():
    recorder, moving = Recorder(), descent()
    count = LearnedSteps(recorder, steps=2, views=3).take(
        moving, Draws(4, list(range(5))), WEIGHT, most=64
    )
    assert count == 2 and [set(told) for told in recorder.told] == 2 * [set(NAMES)]
    draws, other = Draws(4, list(range(5))), descent()
    targets = Targets.of(photographs(BALL, RING), SIZE)
    for step, told in enumerate(recorder.told):
        chosen, background = draws.views(3), draws.background()
        each = [rows_of(found) for found in other.view_gradients(chosen, background)]
        np.testing.assert_allclose(told["gradient"], sum(each), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(told["magnitude"], sum(map(np.abs, each)), rtol=1e-6, atol=1e-9)
        together = rows_of(gradients(other.gaussians(), targets, chosen, background, None, 1)[0])
        np.testing.assert_allclose(told["gradient"], together, rtol=1e-3, atol=1e-5)
        sees = sum((np.abs(found[11:]).sum(0) > 1e-6).astype(int) for found in each)
        np.testing.assert_array_equal(told["seen"], sees)
        assert 0 < told["seen"].max() <= 3 and told["seen"].min() == 0
        np.testing.assert_array_equal(told["weight"], WEIGHT)
        assert (told["mean"] == step).all() and (told["square"] == 2 * step).all()
        assert [float(told[n]) for n in NAMES[8:]] == [3, step + 1, (step + 1) / 2]


def test_steps_go_on_from_each_other_and_fewer_are_the_first_ones():
    change = np.zeros((ROWS, 1), np.float32)
    change[0], change[3] = 0.01, -0.5
    recorder, moving = Recorder(change), descent()
    before = rows_of(moving.parameters())
    assert LearnedSteps(recorder, 6, 8).take(moving, Draws(0, [0, 1]), WEIGHT, most=2) == 2
    np.testing.assert_array_equal(recorder.told[1]["splats"], before + change)
    np.testing.assert_array_equal(recorder.told[1]["start"], before)
    assert float(recorder.told[1]["progress"]) == pytest.approx(2 / 6)
    np.testing.assert_array_equal(rows_of(moving.parameters()), before + change + change)


def test_the_way_back_may_lead_elsewhere():
    recorder, moving = Recorder(), descent()
    start = rows_of(moving.parameters()) - np.float32(1)
    LearnedSteps(recorder, 1, 8).take(moving, Draws(0, [0]), WEIGHT, most=1, start=start)
    np.testing.assert_array_equal(recorder.told[0]["start"], start)


def test_it_is_told_how_much_of_each_splat_the_views_show():
    recorder, views = Recorder(), photographs(BALL, RING)
    refine_within(
        splats(), views, replace(Budget.exactly(1), learned=64), learned=first(recorder, 1, 2)
    )
    shown = recorder.told[0]["weight"]
    targets = Targets.of(views)
    covered = on_black(splats(), targets, 1).alpha.sum()
    assert shown.sum() == pytest.approx(covered, rel=1e-3) and shown[0] == 0


def test_descent_begins_where_they_end():
    views, budget = photographs(BALL, RING), replace(Budget.exactly(3), learned=64)
    recorder = Recorder()
    options = {"seed": 1, "threads": 1}
    made, progress = refine_within(
        splats(), views, budget, learned=first(recorder, 2, 2), **options
    )
    assert (progress.learned, progress.steps) == (2, 3) and len(recorder.told) == 2
    assert str(progress) == "2 learned steps, 3 of at most 3 steps at up to 64 px"
    # The same views and backgrounds are drawn after those of two steps that change nothing.
    moving = start(splats(), Targets.of(views), RATES, 1, None)
    draws = Draws(1, list(range(len(views))))
    for _ in range(2):
        draws.views(2), draws.background()
    moving.step(draws.views(2), draws.background(), 1.0, None)
    draws.draw_from(list(range(len(views))))
    for step in range(2):
        moving.step(draws.views(2), draws.background(), falling(step, 2), None)
    np.testing.assert_array_equal(made.means, visible(moving.gaussians()).means)


@pytest.mark.parametrize("finer", [False, True])
def test_the_closing_network_compares_all_views_after_the_descent(finer):
    views = photographs(BALL, RING)
    size = Targets.of(views).size
    budget = Budget(4, 2, 2 * size, closes=True)
    closer = (lambda asked: photographs(BALL, RING, asked)) if finer else None
    change = np.zeros((ROWS, 1), np.float32)
    change[0] = 0.01
    recorder, options = Recorder(change), {"finer": closer, "seed": 1, "threads": 1}
    learned = LearnedRefinement(closing=LearnedSteps(recorder, 1, 64))
    made, progress = refine_within(splats(), views, budget, learned=learned, **options)
    assert (progress.learned, progress.steps, progress.closing) == (0, 4, 1)
    ended = f"4 of at most 4 steps at up to {2 * size if finer else size} px, 1 learned to close"
    assert str(progress) == ended
    (told,) = recorder.told
    assert float(told["views"]) == len(views) and float(told["progress"]) == 1
    alone, _ = refine_within(splats(), views, budget, **options)
    assert len(alone) == len(made)
    np.testing.assert_allclose(made.means, alone.means + [0.01, 0, 0], atol=1e-6)
    # The way back leads to where the last descent began: without a closer look, all of it.
    start = rows_of(to_parameters(splats()))
    assert np.array_equal(told["start"], start) != finer
    ends = rows_of(to_parameters(alone))
    seen = np.isin(told["splats"][0], ends[0])
    assert seen.mean() > 0.99  # all that is visible in the end


def test_what_has_come_to_lie_inside_is_dropped_before_the_last_part():
    """The way back of those that stay is still their own."""
    means = BALL.means.copy()
    means[::5] *= 0.1
    scene, views = replace(BALL, means=means), photographs(BALL, RING)
    learned = LearnedRefinement(closing=LearnedSteps(recorder := Recorder(), 1, 64))
    options = {"learned": learned, "seed": 0, "threads": 1}
    whole, _ = refine_within(scene, views, Budget(2, 2, closes=True), **options)
    less, _ = refine_within(scene, views, Budget(3, 2, closes=True), **options)
    assert len(whole) == len(scene)  # the engine left out what it could before
    shown, inside = np.delete(np.arange(len(scene)), np.s_[::5]), np.arange(len(scene))[::5]
    start = rows_of(to_parameters(scene))
    told = recorder.told[1]
    assert len(less) == told["splats"].shape[1] < len(scene) - len(inside) // 2
    kept = [int(np.flatnonzero((start == each[:, None]).all(0))[0]) for each in told["start"].T]
    assert kept == sorted(kept) and set(kept) >= set(shown[:: len(shown) // 9])
    assert np.abs(told["splats"] - told["start"])[:3].max() < 0.01


def test_after_a_split_the_way_back_leads_to_the_halves():
    """Closing comes with as many splats as the split left, each beside its own start."""
    views, recorder = photographs(BALL, RING), Recorder()
    budget = Budget(2, 1, 2 * Targets.of(views).size, closes=True, splats=len(splats()) + 9)
    learned = LearnedRefinement(closing=LearnedSteps(recorder, 1, 64))
    finer = lambda size: photographs(BALL, RING, size)  # noqa: E731
    refine_within(splats(), views, budget, learned=learned, finer=finer, threads=1)
    (told,) = recorder.told
    count = len(splats()) + 9
    assert told["splats"].shape == told["start"].shape == (ROWS, count)
    assert told["weight"].shape == (count,) and told["weight"].max() > 0
    moved = np.abs(told["splats"] - told["start"])
    assert 0 < moved[:3].max() < 0.01  # by one step


def test_only_named_qualities_close():
    recorder = Recorder()
    learned = LearnedRefinement(closing=LearnedSteps(recorder, 1, 64))
    _, progress = refine_within(
        splats(), photographs(BALL, RING), Budget.exactly(2), learned=learned, threads=1
    )
    assert progress.closing == 0 and not recorder.told
    for name in ("balanced", "best"):
        assert budget_of(name, 8).closes and budget_of(name, 7).closes
    assert not budget_of("fast", 12).closes and not budget_of(3.0, 12).closes


def test_a_bundle_without_a_network_descends_as_ever():
    views, budget = photographs(BALL, RING), replace(Budget.exactly(3), learned=64)
    made, progress = refine_within(splats(), views, budget, threads=1)
    assert progress.learned == 0
    np.testing.assert_array_equal(made.means, refine(splats(), views, steps=3, threads=1).means)


def test_harmonics_are_left_to_the_descent():
    recorder = Recorder()
    budget = replace(Budget.exactly(1), learned=64, closes=True)
    steps = LearnedSteps(recorder, 2, 2)
    learned = LearnedRefinement(steps, steps)
    _, progress = refine_within(
        directional(splats()), photographs(BALL, RING), budget, learned=learned, threads=1
    )
    assert progress.learned == 0 and not recorder.told


@pytest.mark.parametrize("kind", DEVICES)
def test_gradients_of_a_gpu_are_the_cpus(kind):
    device, targets = open_device(kind), Targets.of(photographs(BALL, RING), SIZE)
    background = np.float32([0.2, 0.5, 0.7])
    moving = start(splats(), targets, RATES, None, device)
    pairs = zip(
        moving.view_gradients([1, 3], background),
        descent().view_gradients([1, 3], background),
        strict=True,
    )
    for found, expected in pairs:
        for name, array in found.items():
            scale = np.abs(expected[name]).max()
            np.testing.assert_allclose(
                array, expected[name], rtol=0, atol=1e-4 * scale, err_msg=name
            )
    moved = {name: array + np.float32(0.01) for name, array in moving.parameters().items()}
    moving.move(moved)
    for name, array in moving.parameters().items():
        np.testing.assert_array_equal(array, moved[name], err_msg=name)
