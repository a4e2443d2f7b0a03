"""One worker of a batch: an engine that takes captures one after another and writes their results.

task  --prepare-->  files here, hashed; views chosen, images decoded     (of the next capture)
      --finish--->  Engine.run; splats, page and thumbnail; the record, last of all
"""

from __future__ import annotations

import contextlib
import platform
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.chosen_views import ReadyCapture, read_for_run
from geolrm.engine.captures.lazy_images import LazyImages
from geolrm.engine.engine import Engine
from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system.extras import installed_version
from geolrm.fleet.attempts import ENDED, MOST_ATTEMPTS, Attempts
from geolrm.fleet.destination import CAPTURES, Destination
from geolrm.fleet.fetching import fetched
from geolrm.fleet.locations import StorageError
from geolrm.fleet.records import BUSY, DONE, FAILED, LONGEST_ERROR, Record, now, read_record
from geolrm.fleet.results import peak_memory_mb, write_result
from geolrm.fleet.tasks import Outcome, Task, WorkerSettings, source_stamp
from geolrm.fleet.turns import Turns

PATIENCE = 3600.0  # seconds for another call that has the same capture
GLANCE = 0.5  # seconds between looks at whether this call has ended meanwhile
CUT_OFF = "its call ended while it was written"


@dataclass(slots=True, eq=False)
class Prepared:
    """A capture that is ready for the engine; it is held and kept here until it is closed."""

    task: Task
    open: contextlib.ExitStack
    content_hash: str = ""
    stamp: str = ""
    attempts: int = 0  # of this call, this one included
    held: bool = False  # its record is ours to write
    earlier: Record | None = None
    ready: ReadyCapture | None = None
    views: tuple[int, ...] = ()
    used: Capture | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    outcome: Outcome | None = None  # it is done already, or failed


