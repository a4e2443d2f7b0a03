"""What a descent takes at random, from one seed: the order of views, and backgrounds."""

import numpy as np
from numpy.typing import NDArray


class Draws:
    """Views in an order where each comes once before any comes again, and backgrounds.

    Args:
        seed: Of all of it.
        pool: The numbers of the views.
    """

    def __init__(self, seed: int, pool: list[int]):
        self._generator = np.random.default_rng(seed)
        self._waiting: list[int] = []
        self._pool = pool

    def draw_from(self, pool: list[int]) -> None:
        """Start over with other views."""
        self._waiting, self._pool = [], pool

    def views(self, count: int) -> list[int]:
        """Return so many views, in ascending order."""
        count = min(count, len(self._pool))
        if len(self._waiting) < count:
            order = self._generator.permutation(len(self._pool)).tolist()
            self._waiting = [self._pool[place] for place in order]
        chosen, self._waiting = sorted(self._waiting[:count]), self._waiting[count:]
        return chosen

    def background(self) -> NDArray[np.float32]:
        """Return a colour [3], on which opacity is learned, too."""
        return self._generator.uniform(0, 1, 3).astype(np.float32)
