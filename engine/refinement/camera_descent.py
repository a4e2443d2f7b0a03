"""Adam on camera poses, beside the descent on the splats."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.geometry.motions import motion

MOMENTS = (0.8, 0.95)  # decay of Adam's mean and of its square, as for the splats


class CameraDescent:
    """V cameras that move: each turns about the object's centre and moves along its own axes.

    About the object, a turn hardly shifts the image: the six numbers say different things. All six
    of a camera share one length of gradients, unlike Adam's: where the images tell little, as of
    the distance or of how a round thing is turned, a camera then stays about where it is.

    Args:
        w2c: [V, 4, 4], OpenCV axes.
        centre: [3], of the object.
        rate: Root mean square of the six numbers at the first step, scene units.
        turn: Radians that count as much as a unit, in gradients and in steps.
    """

    def __init__(
        self, w2c: NDArray[np.float64], centre: NDArray[np.float64], rate: float, turn: float
    ):
        self.w2c, self.centre = w2c.copy(), centre
        self._rate, self._units = rate, np.array([turn] * 3 + [1.0] * 3)
        self._mean, self._square = np.zeros((len(w2c), 6)), np.zeros(len(w2c))
        self._steps = np.zeros(len(w2c), int)

    def step(self, chosen: list[int], to_cameras: NDArray[np.float64], share: float) -> None:
        """Move the chosen cameras against their gradients [C, 8], by a share of the rate."""
        first, second = MOMENTS
        for view, (*turn, x, y, z, _, _) in zip(chosen, to_cameras, strict=True):
            centre = (self.w2c[view] @ np.append(self.centre, 1.0))[:3]
            move = np.array([x, y, z])
            gradient = self._units * np.concatenate([turn - np.cross(centre, move), move])
            self._mean[view] += (1 - first) * (gradient - self._mean[view])
            self._square[view] += (1 - second) * (np.mean(gradient**2) - self._square[view])
            self._steps[view] += 1
            mean = self._mean[view] / (1 - first ** self._steps[view])
            length = math.sqrt(self._square[view] / (1 - second ** self._steps[view])) + 1e-12
            step = -self._rate * share * self._units * mean / length
            self.w2c[view] = motion(step[:3], step[3:], centre) @ self.w2c[view]
