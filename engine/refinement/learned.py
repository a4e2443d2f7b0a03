"""Learned steps: a network proposes how splats change, of their gradients in the input views.

Descent on few views fits these views, and what other views show gets worse again. The network was
trained so that views which are no inputs come out better (:mod:`geolrm.export.model.splat_update`
is its definition). Its steps come first; descent goes on from where they end. After it another
network of the same kind takes back what only fits these views.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.refinement.draws import Draws
from geolrm.engine.refinement.splat_descent import Parameters, SplatDescent

WIDTHS = {"means": 3, "logits": 1, "log_scales": 3, "quats": 4, "color": 3}  # rows, in their order
ROWS = sum(WIDTHS.values())
SEEN = 1e-6  # of the gradient to a colour, in all channels: a view with more sees the splat


class Graph(Protocol):
    """A graph that is ready to run."""

    def run(self, inputs: dict[str, NDArray], outputs: dict[str, NDArray]) -> None:
        """Run once, into the arrays of ``outputs``."""
        ...


class LearnedSteps:
    """The steps of a network of a bundle's learned refinement.

    Args:
        graph: Runs a step; its tensors are those of
            :meth:`geolrm.export.model.splat_update.SplatUpdate.forward`.
        steps: How many it was trained for.
        views: How many views a step compares at most.
    """

    def __init__(self, graph: Graph, steps: int, views: int) -> None:
        self.graph, self.steps, self.views = graph, steps, views

    def take(
        self,
        splats: SplatDescent,
        draws: Draws,
        weight: NDArray[np.float32],
        *,
        most: int,
        start: NDArray[np.float32] | None = None,
    ) -> int:
        """Take the steps, or the first ``most`` of them, and return how many they were.

        Args:
            splats: Are moved; a descent begins where they end.
            draws: Chooses views and backgrounds.
            weight: [N] px of all views that each splat makes up.
            most: At most so many.
            start: [14, N] rows of the splats where the network may bring them back to; None: as
                they are.
        """
        steps = min(most, self.steps)
        current = rows_of(splats.parameters())
        start = current if start is None else start
        moments = {name: np.zeros_like(current) for name in ("mean", "square")}
        for step in range(steps):
            chosen = draws.views(self.views)
            background = draws.background()
            gradient, magnitude, seen = summed(
                map(rows_of, splats.view_gradients(chosen, background))
            )
            inputs = {
                "splats": current, "start": start, "gradient": gradient, "magnitude": magnitude,
                "seen": seen, "weight": weight, **moments, "views": _scalar(len(chosen)),
                "step": _scalar(step + 1), "progress": _scalar((step + 1) / self.steps),
            }  # fmt: skip
            names = ("moved", "new_mean", "new_square")
            outputs = {name: np.empty_like(current) for name in names}
            self.graph.run(inputs, outputs)
            current, *after = outputs.values()
            moments = dict(zip(moments, after, strict=True))
            splats.move(parameters_of(current))
        return steps


@dataclass(frozen=True, slots=True)
class LearnedRefinement:
    """What a bundle has learned of refinement; each part may be missing."""

    update: LearnedSteps | None = None  # the first steps
    closing: LearnedSteps | None = None  # the last, after the descent


NOTHING_LEARNED = LearnedRefinement()


def summed(
    views: Iterable[NDArray[np.float32]],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Sum the gradients [14, N] of views.

    Returns:
        The sum [14, N], the sum of absolute values [14, N], and how many views see each splat [N].
    """
    first = next(each := iter(views))
    gradient, magnitude, seen = first.copy(), np.abs(first), _sees(first)
    for found in each:
        gradient += found
        magnitude += np.abs(found)
        seen += _sees(found)
    return gradient, magnitude, seen


def _sees(gradient: NDArray[np.float32]) -> NDArray[np.float32]:
    return (np.abs(gradient[-WIDTHS["color"] :]).sum(0) > SEEN).astype(np.float32)


def rows_of(parameters: Parameters) -> NDArray[np.float32]:
    """Return parameters of N splats, or gradients to them, as rows: [14, N]."""
    count = len(parameters["logits"])
    parts = [parameters[name].reshape(count, width).T for name, width in WIDTHS.items()]
    return np.concatenate(parts, out=np.empty((ROWS, count), np.float32))


def parameters_of(rows: NDArray[np.float32]) -> Parameters:
    """Return the parameters that rows [14, N] hold."""
    ends = np.cumsum(list(WIDTHS.values()))[:-1]
    parts = zip(WIDTHS, np.split(rows, ends), strict=True)
    return {
        name: np.ascontiguousarray(part[0] if name == "logits" else part.T) for name, part in parts
    }


def _scalar(value: float) -> NDArray[np.float32]:
    return np.array(value, np.float32)
