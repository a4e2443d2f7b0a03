"""One engine in this process, and a bounded number of jobs that wait for it."""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from geolrm.fleet.serving.jobs import Job, LiveStep, Made, Tell
from geolrm.fleet.serving.reconstruction import Reconstructor
from geolrm.fleet.serving.refusals import full, overtime

USUAL_SECONDS = 3.0  # of a job, until one has been done
WEIGHT = 0.3  # of the last job in the running mean of their seconds
GRACE = 1.0  # seconds after its deadline in which a job may say itself that it is overdue


class LocalPool:
    """An engine in a thread of its own; a :class:`geolrm.fleet.serving.jobs.Pool`."""

    def __init__(self, reconstructor: Reconstructor):
        self.waiting = 0
        self._reconstructor = reconstructor
        self._limits = reconstructor.limits
        self._turn = asyncio.Semaphore(1)
        self._thread = ThreadPoolExecutor(1, "engine")
        self._seconds = USUAL_SECONDS

    async def reconstruct(self, job: Job, tell: Tell) -> Made:
        """Reconstruct a job's capture when its turn has come."""
        return await self._work(partial(self._reconstructor.reconstruct, job), tell, job.deadline)

    async def grow(self, step: LiveStep, tell: Tell) -> Made:
        """Add views to a live capture when its turn has come."""
        return await self._work(partial(self._reconstructor.grow, step), tell, step.deadline)

    async def forget(self, session: str) -> None:
        """Drop a live capture."""
        self._reconstructor.forget(session)

    async def ready(self) -> bool:
        """Tell whether jobs are taken: always, since the engine was loaded before."""
        return True

    def check_room(self, coming: int) -> None:
        """Refuse a job that would find the queue full.

        Args:
            coming: Jobs that will come before it.

        Raises:
            Refusal: One runs, and as many wait as may.
        """
        ahead = self.waiting + coming
        if self._turn.locked() + ahead > self._limits.queue:
            raise full(self._limits.queue, self._seconds * (ahead + 1))

    def close(self) -> None:
        """End the thread, after the job that it works on."""
        self._thread.shutdown()

    async def _work(
        self, work: Callable[[Tell, threading.Event], Made], tell: Tell, deadline: float
    ) -> Made:
        """Wait for the turn, then work in the thread; the turn ends when the thread is done.

        Raises:
            Refusal: The queue is full, or the deadline passed; or what the work itself raises.
        """
        self.check_room(0)
        left = threading.Event()
        try:
            async with asyncio.timeout(deadline - time.time() + GRACE):
                await self._wait()
                return await self._run(work, tell, left)
        except TimeoutError:
            raise overtime(self._limits.seconds) from None
        finally:
            left.set()  # where nobody waits any more; the work is done otherwise

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self.waiting -= 1

    async def _run(self, work: Callable[..., Made], tell: Tell, left: threading.Event) -> Made:
        loop, start = asyncio.get_running_loop(), time.monotonic()

        def tell_here(stage: str) -> None:
            loop.call_soon_threadsafe(tell, stage)

        def done(_: Any) -> None:
            self._seconds += WEIGHT * (time.monotonic() - start - self._seconds)
            self._turn.release()

        context = contextvars.copy_context()  # so that nothing that the work sets stays
        running = loop.run_in_executor(self._thread, lambda: context.run(work, tell_here, left))
        running.add_done_callback(done)
        return await asyncio.shield(running)
