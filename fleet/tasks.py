"""What a batch gives its workers, and what comes of it: all of it passes between machines."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from geolrm.fleet.fetching import stamp_of
from geolrm.fleet.options import CaptureOptions
from geolrm.fleet.records import Record
from geolrm.fleet.sources import Source


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What all workers of a call have in common."""

    output: str
    model: str
    model_digest: str  # of its files: what other weights would change
    backend: str = "auto"
    threads: int | None = None  # cores of one worker
    pages: bool = True
    call: str = ""  # a name of its own for each call

    def decisive(self) -> list[object]:
        """Return what decides on the bits of a result beside the files and options."""
        return [self.model_digest, self.backend, self.pages]


@dataclass(frozen=True, slots=True)
class Task:
    """One capture to be done, and whether to wait for another call that has it."""

    source: Source
    wait: bool = False

    def to_json(self) -> str:
        """Return it as text, which any worker reads."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Task:
        """Read what :meth:`to_json` made."""
        content = json.loads(text)
        given = content["source"]
        options = CaptureOptions(**given["options"])
        return Task(Source(given["id"], given["url"], options), content["wait"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task, and whether trying again may help."""

    record: Record
    again: bool = False


def source_stamp(source: Source, settings: WorkerSettings) -> str:
    """Hash all that shows, without reading the files, that a capture or its options changed."""
    return source.options.digest(stamp_of(source.url), *settings.decisive())
