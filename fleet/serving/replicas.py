"""Engines in replicas of Ray Serve, and results that all of them reach."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from geolrm.fleet.serving.formats import Format
from geolrm.fleet.serving.jobs import Job, LiveStep, LostSessionError, Made, Tell
from geolrm.fleet.serving.refusals import Refusal, full, lost, overtime, refusal_of
from geolrm.fleet.serving.settings import Limits

GRACE = 2.0  # seconds after its deadline in which a job may say itself that it is overdue
RETRY_SECONDS = 5.0
LOST_BY = (
    TimeoutError, BackPressureError, RayActorError, RayTaskError, DeploymentUnavailableError,
)  # fmt: skip
# What is sent between processes: ("stage", title), and at last ("value", anything), ("refused",
# status, sentence, retry_after) or ("lost session",). Errors as such would lose their text.
Event = tuple[Any, ...]


class RayPool:
    """Engines behind a handle of Ray Serve; a :class:`geolrm.fleet.serving.jobs.Pool`.

    Ray chooses the replica, and bounds what waits: ``max_ongoing_requests`` of a replica and
    ``max_queued_requests`` before them.
    """

    def __init__(self, engines: DeploymentHandle, limits: Limits, most: int = 1):
        self.waiting = 0  # of which no replica has told a stage yet
        self._ongoing = 0  # and those that run
        self._engines, self._limits, self._most = engines, limits, most

    def check_room(self, coming: int) -> None:
        """Refuse a job that would find the queue full, were all replicas there.

        Args:
            coming: Jobs that will come before it.

        Raises:
            Refusal: Every replica has one, and as many wait as may.
        """
        if self._ongoing + coming >= self._most + self._limits.queue:
            raise full(self._limits.queue, RETRY_SECONDS)

    async def reconstruct(self, job: Job, tell: Tell) -> Made:
        """Reconstruct a job's capture in some replica."""
        content = job.archive
        if not isinstance(content, bytes):
            content = await asyncio.to_thread(content.read)
        handle = self._engines.options(stream=True)
        sent = replace(job, archive=content)
        return await self._follow(lambda: handle.reconstruct.remote(sent), tell, job.deadline)

    async def grow(self, step: LiveStep, tell: Tell) -> Made:
        """Add views to a live capture, in the replica that has it where that is there."""
        handle = self._engines.options(stream=True, multiplexed_model_id=step.session)
        return await self._follow(lambda: handle.grow.remote(step), tell, step.deadline)

    async def forget(self, session: str) -> None:
        """Leave it to the replica, which forgets the oldest live captures itself."""

    async def ready(self) -> bool:
        """Tell whether a replica answers."""
        try:
            async with asyncio.timeout(2.0):
                return await self._engines.alive.remote()
        except (TimeoutError, RayError, BackPressureError, DeploymentUnavailableError) as error:
            return isinstance(error, TimeoutError | BackPressureError)  # they are all at work

    async def _follow(self, start: Callable[[], Any], tell: Tell, deadline: float) -> Made:
        self.waiting += 1
        self._ongoing += 1
        events, waits = None, True

        def begun() -> None:
            nonlocal waits
            self.waiting -= waits
            waits = False

        def heard(stage: str) -> None:
            begun()
            tell(stage)

        try:
            async with asyncio.timeout(deadline - time.time() + GRACE):
                events = start()
                last = await _last(events, heard)
        except LOST_BY as error:
            last = self._refused(error)
        finally:
            begun()
            self._ongoing -= 1
            with contextlib.suppress(*LOST_BY):  # of work that never began, it raises the reason
                if events is not None:
                    events.cancel()
        return value_of(last)

    def _refused(self, error: BaseException) -> Event:
        if isinstance(error, TimeoutError):
            return refused_event(overtime(self._limits.seconds))
        if isinstance(error, BackPressureError):
            return refused_event(full(self._limits.queue, RETRY_SECONDS))
        if isinstance(error, RayTaskError):  # not of a job's own
            return refused_event(refusal_of(error.cause or error))
        return refused_event(lost())


async def _last(events: AsyncIterator[Event], tell: Tell) -> Event:
    """Tell the stages, and return the event that ends them."""
    async for event in events:
        if event[0] != "stage":
            return event
        tell(event[1])
    return refused_event(lost())


def refused_event(refusal: Refusal) -> Event:
    """Return a refusal as it is sent between processes."""
    return "refused", refusal.status, refusal.sentence, refusal.retry_after


def value_of(event: Event) -> Any:
    """Return the value of an event that ends some work.

    Raises:
        LostSessionError: The engine does not know the live capture.
        Refusal: It was refused.
    """
    kind, *values = event
    if kind == "lost session":
        raise LostSessionError
    if kind == "refused":
        raise Refusal(*values)
    return values[0]


class RayResults:
    """Results in a deployment of their own, which every replica of the application reaches."""

    def __init__(self, results: DeploymentHandle):
        self._results = results

    async def keep(self, content: bytes, format: Format) -> str:
        """Keep a result, and return the name that finds it.

        Raises:
            Refusal: There is no room, or the results are lost.
        """
        return value_of(await self._ask(self._results.keep, content, format))

    async def find(self, name: str) -> tuple[bytes, Format] | None:
        """Return a result, None where there is none.

        Raises:
            Refusal: The results are lost.
        """
        return value_of(await self._ask(self._results.find, name))

    async def _ask(self, method: Any, *arguments: Any) -> Event:
        try:
            return await method.remote(*arguments)
        except (RayActorError, DeploymentUnavailableError):
            return refused_event(lost())
