"""What each quality may do."""

from dataclasses import replace

import numpy as np
import pytest

from geolrm.engine.errors import InputError
from geolrm.engine.refinement.budget import Budget, budget_of, check_quality


def test_a_number_of_steps_is_just_that_half_of_it_annealed():
    assert [(Budget.exactly(n).steps, Budget.exactly(n).annealed) for n in (0, 1, 7, 30)] == [
        (0, 0), (1, 1), (7, 4), (30, 15),
    ]  # fmt: skip


def test_better_qualities_do_more_and_the_best_spares_one_of_many_views():
    for views in (1, 6, 8, 21):
        fast, balanced, best = (budget_of(name, views) for name in ("fast", "balanced", "best"))
        assert fast.steps < balanced.steps < best.steps and fast.size < balanced.size < best.size
        assert best.holds_back == (views >= 8) and not balanced.holds_back
        assert best.splats == balanced.splats == 200_000 and not fast.splats
        less, more = balanced.looking_closer(), best.looking_closer()
        assert less.steps < more.steps and less.annealed < more.annealed
        learned = [fast.learned, balanced.learned, best.learned]
        assert learned == ([0, 6, 6] if views < 8 else [0, 10, 10])
    steps = [budget_of("balanced", views).steps for views in (6, 7, 8, 15, 16, 24)]
    assert steps == [90, 90, 160, 160, 240, 240]


def test_finer_photographs_are_compared_for_longer():
    for views, more in ((6, 60), (12, 40), (20, 40)):
        budget = budget_of("balanced", views)
        closer = budget.looking_closer()
        assert closer == replace(
            budget, steps=budget.steps + more, annealed=budget.annealed + more, closer=0
        )
        assert closer.looking_closer() == closer
    assert Budget.exactly(30).looking_closer() == Budget.exactly(30)
    assert budget_of(2.5, 6).looking_closer() == budget_of(2.5, 6)


def test_seconds_count_from_the_start_of_the_run():
    budget = budget_of(2.5, 12)
    assert budget.seconds == 2.5 and not budget.holds_back and not budget.splats
    assert budget.after(1.0).seconds == 1.5
    assert budget_of("best", 12).after(1.0).seconds is None


def test_other_numbers_of_steps_are_shared_out_alike():
    budget = Budget(400, 160)
    assert [(budget.of_steps(n).steps, budget.of_steps(n).annealed) for n in (4, 10, 101)] == [
        (4, 2), (10, 4), (101, 41),
    ]  # fmt: skip


def test_long_descents_over_many_views_are_gentle():
    for name in ("balanced", "best"):
        assert [budget_of(name, views).gentle for views in (6, 8, 20)] == [False, True, True]
    assert not budget_of("fast", 20).gentle and not Budget.exactly(400).gentle


def test_a_number_of_steps_and_enough_seconds_begin_with_learned_steps():
    assert Budget.exactly(30).learned == budget_of(2.5, 6).learned == 6
    assert not budget_of(1.4, 6).learned


@pytest.mark.parametrize("quality", ["fast", "balanced", "best", 0.1, 2, 3600])
def test_names_and_seconds_are_qualities(quality):
    assert check_quality(quality) == quality


@pytest.mark.parametrize("quality", ["good", 0, -1.0, 3601, True, np.nan, np.inf, None, [2]])
def test_nothing_else_is(quality):
    with pytest.raises(InputError, match=r"^quality is .*; it must be 'fast', 'balanced', 'best'"):
        check_quality(quality)
