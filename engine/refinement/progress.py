"""How far a refinement gets: the view that is held back, and what is told at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.cuda.array import Device
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.refinement.targets import Targets, on_black

DUE = 10  # steps between two looks at the view held back
LOOKS = 3  # that are judged together: at full rate, a single one is half a decibel up or down
MOST_LOSS = 0.15  # share of the squared error, over the best so far
NEIGHBOURS = 2  # views that must cover what the one held back sees


@dataclass(frozen=True, slots=True)
class Progress:
    """What a refinement has done.

    A run in seconds comes out bit for bit again with ``refine_steps`` of the same number, if it had
    time for learned steps or the bundle has none; a named quality always does under its name.
    """

    steps: int  # of descent, taken
    budget: int  # that it might have taken
    size: int  # px, of the finest photographs that were compared
    held_back: int | None = None  # number of the view that decided when to stop; None: none
    ended: Literal["budget", "worse"] = "budget"
    residuals: tuple[tuple[int, float], ...] = ()  # steps, and dB of the view held back
    learned: int = 0  # steps of the update network, before those of descent
    closing: int = 0  # steps of the closing network, after those of descent

    @classmethod
    def of(cls, steps: int, budget: int, size: int, held: HeldBackView | None) -> Progress:
        """Describe a descent, with the view it held back, if any."""
        if held is None:
            return cls(steps, budget, size)
        ended = "budget" if steps == budget else "worse"
        return cls(steps, budget, size, held.view, ended, tuple(held.residuals))

    def __str__(self) -> str:
        """Say it in a line."""
        parts = [f"{self.learned} learned steps"] if self.learned else []
        if self.budget or not self.learned:
            parts += [f"{self.steps} of at most {self.budget} steps at up to {self.size} px"]
        if self.closing:
            parts += [f"{self.closing} learned to close"]
        line = ", ".join(parts)
        if self.ended == "worse":
            line += f"; view {self.held_back}, held back, got worse"
        return line


class HeldBackView:
    """The view best covered by others, which tells when more steps only fit noise.

    Args:
        targets: All views.
        threads: Of the rasterizer.
        gpu: Where to render; None: the CPU.
    """

    def __init__(self, targets: Targets, threads: int | None, gpu: Device | None):
        self.view = spare_view(targets.frame.w2c)
        self.residuals: list[tuple[int, float]] = []
        self._target, self._threads, self._gpu = targets[[self.view]], threads, gpu
        self._errors: list[float] = []
        self._best = math.inf

    def is_due(self, steps: int) -> bool:
        """Tell whether it is time to look."""
        return steps % DUE == 0

    def is_no_worse(self, gaussians: Gaussians, steps: int) -> bool:
        """Look at it; tell whether it is about as good as it ever was, over the last looks."""
        error = squared_error(gaussians, self._target, self._threads, self._gpu)
        self.residuals.append((steps, -10 * math.log10(max(error, 1e-10))))
        self._errors = [*self._errors, error][-LOOKS:]
        mean = math.fsum(self._errors) / len(self._errors)
        if len(self._errors) == LOOKS:
            self._best = min(self._best, mean)
        return mean <= self._best * (1 + MOST_LOSS)


def squared_error(
    gaussians: Gaussians, targets: Targets, threads: int | None, gpu: Device | None
) -> float:
    """Return the mean squared error of colours on black and alpha, where something is known."""
    drawn = on_black(gaussians, targets, threads, gpu)
    error = ((drawn.rgb - targets.premultiplied) ** 2).sum(-1) + (drawn.alpha - targets.alpha) ** 2
    if targets.valid is not None:
        error = error * targets.valid
    return float(error.mean(dtype=np.float64)) / 4


def spare_view(w2c: NDArray[np.float64]) -> int:
    """Return the view [V, 4, 4] whose direction has the nearest others; the first of equals."""
    w2c = np.asarray(w2c, np.float64)
    places = -np.einsum("vji,vj->vi", w2c[:, :3, :3], w2c[:, :3, 3])
    directions = places / np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-12)
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -1)
    covered = np.sort(cosines, axis=1)[:, -NEIGHBOURS:].sum(1).round(6)  # equals stay equal
    return int(np.argmax(covered))
