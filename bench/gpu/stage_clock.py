"""What each stage of a run takes of the GPU: events on its stream, at the stages' borders."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from geolrm.engine.cuda.array import Device
from geolrm.engine.cuda.faults import check
from geolrm.engine.system.stopwatch import Stopwatch


class StageClock(Stopwatch):
    """A stopwatch that also records events on a device's stream.

    Between the host's times and the GPU's lies what the host does while the GPU waits.
    """

    def __init__(self, device: Device) -> None:
        super().__init__()
        self._stream = device.stream
        self._borders: list[tuple[str, Any, Any]] = []

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the block by the host's clock, and between two events."""
        first = self._event()
        with super().__call__(stage):
            yield
        self._borders.append((stage, first, self._event()))

    def gpu_milliseconds(self) -> dict[str, float]:
        """Return the milliseconds of each stage on the GPU, and of ``total``; waits for the last.

        A stage's time ends when its work has ended, so gaps between its kernels count.
        """
        from cuda.bindings import driver  # pyright: ignore[reportAttributeAccessIssue]  # compiled, without stubs

        if not self._borders:
            return {}
        check(driver.cuEventSynchronize(self._borders[-1][2]))
        times: dict[str, float] = {}
        for stage, first, last in self._borders:
            times[stage] = times.get(stage, 0.0) + self._between(first, last)
        return times | {"total": self._between(self._borders[0][1], self._borders[-1][2])}

    def close(self) -> None:
        """Let go of the events."""
        from cuda.bindings import driver  # pyright: ignore[reportAttributeAccessIssue]

        for _, first, last in self._borders:
            check(driver.cuEventDestroy(first))
            check(driver.cuEventDestroy(last))
        self._borders.clear()

    def _event(self) -> Any:
        from cuda.bindings import driver  # pyright: ignore[reportAttributeAccessIssue]

        (event,) = check(driver.cuEventCreate(0))
        check(driver.cuEventRecord(event, self._stream))
        return event

    @staticmethod
    def _between(first: Any, last: Any) -> float:
        from cuda.bindings import driver  # pyright: ignore[reportAttributeAccessIssue]

        (elapsed,) = check(driver.cuEventElapsedTime(first, last))
        return float(elapsed)
