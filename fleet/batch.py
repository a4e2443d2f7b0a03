"""``run_batch``: many captures to splats, whichever of them are not done yet.

inputs  --sources-->  captures with options
        --plan----->  those that are not done, by what their files and records say
        --workers-->  a record each: in this process, or by actors of Ray
        --publish-->  results.jsonl, results.parquet, index.html
"""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geolrm.engine.bundle.bundle import BUNDLED_MODELS, Bundle
from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system.extras import installed_version, require
from geolrm.fleet.attempts import ENDED, MOST_ATTEMPTS
from geolrm.fleet.destination import CAPTURES, Destination
from geolrm.fleet.embedded import run_here
from geolrm.fleet.options import CaptureOptions
from geolrm.fleet.progress import Progress
from geolrm.fleet.ray_pool import PoolSettings, check_room, connected, run_on_ray
from geolrm.fleet.records import (
    BUSY,
    DONE,
    FAILED,
    Record,
    can_write_parquet,
    now,
    read_lines,
    read_record,
    write_lines,
    write_parquet,
)
from geolrm.fleet.sources import Source, find_sources
from geolrm.fleet.summary_page import make_summary_page
from geolrm.fleet.tasks import Task, WorkerSettings, source_stamp
from geolrm.fleet.worker import Worker, record_name

