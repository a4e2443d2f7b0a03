"""Steps for a time, with a clock that the test moves."""

import numpy as np
import pytest
from samples.photographed_ball import ball, photographs, ring

from geolrm.engine.refinement import pace
from geolrm.engine.refinement.budget import Budget
from geolrm.engine.refinement.pace import FEWEST, SPENT, affordable_steps
from geolrm.engine.refinement.targets import Targets

BALL, TARGETS = ball(), Targets.of(photographs(ball(), ring()))
BUDGET = Budget(400, 160)


class Clock:
    """Steps take so many seconds on targets of each size; the first on each three times that."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.seconds, self.asked = 0.0, seconds, []
        monkeypatch.setattr(pace.time, "perf_counter", lambda: self.now)

    def begin(self, gaussians, targets):
        clock = self

        class Splats:
            slow = 3

            def step(self, chosen, background, share, w2c):
                clock.asked.append(chosen)
                assert share == 1.0 and w2c is None and not np.any(background)
                clock.now += self.slow * clock.seconds[targets.size]
                self.slow = 1

            def gaussians(self):
                return gaussians

        return Splats()


@pytest.mark.parametrize(("seconds", "steps"), [(2.0, 112), (0.5, 21), (60.0, 400), (-1.0, 4)])
def test_the_number_is_what_the_rest_of_the_time_allows(monkeypatch, seconds, steps):
    clock = Clock(monkeypatch, {64: 0.01, 128: 0.02})
    fine = Targets.of(photographs(BALL, ring(), 128))
    budget = Budget(400, 160, seconds=seconds)
    found = affordable_steps(budget, BALL, (TARGETS, fine), 3, clock.begin)
    each = 0.6 * 0.01 + 0.4 * 0.02
    left = SPENT * seconds - 4 * 0.03
    assert found.steps == max(min(int(left / each), 400), FEWEST) == steps
    assert found.annealed == -(-found.steps * 160 // 400)
    assert clock.asked == [[0, 1, 2]] * 4
