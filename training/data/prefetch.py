"""Examples made ahead of their turn, in threads."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Prefetched:
    """The examples of a source; those that come next are begun when one is asked for.

    Args:
        source: Maps a number to an example.
        workers: Threads.
        stride: Between the numbers that one process asks for.
    """

    def __init__(self, source: Any, workers: int, stride: int = 1):
        self.source, self.stride, self.ahead = source, stride, 2 * workers
        self._pool = ThreadPoolExecutor(workers)
        self._begun: dict[int, Future] = {}

    def __getitem__(self, number: int) -> Any:
        for place in range(self.ahead + 1):
            later = number + place * self.stride
            if later not in self._begun:
                self._begun[later] = self._pool.submit(self.source.__getitem__, later)
        return self._begun.pop(number).result()

    def close(self) -> None:
        """Drop the examples that were begun."""
        self._pool.shutdown(cancel_futures=True)