READERS = 16  # threads that look up what is done; storages far away answer slowly
RESULTS, TABLE, PAGE = "results.jsonl", "results.parquet", "index.html"
PUBLISH_SECONDS = 30.0  # between two tables while a batch runs


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """What a call has done."""

    output: str
    total: int
    done: int  # by this call
    failed: int
    kept: int  # done before
    seconds: float
    where: str  # "this process", or of the Ray cluster
    failures: tuple[Record, ...]

    @property
    def per_minute(self) -> float | None:
        """Captures a minute; None where none was done."""
        return 60 * self.done / self.seconds if self.done else None

    def to_dict(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        failures = [{"id": r.id, "source": r.source, "error": r.error, "attempts": r.attempts}
                    for r in self.failures]  # fmt: skip
        rate = self.per_minute
        return {
            "output": self.output, "captures": self.total, "done": self.done,
            "failed": self.failed, "kept": self.kept, "seconds": round(self.seconds, 3),
            "per_minute": None if rate is None else round(rate, 3), "where": self.where,
            "results": RESULTS, "table": TABLE if can_write_parquet() else None, "page": PAGE,
            "failures": failures,
        }  # fmt: skip


def run_batch(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    options: CaptureOptions | None = None,
    model: str | Path = "mini",
    backend: str = "auto",
    pages: bool = True,
    local: bool = False,
    pool: PoolSettings | None = None,
    threads: int | None = None,
    report: Callable[[Record | None, Progress], object] = lambda record, progress: None,
) -> BatchSummary:
    """Reconstruct every capture that is not done yet.

    Args:
        inputs: Capture folders, folders of them, globs, zip files, lists (.jsonl, .parquet); paths
            or URLs of fsspec.
        output: A folder, or a URL.
        options: Of every capture; lines of lists may change them.
        model: ``"mini"`` or a bundle folder.
        backend: As for :class:`geolrm.Engine`.
        pages: Write a viewer of each result.
        local: Do without Ray even where it is installed.
        pool: Where to run, and with how many workers.
        threads: Cores of this process where it runs in it; None takes all.
        report: Called at the start with None, and with the record of each capture that ends.

    Returns:
        What was done; captures that failed do not raise.

    Raises:
        InputError: An input holds no captures, the output cannot be written, or no node of the
            cluster has what a worker needs.
        GeoLRMError: Ray or the extra ``[fleet]`` is not installed, or the cluster cannot be used.
    """
    pool = pool or PoolSettings()
    if not local and pool.needs_ray:
        require("ray", "--address, --workers, --cores or --gpus", extra="fleet",
                instead="leave them out")  # fmt: skip
    local = local or installed_version("ray") is None
    destination = Destination(str(output))
    sources = find_sources(
        [str(each) for each in inputs], options or CaptureOptions(),
        destination.location.child(CAPTURES),
    )  # fmt: skip
    settings = WorkerSettings(
        destination.url, _found_anywhere(model), model_digest(model), backend,
        threads if local else pool.cores, pages, uuid.uuid4().hex[:12],
    )  # fmt: skip
    destination.prepare()
    progress = Progress(len(sources))
    records, tasks = plan(sources, settings, destination)
    progress.kept = len(records)
    report(None, progress)
    published = time.monotonic()
    for record in _run(tasks, settings, destination, pool, local):
        records[record.id] = record
        progress.count(record, settings.call)
        report(record, progress)
        if time.monotonic() - published > PUBLISH_SECONDS:
            start = time.monotonic()
            with contextlib.suppress(GeoLRMError):  # the last one tells all the same
                publish(destination, records.values())
            published = time.monotonic() + 20 * (time.monotonic() - start)
    publish(destination, [*_unlocked(destination), *records.values()])
    where = "this process" if local else f"Ray at {pool.address or 'this machine'}"
    return BatchSummary(
        destination.url, len(sources), progress.done, progress.failed, progress.kept,
        progress.seconds, where, tuple(r for r in records.values() if r.status != DONE),
    )  # fmt: skip


def model_digest(model: str | Path) -> str:
    """Hash the manifest of a bundle, which holds the hashes of all its files.

    Raises:
        BundleError: It is no bundle.
    """
    return hashlib.sha256((Bundle.open(model).path / "manifest.json").read_bytes()).hexdigest()


def _found_anywhere(model: str | Path) -> str:
    """Return the bundle as processes find it that were started in other folders."""
    return str(model) if str(model) in BUNDLED_MODELS else str(Path(model).absolute())


def plan(
    sources: Iterable[Source], settings: WorkerSettings, destination: Destination
) -> tuple[dict[str, Record], list[Task]]:
    """Tell the captures that are done from those to do, without reading their images."""
    names = destination.names()

    def look(source: Source) -> Record | None:
        name = record_name(source.id)
        record = read_record(destination.read(name)) if name in names else None
        if record is None or record.status != DONE or not names.issuperset(record.files):
            return None
        try:
            return record if record.stamp == source_stamp(source, settings) else None
        except InputError:  # it is not there; its worker says so
            return None

    with ThreadPoolExecutor(READERS, "planner") as threads:
        looked = [*zip(sources, threads.map(look, sources), strict=True)]
    kept = {source.id: record for source, record in looked if record is not None}
    return kept, [Task(source) for source, record in looked if record is None]


def publish(destination: Destination, records: Iterable[Record]) -> None:
    """Write the tables and the page, with what other calls have added.

    Of two records of a capture the later one counts. What another call has is left to it.

    Raises:
        GeoLRMError: Another call writes them, for longer than a minute.
    """
    with destination.hold("results", patience=60.0):
        merged = read_lines(destination.read(RESULTS))
        for record in records:
            known = merged.get(record.id)
            if record.status != BUSY and (known is None or known.finished <= record.finished):
                merged[record.id] = record
        destination.put_bytes(RESULTS, write_lines(merged.values()))
        if can_write_parquet():
            destination.put_bytes(TABLE, write_parquet(merged.values()))
        destination.put_bytes(PAGE, make_summary_page(merged.values()))


def _unlocked(destination: Destination) -> list[Record]:
    """Read all records where calls cannot keep each other from writing over their tables."""
    if destination.local is not None:
        return []
    names = [name for name in destination.names() if name.endswith(".json")]
    with ThreadPoolExecutor(READERS, "reader") as threads:
        found = threads.map(lambda name: read_record(destination.read(name)), names)
        return [record for record in found if record is not None]


def _run(
    tasks: list[Task],
    settings: WorkerSettings,
    destination: Destination,
    pool: PoolSettings,
    local: bool,
) -> Iterator[Record]:
    """Do the tasks; those that another call has come last, when it may be done with them."""
    if not tasks:
        return
    if local:
        worker = Worker(settings)
        yield from _twice(tasks, lambda some: run_here(some, worker))
        return
    with connected(pool):
        check_room(pool)
        yield from _twice(tasks, lambda some: _complete(some, settings, destination, pool))


def _twice(tasks: list[Task], run: Callable[[list[Task]], Iterator[Record]]) -> Iterator[Record]:
    by_id = {task.source.id: task for task in tasks}
    busy = []
    for record in run(tasks):
        if record.status == BUSY:
            busy.append(replace(by_id[record.id], wait=True))
        else:
            yield record
    if busy:
        yield from run(busy)


def _complete(
    tasks: list[Task], settings: WorkerSettings, destination: Destination, pool: PoolSettings
) -> Iterator[Record]:
    """Run on Ray, and record those captures of which no worker lived to tell."""
    left = {task.source.id: task.source for task in tasks}
    for record in run_on_ray(tasks, settings, pool):
        if left.pop(record.id, None) is not None:
            yield record
    for source in left.values():
        record = read_record(destination.read(record_name(source.id)))
        if record is None or record.call != settings.call:
            record = Record(
                source.id, source.url, FAILED, error=ENDED, attempts=MOST_ATTEMPTS,
                options=source.options.to_dict(), call=settings.call,
                splats=record and record.splats, page=record and record.page,
                thumbnail=record and record.thumbnail, finished=now(),
                version=installed_version("geolrm") or "",
            )  # fmt: skip
            with (
                contextlib.suppress(GeoLRMError),  # another call has it
                destination.hold(f"capture-{source.id}", patience=0),
            ):
                destination.put_bytes(record_name(source.id), record.to_json().encode())
        yield record
