"""Photographs without poses: how many of them make one model, and how long that takes."""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from geolrm.engine.photographs import PhotographOptions, capture_photographs


@dataclass(frozen=True, slots=True)
class Row:
    """One folder of photographs."""

    name: str
    photographs: int
    posed: int  # in one model
    seconds: float  # to poses and the written capture; masks are those that there are
    cpu_seconds: float  # of all processes


def measure(source: str | Path, *, threads: int | None = None) -> Row:
    """Find the poses of a folder of photographs from nothing, and leave nothing behind.

    Args:
        source: The folder, or a video.
        threads: Of COLMAP; None takes all cores.

    Raises:
        InputError: As :func:`geolrm.engine.photographs.capture_photographs`.
    """
    options = PhotographOptions(masks="none", threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        started, cpu = time.perf_counter(), _cpu_seconds()
        report = capture_photographs(source, Path(folder) / "photos.capture", options)
        seconds, cpu = time.perf_counter() - started, _cpu_seconds() - cpu
    return Row(Path(source).name, report["photographs"], report["posed"], seconds, cpu)


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
