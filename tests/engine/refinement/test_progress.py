"""The view held back, and when it gets worse."""

from dataclasses import replace

import numpy as np
import pytest
from samples.photographed_ball import ball, photographs, ring

from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.refinement import progress
from geolrm.engine.refinement.progress import HeldBackView, Progress, spare_view, squared_error
from geolrm.engine.refinement.targets import Targets, on_black

BALL, RING = ball(), ring()
TARGETS = Targets.of(photographs(BALL, RING))


def test_the_view_with_the_nearest_others_is_spared():
    azimuths = [0.0, 60.0, 120.0, 180.0, 190.0, 200.0, 300.0]
    cameras = Cameras.orbit(azimuths, 20.0, 1.8, 50.0)
    assert spare_view(np.linalg.inv(cameras.c2w)) == 4
    even = Cameras.orbit(np.arange(8) * 45.0, 20.0, 1.8, 50.0)
    assert spare_view(np.linalg.inv(even.c2w)) == 0


def test_the_error_is_of_colours_on_black_and_alpha_where_something_is_known():
    one = TARGETS[[2]]
    drawn = on_black(BALL, one, 2)
    error = np.concatenate(
        [drawn.rgb - one.premultiplied, (drawn.alpha - one.alpha)[..., None]], axis=-1
    )
    assert squared_error(BALL, one, 2, None) == pytest.approx(np.mean(error**2), rel=1e-5)
    known = np.zeros_like(one.alpha)
    known[:, :32] = 1
    half = Targets(one.premultiplied, one.alpha, one.frame, known, known)
    assert squared_error(BALL, half, 2, None) == pytest.approx(
        np.mean(error[:, :32] ** 2) / 2, rel=1e-5
    )


def test_it_ends_when_three_looks_together_are_worse_than_three_were(monkeypatch):
    errors = iter([1.0, 0.5, 0.3, 0.4, 0.7, 0.5, 0.5])  # of three: 0.6, 0.4, 0.467, 0.533, 0.567
    monkeypatch.setattr(progress, "squared_error", lambda *_: next(errors))
    monkeypatch.setattr(progress, "MOST_LOSS", 0.35)  # up to 0.54
    held = HeldBackView(TARGETS, 2, None)
    assert [held.is_no_worse(BALL, 10 * look) for look in range(1, 8)] == [True] * 6 + [False]
    assert [steps for steps, _ in held.residuals] == [10, 20, 30, 40, 50, 60, 70]
    assert held.residuals[0][1] == 0 and held.residuals[3][1] == pytest.approx(3.979, abs=1e-3)
    assert [held.is_due(steps) for steps in (9, 10, 11, 20)] == [False, True, False, True]


def test_a_seventh_worse_is_not_yet_worse(monkeypatch):
    for last, expected in ((1.44, True), (1.46, False)):  # of three, 1 and 1.1467 or 1.1533
        errors = iter([1.0, 1.0, 1.0, last])
        monkeypatch.setattr(progress, "squared_error", lambda *_, e=errors: next(e))
        held = HeldBackView(TARGETS, 2, None)
        looks = [held.is_no_worse(BALL, 10 * look) for look in range(1, 5)]
        assert looks == [True, True, True, expected]


def test_what_is_told():
    held = HeldBackView(TARGETS, 2, None)
    ended = Progress.of(170, 400, 448, held)
    assert (ended.ended, ended.held_back) == ("worse", 0)
    assert str(ended) == ("170 of at most 400 steps at up to 448 px; view 0, held back, got worse")
    assert Progress.of(400, 400, 448, held).ended == "budget"
    assert str(Progress.of(30, 30, 256, None)) == "30 of at most 30 steps at up to 256 px"
    alone = Progress(0, 0, 256, learned=14)
    assert str(alone) == "14 learned steps"
    assert str(Progress(0, 0, 256)) == "0 of at most 0 steps at up to 256 px"
    closed = replace(Progress.of(9, 9, 256, None), learned=6, closing=1)
    said = "6 learned steps, 9 of at most 9 steps at up to 256 px, 1 learned to close"
    assert str(closed) == said
