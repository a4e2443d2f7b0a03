"""Seconds per stage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """A clock that sums seconds by named stage."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        start = time.perf_counter()
        yield
        self._stages[stage] = self._stages.get(stage, 0.0) + time.perf_counter() - start

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._start

    def timings(self) -> dict[str, float]:
        """Return the seconds of the stages so far, and ``total`` since the start."""
        return {**self._stages, "total": self.elapsed}
