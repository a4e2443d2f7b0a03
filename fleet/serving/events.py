"""Server-sent events: the stages of a run as they begin, and how it ended."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from geolrm.fleet.serving.formats import EVENT_STREAM
from geolrm.fleet.serving.jobs import Tell
from geolrm.fleet.serving.logs import LOGGER
from geolrm.fleet.serving.refusals import REASONS, refusal_of

FIRST_SECONDS = 0.25  # in which a job that is refused at once is
HEARTBEAT_SECONDS = 10.0  # between comments, so that no proxy takes the stream for dead


def event(name: str, data: dict[str, Any]) -> bytes:
    """Write one event; JSON has no line breaks of its own."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


class EventResponse(StreamingResponse):
    """The events of a piece of work, which is given up when the client leaves.

    Args:
        work: Does it, given what takes the titles of stages; returns the data of the last event.
        request_id: Of the request.
        facts: Takes how it ended, for the log: the status of a stream is always 200.
    """

    def __init__(
        self,
        work: Callable[[Tell], Coroutine[Any, Any, dict[str, Any]]],
        request_id: str,
        facts: dict[str, Any],
    ):
        super().__init__(self._events(), media_type=EVENT_STREAM)
        self.headers["X-Accel-Buffering"] = "no"  # of nginx
        self._stages: asyncio.Queue[str] = asyncio.Queue()
        self._task = asyncio.ensure_future(work(self._stages.put_nowait))
        self._request_id, self._facts = request_id, facts
        self._kept: contextlib.AsyncExitStack | None = None

    async def begin(self) -> None:
        """Wait a moment for the work to be refused.

        Raises:
            Refusal: It was.
        """
        await asyncio.wait([self._task], timeout=FIRST_SECONDS)
        if self._task.done() and self._task.exception() is not None:
            await self._task

    def keep(self, stack: contextlib.AsyncExitStack) -> None:
        """Keep what the work reads until the stream has ended."""
        self._kept = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            if self._kept is not None:
                await self._kept.aclose()

    async def _events(self) -> AsyncIterator[bytes]:
        yield event("accepted", {"request_id": self._request_id})
        while not (self._task.done() and self._stages.empty()):
            waiting = asyncio.ensure_future(self._stages.get())
            await asyncio.wait(
                [waiting, self._task], timeout=HEARTBEAT_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )  # fmt: skip
            if waiting.done():
                yield event("stage", {"stage": waiting.result()})
                continue
            waiting.cancel()
            if not self._task.done():
                yield b": still at it\n\n"
        try:
            yield event("done", await self._task)
            self._facts["outcome"] = "done"
        except Exception as error:
            refusal = refusal_of(error)
            if refusal.status == 500:
                LOGGER.log(logging.ERROR, "fault", exc_info=error)
            self._facts["outcome"] = REASONS[refusal.status]
            yield event(
                "failed",
                {"error": refusal.sentence, "request_id": self._request_id,
                 "status": refusal.status, "retry_after": refusal.retry_after},
            )  # fmt: skip
