"""Adam on camera poses, beside the descent on the splats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.geometry.motions import motion

MOMENTS = (0.8, 0.95)  # decay of Adam's mean and of its square, as for the splats


class CameraDescent:
    """V cameras that move: each turns about the object's centre and moves along its own axes.

    About the object, a turn hardly shifts the image: the six numbers say different things, and one
    rate does for all.

    Args:
        w2c: [V, 4, 4], OpenCV axes.
        centre: [3], of the object.
        rate: Scene units of the first step.
        turn: Radians a unit, of turns. Images tell less of a turn about the object, and Adam makes
            as long a step of little as of much, so far from the truth it is the smaller one.
    """

    def __init__(
        self, w2c: NDArray[np.float64], centre: NDArray[np.float64], rate: float, turn: float
    ):
        self.w2c = w2c.copy()
        self._centre, self._rates = np.append(centre, 1.0), rate * np.array([turn] * 3 + [1.0] * 3)
        self._mean, self._square = np.zeros((len(w2c), 6)), np.zeros((len(w2c), 6))
        self._steps = np.zeros(len(w2c), int)

    def step(self, chosen: list[int], to_cameras: NDArray[np.float64], share: float) -> None:
        """Move the chosen cameras against their gradients [C, 8], by a share of the rate."""
        first, second = MOMENTS
        for view, (*turn, x, y, z, _, _) in zip(chosen, to_cameras, strict=True):
            centre, move = (self.w2c[view] @ self._centre)[:3], np.array([x, y, z])
            gradient = np.concatenate([turn - np.cross(centre, move), move])
            mean, square = self._mean[view], self._square[view]
            mean += (1 - first) * (gradient - mean)
            square += (1 - second) * (gradient**2 - square)
            self._steps[view] += 1
            scale = np.sqrt(square / (1 - second ** self._steps[view])) + 1e-12
            step = -self._rates * share * mean / (1 - first ** self._steps[view]) / scale
            self.w2c[view] = motion(step[:3], step[3:], centre) @ self.w2c[view]
