"""The parts of the GPU benchmark, each in a process of its own.

A process of its own, because an error on a GPU spoils everything that its process does afterwards,
and because memory is then a part's own.
"""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geolrm.bench.gpu import targets, timing
from geolrm.bench.gpu.choices import Choices
from geolrm.bench.gpu.report import NotRun, Part, Recorder, Row, run_part
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system.extras import KERNEL_PACKAGES, installed_version

TESTS = Path(__file__).resolve().parents[2] / "tests"
BETWEEN_LOOKS = 0.5  # seconds between looks at what a part has written
LEAST = 5.0  # seconds without which no part is started
LOGS = "logs.tar.gz"


@dataclass(frozen=True, slots=True)
class Task:
    """How a part is made."""

    title: str
    measure: Callable[[Recorder, Choices], None]
    share: float  # of the time of all that it may take, so that those after it run as well
    done: str = "measured"


def run_tests(record: Recorder, choices: Choices) -> None:
    """Run ``pytest -m gpu`` on the checkout's tests."""
    if not (TESTS / "gpu").is_dir():
        raise NotRun("the tests are in the repository alone; run this in a checkout")
    import hypothesis  # noqa: F401  # what is absent is named
    import pytest  # noqa: F401
    import torch  # noqa: F401

    # Named one by one: collecting all would import every extra. csrc's get the GPU as a fixture.
    tests = TESTS.rglob("test_*.py")
    marked = (p for p in tests if "pytest.mark.gpu" in p.read_text(encoding="utf-8"))
    files = sorted({*marked, *(TESTS / "csrc").glob("test_*.py")})
    command = [sys.executable, "-m", "pytest", "-v", "-m", "gpu", "-rs", "--tb=short"]
    lines: list[str] = []
    with subprocess.Popen(
        [*command, *map(str, files)], cwd=TESTS.parent, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        for line in running.stdout:  # at once: a part that takes too long has a log all the same
            print(line, end="", flush=True)
            lines += [line.strip("= \n")] if line.strip() else []
    last = lines[-1] if lines else "it printed nothing"
    record.extend({"not passed": line} for line in lines if line.startswith(("FAILED", "SKIPPED")))
    if running.returncode != 0:
        raise GeoLRMError(f"pytest ended with {running.returncode}: {last}")
    if " passed" not in last:
        raise NotRun(f"no test ran: {last}")
    record.part.rows.insert(0, {"pytest": last})


def kernels(record: Recorder, choices: Choices) -> None:
    """Measure every kernel against its floor."""
    _require_kernel_packages()
    from geolrm.bench.gpu import kernels

    kernels.measure(record, choices)


def counters(record: Recorder, choices: Choices) -> None:
    """Read the hardware's counters of four kernels with Nsight Compute."""
    _require_kernel_packages()
    from geolrm.bench.gpu import counters

    counters.measure(record)


def sanitizer(record: Recorder, choices: Choices) -> None:
    """Look for wrong accesses and races of the kernels with NVIDIA's Compute Sanitizer."""
    _require_kernel_packages()
    from geolrm.bench.gpu import sanitizer

    sanitizer.measure(record)


def rasterizer(peer: bool, record: Recorder, choices: Choices) -> None:
    """Measure the CUDA rasterizer, alone or beside gsplat; a row for each scene and size."""
    from geolrm.bench import gpu_raster

    def add(row: Row) -> None:
        record.add(flat(row))

    result = gpu_raster.measure(seconds=choices.seconds, peer=peer, seen=add)
    if result["ours"] != "measured":
        raise NotRun(result["ours"].removeprefix("not run: "))
    if peer and result["gsplat"].startswith("not run: "):
        raise NotRun(result["gsplat"].removeprefix("not run: "))
    for title in ("gsplat", "gsplat fp16") if peer else ():
        if result[title] != "measured":
            record.add({"scene": f"{title} {result[title]}"})


def flat(row: Row) -> Row:
    """Flatten a row: percentiles of one measurement become columns of their own."""
    columns: Row = {}
    for key, value in row.items():
        if isinstance(value, dict):
            columns |= {f"{key} {name}": inner for name, inner in value.items()}
        else:
            columns[key] = value
    return columns


def engine(backend: str, record: Recorder, choices: Choices) -> None:
    """Measure the whole engine on one backend."""
    from geolrm.bench.gpu import engine

    engine.measure_engine(backend, record, choices)


def peer(compiled: bool, record: Recorder, choices: Choices) -> None:
    """Measure the same model in torch."""
    from geolrm.bench.gpu import torch_peer

    torch_peer.measure_torch(compiled, record, choices)


def _require_kernel_packages() -> None:
    missing = [name for name in KERNEL_PACKAGES if installed_version(name) is None]
    if missing:
        raise NotRun(f"{' and '.join(missing)} missing; pip install 'geolrm[gpu]'")


# In the order of what is worth most where the time ends early: what has targets first. gsplat and
# torch.compile come last: they compile for minutes.
TASKS = {
    "kernels": Task(targets.KERNELS, kernels, 0.15),
    "rasterizer": Task(targets.RASTERIZER, functools.partial(rasterizer, False), 0.1),
    "cuda": Task(targets.ENGINE, functools.partial(engine, "cuda"), 0.5),
    "tests": Task("GPU tests", run_tests, 0.25, "passed"),
    "counters": Task("Counters of the hardware", counters, 0.15),
    "tensorrt-rtx": Task(
        "Engine, tensorrt-rtx fp16", functools.partial(engine, "tensorrt-rtx"), 0.5
    ),
    "tensorrt": Task("Engine, tensorrt fp16", functools.partial(engine, "tensorrt"), 0.5),
    "sanitizer": Task("Compute Sanitizer", sanitizer, 0.15, "passed"),
    "torch": Task("Eager torch, fp16", functools.partial(peer, False), 0.25),
    "gsplat": Task(targets.GSPLAT, functools.partial(rasterizer, True), 0.5),
    "torch-compile": Task("torch.compile, fp16", functools.partial(peer, True), 1.0),
}


def run_here(name: str, result: Path, choices: Choices) -> None:
    """Run one part in this process; what becomes of it is written as JSON, row by row."""
    task = TASKS[name]
    run_part(task.title, lambda record: task.measure(record, choices), task.done, result)


def run_apart(
    name: str,
    folder: Path,
    limit: float,
    choices: Choices | None = None,
    seen: Callable[[Part], None] = lambda part: None,
) -> Part:
    """Run one part in a process of its own.

    Args:
        name: Of :data:`TASKS`.
        folder: Of its log, ``NAME.log``.
        limit: Seconds after which it is ended; what it has measured by then counts.
        choices: What it is told to measure.
        seen: Called with the part whenever it has grown.
    """
    if limit < LEAST:
        return Part(TASKS[name].title, "not run: no time was left; give more with --limit")
    log, result = folder / f"{name}.log", folder / f".{name}.json"
    before, end, known = timing.clocks(), time.monotonic() + limit, b""
    part = Part(TASKS[name].title, "running")
    with log.open("wb") as opened:
        running = subprocess.Popen(
            command_of(name, result, choices or Choices()), stdout=opened, stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"}, start_new_session=True,
        )  # fmt: skip
    try:
        while running.poll() is None and time.monotonic() < end:
            time.sleep(BETWEEN_LOOKS)
            content = _content(result)
            if content != known:
                known, part = content, _read(content) or part
                seen(part)
        late = running.poll() is None
    finally:
        _end(running)
    part = _read(_content(result)) or part
    for path in (result, result.with_suffix(".new")):
        path.unlink(missing_ok=True)
    if late:
        part.status = f"failed: it took over {limit:.0f} s; see {log.name} in {LOGS}"
    elif part.status == "running":
        ending = _ending(running.returncode)
        part.status = f"failed: its process {ending}; see {log.name} in {LOGS}"
    part.notes.append(f"clocks before: {before}; after: {timing.clocks()}")
    return part


def command_of(name: str, result: Path, choices: Choices) -> list[str]:
    """Return the command that runs a part in a process of its own."""
    command = [sys.executable, "-m", "geolrm.bench.gpu", "--part", name, "--output", str(result)]
    return command + choices.arguments()


def _end(running: subprocess.Popen) -> None:
    """End a part and what it has started, such as pytest or a compiler."""
    if running.poll() is None:
        try:
            os.killpg(running.pid, signal.SIGKILL)
        except (OSError, AttributeError):  # it ends by itself, or this is no POSIX
            running.kill()
    running.wait()


def _content(result: Path) -> bytes:
    try:
        return result.read_bytes()
    except OSError:
        return b""


def _read(content: bytes) -> Part | None:
    try:
        fields: dict[str, Any] = json.loads(content)
    except ValueError:
        return None
    return Part(**fields)


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
