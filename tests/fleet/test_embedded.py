"""The order of work in one process, with a worker that only notes what is asked of it."""

import threading

import pytest

from geolrm.fleet.embedded import run_here
from geolrm.fleet.options import CaptureOptions
from geolrm.fleet.records import DONE, Record
from geolrm.fleet.sources import Source
from geolrm.fleet.tasks import Outcome, Task
from geolrm.fleet.worker import Prepared


class Noting:
    """A worker whose captures named in ``fails`` have to be tried again once."""

    engine = None

    def __init__(self, fails=""):
        self.fails, self.noted, self.closed = set(fails), [], []
        self.prepared = {}
        self.left = threading.Event()

    def leave(self):
        self.left.set()

    def event(self, name):
        return self.prepared.setdefault(name, threading.Event())

    def prepare(self, task):
        name = task.source.id
        self.noted.append(f"prepare {name}")
        self.event(name).set()
        from contextlib import ExitStack

        stack = ExitStack()
        stack.callback(self.closed.append, name)
        return Prepared(task, stack)

    def finish(self, prepared):
        name = prepared.task.source.id
        with prepared.open:
            self.noted.append(f"finish {name}")
            again = name in self.fails
            self.fails.discard(name)
            return Outcome(Record(name, "", DONE), again)


def tasks(names):
    return [Task(Source(name, f"/{name}", CaptureOptions())) for name in names]


def test_each_is_done_once_and_what_fails_comes_last():
    worker = Noting(fails="b")
    assert [record.id for record in run_here(tasks("abc"), worker)] == ["a", "c", "b"]
    finished = [line for line in worker.noted if line.startswith("finish")]
    assert finished == ["finish a", "finish b", "finish c", "finish b"]
    assert sorted(worker.closed) == ["a", "b", "b", "c"]
    assert not worker.left.is_set()  # it may be asked to wait for another call's yet


def test_a_last_one_that_fails_is_tried_again():
    worker = Noting(fails="a")
    assert [record.id for record in run_here(tasks("a"), worker)] == ["a"]
    assert worker.noted == ["prepare a", "finish a", "prepare a", "finish a"]


def test_the_next_is_prepared_while_one_is_in_the_engine():
    class Waiting(Noting):
        def finish(self, prepared):
            if prepared.task.source.id == "a":
                assert self.event("b").wait(10)  # would never be set, were it not prepared now
            return super().finish(prepared)

    assert len([*run_here(tasks("ab"), Waiting())]) == 2


def test_what_is_prepared_is_let_go_when_the_caller_leaves():
    worker = Noting()
    running = run_here(tasks("abc"), worker)
    next(running)
    running.close()
    assert sorted(worker.closed) == ["a", "b"]


def test_one_that_waits_for_another_call_does_not_keep_the_caller():
    class Waiting(Noting):
        def prepare(self, task):
            if task.source.id == "b":
                assert self.left.wait(10)
            return super().prepare(task)

    worker = Waiting()
    running = run_here(tasks("abc"), worker)
    next(running)
    running.close()
    assert worker.left.is_set() and sorted(worker.closed) == ["a", "b"]


def test_no_tasks_need_no_engine():
    class None_(Noting):
        @property
        def engine(self):
            pytest.fail("it is loaded")

    assert [*run_here([], None_())] == []
