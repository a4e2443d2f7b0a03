"""How many steps of a refinement fit into a time."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.refinement.budget import Budget
from geolrm.engine.refinement.splat_descent import SplatDescent
from geolrm.engine.refinement.targets import Targets

SPENT = 0.85  # share of the seconds that is planned: steps do not all cost the same
FEWEST = 4  # steps, however little time there is

Begin = Callable[[Gaussians, Targets], SplatDescent]


def affordable_steps(
    budget: Budget,
    gaussians: Gaussians,
    stages: tuple[Targets, Targets],
    together: int,
    begin: Begin,
    cameras: bool = False,
) -> Budget:
    """Return the budget with as many steps as its seconds allow, by the time of a trial step.

    The number is all that the clock decides: the same number gives the same result again.

    Args:
        budget: With seconds.
        gaussians: To start from; the trial does not change them.
        stages: What the first part compares with, and what the last.
        together: Views a step.
        begin: Starts a descent.
        cameras: Whether they go along.
    """
    assert budget.seconds is not None, "asked of budgets in seconds alone"
    started = time.perf_counter()
    first, last = (
        seconds_of_step(gaussians, targets, together, begin, cameras) for targets in stages
    )
    left = SPENT * budget.seconds - (time.perf_counter() - started)
    share = budget.annealed / budget.steps
    steps = int(max(left, 0) / ((1 - share) * first + share * last))
    return budget.of_steps(min(max(steps, FEWEST), budget.steps))


def seconds_of_step(
    gaussians: Gaussians, targets: Targets, together: int, begin: Begin, cameras: bool
) -> float:
    """Measure a step, after one that is not counted."""
    splats = begin(gaussians, targets)
    chosen = list(range(min(together, len(targets))))
    w2c = targets.frame.w2c[chosen] if cameras else None
    seconds = 0.0
    for _ in range(2):
        before = time.perf_counter()
        splats.step(chosen, np.zeros(3, np.float32), 1.0, w2c)
        splats.gaussians()  # waits for a GPU
        seconds = time.perf_counter() - before
    return seconds
