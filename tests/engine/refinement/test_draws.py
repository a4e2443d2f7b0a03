"""The order of views and the backgrounds."""

import numpy as np

from geolrm.engine.refinement.draws import Draws


def test_each_view_comes_once_before_any_comes_again():
    draws = Draws(3, [0, 2, 5, 7])
    first, second, third = draws.views(2), draws.views(2), draws.views(2)
    assert sorted(first + second) == [0, 2, 5, 7]
    assert first == sorted(first) and set(third) <= {0, 2, 5, 7}


def test_seeds_decide_all_of_it():
    def draw(seed):
        draws = Draws(seed, list(range(20)))
        return draws.views(3), draws.background().tolist(), draws.views(3)

    assert draw(1) == draw(1) != draw(2)


def test_another_pool_starts_over():
    draws = Draws(0, [0, 1, 2])
    draws.views(2)
    draws.draw_from([8, 9])
    assert draws.views(5) == [8, 9]
    background = draws.background()
    assert background.dtype == np.float32 and background.shape == (3,)
    assert (background >= 0).all() and (background <= 1).all()
