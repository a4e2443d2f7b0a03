"""A stopwatch that says which stage begins, and stops a run that nobody waits for."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from geolrm.engine.system.stopwatch import Stopwatch


class OverdueError(Exception):
    """A run that was stopped between stages: its time was up, or its client had left."""


class StageClock(Stopwatch):
    """As a stopwatch; every stage is told, and none begins after the deadline.

    Args:
        tell: Takes the stage's title, in the thread that runs.
        deadline: In seconds of ``time.time()``, which machines share.
        left: Set when nobody waits for the run any more.
    """

    def __init__(self, tell: Callable[[str], None], deadline: float, left: threading.Event):
        super().__init__()
        self._tell, self._deadline, self._left = tell, deadline, left

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage.

        Raises:
            OverdueError: Before the block, where nobody waits for it.
        """
        self.check()
        self._tell(stage)
        with super().__call__(stage):
            yield

    def pass_on(self, title: str) -> None:
        """Tell a step within a stage."""
        self.check()
        self._tell(title)

    def check(self) -> None:
        """Stop where nobody waits."""
        if self._left.is_set() or time.time() > self._deadline:
            raise OverdueError
