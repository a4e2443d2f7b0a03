"""How far a batch is, how fast, and when it will be done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from geolrm.fleet.records import DONE, Record

RECENT, FEW = 200, 4  # captures that the speed is taken from, and too few for it


@dataclass(slots=True)
class Progress:
    """Counts of a batch, which grow."""

    total: int  # captures that were asked for
    kept: int = 0  # that were done already
    done: int = 0  # by this call
    failed: int = 0
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    _ends: deque[float] = field(init=False)  # of the last captures

    def __post_init__(self) -> None:
        self.started = self.clock()
        self._ends = deque(maxlen=RECENT)

    def count(self, record: Record, call: str) -> None:
        """Count the record of one capture."""
        self._ends.append(self.clock())
        if record.status != DONE:
            self.failed += 1
        elif record.call == call:
            self.done += 1
        else:
            self.kept += 1

    @property
    def finished(self) -> int:
        """How many captures need no more work."""
        return self.kept + self.done + self.failed

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self.clock() - self.started

    @property
    def per_minute(self) -> float | None:
        """Captures a minute, of the last ones; of all while they are few; None before the first.

        What the start took does not count for long: a cluster may take half a minute.
        """
        count, span = len(self._ends), self.seconds
        if count > FEW:
            count, span = count - 1, self._ends[-1] - self._ends[0]
        return 60 * count / span if count and span > 0 else None

    @property
    def remaining_seconds(self) -> float | None:
        """Until all are done, if it goes on like this; None before the first."""
        rate = self.per_minute
        return None if rate is None else 60 * (self.total - self.finished) / rate

    def __str__(self) -> str:
        parts = [f"{self.finished:,} of {self.total:,}"]
        if self.kept:
            parts.append(f"{self.kept:,} done before")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        if (rate := self.per_minute) is not None:
            parts.append(f"{rate:,.1f} a minute")
        if (left := self.remaining_seconds) is not None and self.finished < self.total:
            parts.append(f"{_duration(left)} left")
        return ", ".join(parts)


def _duration(seconds: float) -> str:
    """Write seconds as people say them: ``12 s``, ``5 min``, ``3 h 20 min``."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