class Worker:
    """An engine, and where its results go.

    Raises:
        GeoLRMError: The engine does not load, or the output cannot be opened.
    """

    def __init__(self, settings: WorkerSettings, node: str = ""):
        self.settings = settings
        self.destination = Destination(settings.output)
        self._attempts = Attempts(self.destination, settings.call)
        self.node = node or platform.node()
        self._lock = threading.Lock()
        self._turns = Turns()
        self._leaving = threading.Event()
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The engine, loaded when it is first asked for."""
        with self._lock:
            if self._engine is None:
                settings = self.settings
                self._engine = Engine(
                    settings.model, backend=settings.backend, threads=settings.threads
                )
            return self._engine

    def attempt(self, task: Task) -> Outcome:
        """Do one task; what fails is in the record, and only the output's own errors are raised."""
        return self.finish(self.prepare(task))

    def prepare(self, task: Task) -> Prepared:
        """Bring a capture here, find out whether it is done already, and read it.

        What goes wrong is in ``outcome``.
        """
        prepared = Prepared(task, contextlib.ExitStack())
        try:
            try:
                self._prepare(prepared)
            except Exception as error:
                if not prepared.held and not isinstance(error, GeoLRMError):
                    raise  # it is the output's
                prepared.outcome = self._failure(prepared, error)
        except BaseException:
            prepared.open.close()
            raise
        if prepared.outcome is not None:
            prepared.open.close()
        return prepared

    def _prepare(self, prepared: Prepared) -> None:
        task, settings = prepared.task, self.settings
        source = task.source
        earlier = self._record(source.id)
        if earlier is not None and self._is_settled(earlier):
            prepared.outcome = Outcome(earlier)
            return
        try:
            self._hold(prepared, PATIENCE if task.wait else 0.0)
        except InputError:
            raise
        except GeoLRMError as error:
            busy = Record(source.id, source.url, BUSY, error=str(error), call=settings.call)
            prepared.outcome = Outcome(busy)
            return
        prepared.earlier = self._record(source.id)
        prepared.attempts = self._attempts.count(source.id)
        if prepared.attempts >= MOST_ATTEMPTS:
            raise InputError(ENDED)
        # What has ended a worker before, or was beside what has, ends no other capture's again.
        turn = self._turns.alone() if prepared.attempts else self._turns.shared()
        prepared.open.enter_context(turn)
        prepared.attempts += 1
        clock = _Clock(prepared.seconds)
        with clock("fetch"):
            prepared.stamp = source_stamp(source, settings)
            path, files = prepared.open.enter_context(fetched(source.url))
            prepared.content_hash = source.options.digest(files, *settings.decisive())
        if self._is_done(prepared):
            assert prepared.earlier is not None, "there is one"
            kept = replace(prepared.earlier, stamp=prepared.stamp)
            if kept != prepared.earlier:  # only times have changed
                self._put(kept)
            prepared.outcome = Outcome(kept)
            return
        with clock("read"):
            self._attempts.mark(prepared.task.source.id, prepared.attempts)
            options = source.options
            ready = read_for_run(path, remove_background=options.remove_background, fit=options.fit)
            preferred = self.engine.manifest.views.opt
            views, used = ready.choose(options.views, preferred)
            prepared.ready, prepared.views, prepared.used = ready, tuple(views), used
            if isinstance(used.images, LazyImages):
                _decode(used.images, self.engine.threads)

    def leave(self) -> None:
        """Stop waiting for captures that other calls have; what waits comes out as busy."""
        self._leaving.set()

    def _hold(self, prepared: Prepared, patience: float) -> None:
        """Hold the capture until ``prepared`` is closed.

        Raises:
            GeoLRMError: Another call has it, for longer than the patience or until :meth:`leave`.
        """
        name = f"capture-{prepared.task.source.id}"
        deadline = time.monotonic() + patience
        while not prepared.held:
            left = max(0.0, deadline - time.monotonic())
            try:
                prepared.open.enter_context(self.destination.hold(name, min(left, GLANCE)))
                prepared.held = True
            except InputError:
                raise
            except GeoLRMError:
                if left <= GLANCE or self._leaving.is_set():
                    raise

    def finish(self, prepared: Prepared) -> Outcome:
        """Reconstruct a prepared capture and write its files, the record last."""
        if prepared.outcome is not None:
            return prepared.outcome
        with prepared.open:
            try:
                return Outcome(self._finish(prepared))
            except Exception as error:
                return self._failure(prepared, error)

    def _finish(self, prepared: Prepared) -> Record:
        source, engine = prepared.task.source, self.engine
        ready, used = prepared.ready, prepared.used
        assert ready is not None and used is not None, "prepared without an outcome"
        options = source.options
        scene = engine.run(used.images, used.cameras, valid=used.valid, **options.run_options())
        prepared.seconds |= {k: v for k, v in scene.timings.items() if k != "total"}
        self._disown(prepared)
        with _Clock(prepared.seconds)("write"):
            world = ready.capture.object_to_world if options.world else None
            found = write_result(
                self.destination, source.id, scene, used.names, suffix=options.format,
                file_options=options.file_options(), world=world, page=self.settings.pages,
                threads=engine.threads,
            )  # fmt: skip
        record = replace(
            self._blank(prepared, DONE),
            gaussians=len(scene.gaussians), psnr=found.psnr, splats=found.splats, page=found.page,
            thumbnail=found.thumbnail, backend=engine.backend, threads=engine.threads,
            views=prepared.views,
            notes=(*ready.capture.notes, *ready.left_out, *ready.doubts),
        )  # fmt: skip
        self._put(record)
        for name in {*(prepared.earlier.files if prepared.earlier else ())} - {*record.files}:
            self.destination.remove(name)
        return record

    def _disown(self, prepared: Prepared) -> None:
        """Let the earlier record vouch no more for files that are about to be written over."""
        earlier = prepared.earlier
        if earlier is not None and earlier.status == DONE:
            self._put(replace(earlier, status=FAILED, error=CUT_OFF), last=False)

    def _failure(self, prepared: Prepared, error: Exception) -> Outcome:
        """Record what went wrong; what the input alone decides is not tried again.

        The files of an earlier result stay in the record, so that a later one removes them. Nothing
        is written of a capture that is not held: the record is another call's.
        """
        sentence = str(error) if isinstance(error, GeoLRMError) else _unexpected(error)
        record = replace(self._blank(prepared, FAILED), error=sentence[:LONGEST_ERROR])
        if not prepared.held:
            return Outcome(record)
        if (earlier := prepared.earlier) is not None:
            record = replace(
                record, splats=earlier.splats, page=earlier.page, thumbnail=earlier.thumbnail
            )
        final = isinstance(error, InputError) and not isinstance(error, StorageError)
        again = not final and record.attempts < MOST_ATTEMPTS
        if again:
            self._attempts.mark(prepared.task.source.id, prepared.attempts)
        self._put(record, last=not again)
        return Outcome(record, again)

    def unwritten(self, task: Task, error: Exception) -> Outcome:
        """Return the failure of a task whose record the output does not take."""
        prepared = Prepared(task, contextlib.ExitStack())
        return self._failure(prepared, error)

    def _blank(self, prepared: Prepared, status: str) -> Record:
        """Return a record of what is known in any case."""
        source, settings = prepared.task.source, self.settings
        seconds = {name: round(value, 6) for name, value in prepared.seconds.items()}
        return Record(
            source.id, source.url, status, prepared.content_hash,
            attempts=max(1, prepared.attempts),
            seconds=seconds | {"total": round(sum(seconds.values()), 6)},
            peak_memory_mb=peak_memory_mb(), node=self.node, options=source.options.to_dict(),
            stamp=prepared.stamp, call=settings.call,
            finished=now(),
            version=installed_version("geolrm") or "",
        )  # fmt: skip

    def _is_settled(self, earlier: Record) -> bool:
        """Tell whether this call is through with a capture: done, or failed for the last time.

        Then a worker died after it and was replaced, or a capture that shares its task with this
        one is tried again.
        """
        if earlier.call != self.settings.call:
            return False
        return earlier.status == DONE or not self._attempts.are_open(earlier.id)

    def _is_done(self, prepared: Prepared) -> bool:
        earlier = prepared.earlier
        same = earlier is not None and earlier.content_hash == prepared.content_hash
        if earlier is None or earlier.status != DONE or not same:
            return False
        return all(self.destination.has(name) for name in earlier.files)

    def _record(self, name: str) -> Record | None:
        return read_record(self.destination.read(record_name(name)))

    def _put(self, record: Record, last: bool = True) -> None:
        """Write a record; with the last one of a call, attempts need no more counting."""
        self.destination.put_bytes(record_name(record.id), record.to_json().encode())
        if last:
            self._attempts.clear(record.id)


def record_name(name: str) -> str:
    """Return where the record of a capture is kept."""
    return f"{CAPTURES}/{name}.json"


class _Clock:
    """Adds the seconds of blocks to a dictionary."""

    def __init__(self, seconds: dict[str, float]):
        self._seconds = seconds

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Any:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - start


def _decode(images: LazyImages, threads: int) -> None:
    """Decode the images now, while another capture is in the engine."""
    if threads > 1:
        images.decode()
        return
    for index in range(len(images)):
        images[index]


def _unexpected(error: Exception) -> str:
    """Say where an error came up that is none of ours."""
    where, trace = "", error.__traceback__ or sys.exc_info()[2]
    while trace is not None:
        where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    if isinstance(error, MemoryError):
        return "out of memory; use fewer views, fewer workers, or a machine with more memory"
    return f"unexpected {type(error).__name__} in {where}: {error}"
