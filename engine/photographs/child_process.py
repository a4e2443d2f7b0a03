"""One job in a process that holds pycolmap, and what went wrong there as one sentence."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geolrm.engine.errors import GeoLRMError, InputError
from geolrm.engine.system.extras import require

COMMAND = (sys.executable, "-m", "geolrm.engine.photographs.mapping_job")
LEAST_FREE = 64_000_000  # bytes: COLMAP loses matches on a full disk, and says nothing or crashes
LESS = "use fewer or smaller photographs (--max-photos, --max-side)"


def run_job(
    job: str,
    log: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    command: tuple[str, ...] = COMMAND,
    **arguments: Any,
) -> Any:
    """Run a job of :mod:`mapping_job` and return its result.

    Args:
        job: Its name.
        log: The file that takes what COLMAP prints.
        progress: Takes how much is done, of how much.
        command: What is run; a test gives another.
        **arguments: Of the job, as JSON takes them.

    Raises:
        InputError: The disk is full, or became so.
        GeoLRMError: pycolmap is not installed, refused, crashed, or ran out of memory.
    """
    require("pycolmap", "finding the poses of photographs", extra="photos")
    _check_room(log.parent)
    environment = dict(os.environ, GLOG_minloglevel="2", PYTHONUNBUFFERED="1")
    with log.open("ab") as printed:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,  # Ctrl-C comes to us, who then end it
        )
    answer: dict[str, Any] = {}
    try:
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps({"job": job, **arguments}) + "\n")
            process.stdin.flush()
        for line in process.stdout:
            answer = _parsed(line) or answer
            if "total" in answer:
                progress(answer["done"], answer["total"])
        code = process.wait()
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
    _check_room(log.parent)
    if "error" in answer:
        raise GeoLRMError(f"COLMAP could not {TITLES.get(job, job)}: {answer['error']}; see {log}")
    if "result" not in answer:
        raise GeoLRMError(
            f"COLMAP ended without a result while it was to {TITLES.get(job, job)} "
            f"({_reason(code)}); {LESS}, then call again, which goes on from here; see {log}"
        )
    return answer["result"]


TITLES = {
    "extract": "find features",
    "strongest": "read features",
    "forget": "remove matches",
    "match": "match photographs",
    "build": "build a model",
    "undistort": "undistort photographs",
}


def _check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        raise InputError(
            f"the disk of {str(folder)!r} is full ({free / 1e6:.0f} MB are free, and COLMAP needs "
            f"{LEAST_FREE / 1e6:.0f} at least); make room and call again, which goes on from here"
        )


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"signal {name}" if name != "SIGKILL" else "killed, most likely since memory ran out"
