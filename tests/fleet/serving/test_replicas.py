"""What waits and what runs in replicas, told apart; with a handle that is none of Ray's."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from geolrm.fleet.serving.jobs import Job
from geolrm.fleet.serving.refusals import Refusal
from geolrm.fleet.serving.replicas import RayPool
from geolrm.fleet.serving.settings import Limits


class Events:
    """The events of a job, which come when they are let."""

    def __init__(self):
        self.pending = asyncio.Queue()

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await self.pending.get()

    def cancel(self):
        pass


def test_what_runs_does_not_wait_and_room_is_that_of_all_replicas():
    async def scenario():
        jobs = [Events() for _ in range(2)]
        starts = iter(jobs)
        remote = SimpleNamespace(remote=lambda job: next(starts))
        handle = SimpleNamespace(options=lambda **_: SimpleNamespace(reconstruct=remote))
        pool = RayPool(handle, Limits(queue=1), 2)
        pool.check_room(2)
        with pytest.raises(Refusal, match="1 requests wait already"):
            pool.check_room(3)
        job = Job(b"", "ply", {}, None, time.time() + 30, "id")
        told = []
        tasks = [asyncio.ensure_future(pool.reconstruct(job, told.append)) for _ in jobs]
        await asyncio.sleep(0)
        assert pool.waiting == 2
        jobs[0].pending.put_nowait(("stage", "unpack"))
        jobs[0].pending.put_nowait(("stage", "read"))
        while told != ["unpack", "read"]:
            await asyncio.sleep(0.001)
        assert pool.waiting == 1
        pool.check_room(0)
        with pytest.raises(Refusal):
            pool.check_room(1)
        for events in jobs:
            events.pending.put_nowait(("value", "made"))
        assert await asyncio.gather(*tasks) == ["made"] * 2
        assert pool.waiting == 0
        pool.check_room(2)

    asyncio.run(scenario())
