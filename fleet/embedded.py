"""A batch in this process: one capture after another, the next one read and decoded meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from geolrm.fleet.records import Record
from geolrm.fleet.tasks import Task
from geolrm.fleet.worker import Prepared, Worker


def run_here(tasks: Iterable[Task], worker: Worker) -> Iterator[Record]:
    """Do the tasks, and yield a record for each; what may work another time is tried at the end."""
    waiting = deque(tasks)
    prepared: Prepared | None = None
    upcoming: Future[Prepared] | None = None
    with ThreadPoolExecutor(1, "reader") as reader:
        try:
            while waiting or upcoming is not None:
                if upcoming is None:
                    upcoming = reader.submit(worker.prepare, waiting.popleft())
                _ = worker.engine  # loads while the first capture is read
                prepared, upcoming = upcoming.result(), None
                if waiting:
                    upcoming = reader.submit(worker.prepare, waiting.popleft())
                outcome = worker.finish(prepared)
                if outcome.again:
                    waiting.append(prepared.task)
                else:
                    yield outcome.record
        finally:
            if prepared is not None:
                prepared.open.close()
            if upcoming is not None:  # the caller has left
                worker.leave()
                upcoming.result().open.close()
