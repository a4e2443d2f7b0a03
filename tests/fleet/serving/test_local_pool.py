"""One job at a time, a bounded number that wait, and none lost."""

import asyncio
import threading
import time

import pytest

from geolrm.fleet.serving.jobs import Job, Made
from geolrm.fleet.serving.local_pool import LocalPool
from geolrm.fleet.serving.refusals import Refusal
from geolrm.fleet.serving.settings import Limits


class Slow:
    """In the place of an engine: works until it is let go, and notes what it did."""

    def __init__(self, **limits):
        self.limits = Limits(**limits)
        self.go, self.begun, self.done, self.at_once = threading.Event(), [], [], 0

    def reconstruct(self, job, tell, left):
        self.at_once += 1
        assert self.at_once == 1
        self.begun.append(job.request_id)
        tell("encode")
        while not self.go.wait(0.005):
            if left.is_set():
                break
        self.at_once -= 1
        self.done.append((job.request_id, left.is_set()))
        if job.request_id == "bad":
            raise Refusal(422, "it is bad")
        return Made(b"", "ply", {}, 0, 0, 0)


def job(name, seconds=30.0):
    return Job(b"", "ply", {}, None, time.time() + seconds, name)


def start(pool, name, told=None, **options):
    tell = (lambda stage: None) if told is None else told.append
    return asyncio.ensure_future(pool.reconstruct(job(name, **options), tell))


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


def test_those_that_find_the_queue_full_are_told_when_to_come_again():
    async def scenario():
        slow = Slow(queue=2)
        pool = LocalPool(slow)
        told = []
        tasks = [start(pool, name, told) for name in "abc"]
        await until(lambda: slow.begun == ["a"] and pool.waiting == 2 and told == ["encode"])
        with pytest.raises(Refusal, match="2 requests wait already, as many as this") as refused:
            await start(pool, "d")
        assert refused.value.status == 429 and refused.value.retry_after == 9  # 3 s each
        slow.go.set()
        assert [type(made) for made in await asyncio.gather(*tasks)] == [Made] * 3
        assert slow.begun == ["a", "b", "c"] and pool.waiting == 0  # in their order
        await start(pool, "d")
        with pytest.raises(Refusal, match="it is bad"):
            await start(pool, "bad")
        await start(pool, "e")
        pool.close()

    asyncio.run(scenario())


def test_requests_that_still_come_have_a_place_in_the_queue():
    async def scenario():
        slow = Slow(queue=2)
        pool = LocalPool(slow)
        pool.check_room(2)  # one would run, two wait
        with pytest.raises(Refusal, match="2 requests wait already, as many as this"):
            pool.check_room(3)
        first = start(pool, "a")
        await until(lambda: slow.begun == ["a"])
        pool.check_room(1)
        with pytest.raises(Refusal) as refused:
            pool.check_room(2)
        assert (refused.value.status, refused.value.retry_after) == (429, 9)  # 3 s each
        slow.go.set()
        await first
        pool.close()

    asyncio.run(scenario())


def test_a_client_that_leaves_the_queue_makes_room():
    async def scenario():
        slow = Slow(queue=1)
        pool = LocalPool(slow)
        first, second = start(pool, "a"), start(pool, "b")
        await until(lambda: pool.waiting == 1 and slow.begun)
        second.cancel()
        await until(lambda: pool.waiting == 0)
        third = start(pool, "c")
        await asyncio.sleep(0)
        slow.go.set()
        await asyncio.gather(first, third)
        assert slow.begun == ["a", "c"]
        pool.close()

    asyncio.run(scenario())


def test_a_client_that_leaves_stops_its_run_and_the_turn_ends_with_the_thread():
    async def scenario():
        slow = Slow(queue=1)
        pool = LocalPool(slow)
        first = start(pool, "a")
        await until(lambda: slow.begun)
        first.cancel()
        second = start(pool, "b")
        await until(lambda: slow.begun == ["a", "b"])
        assert slow.done == [("a", True)]
        slow.go.set()
        await second
        pool.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("waits", [False, True])
def test_nobody_waits_longer_than_the_limit(monkeypatch, waits):
    monkeypatch.setattr("geolrm.fleet.serving.local_pool.GRACE", 0.0)

    async def scenario():
        slow = Slow(queue=1, seconds=7)
        pool = LocalPool(slow)
        first = start(pool, "a") if waits else None
        await asyncio.sleep(0.01)
        with pytest.raises(Refusal, match="longer than the 7 s that this server gives") as refused:
            await start(pool, "b", seconds=0.1)
        assert refused.value.status == 504
        slow.go.set()
        if first is not None:
            await first
        assert pool.waiting == 0
        pool.close()

    asyncio.run(scenario())
