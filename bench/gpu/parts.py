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
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geolrm.bench.gpu import targets, timing
from geolrm.bench.gpu.report import NotRun, Part, Row, run_part
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system.extras import KERNEL_PACKAGES, installed_version

TESTS = Path(__file__).resolve().parents[2] / "tests"
LIMIT = 3600.0  # seconds of one part


@dataclass(frozen=True, slots=True)
class Task:
    """How a part is made."""

    title: str
    measure: Callable[[list[Row]], None]
    done: str = "measured"


def run_tests(rows: list[Row]) -> None:
    """Run ``pytest -m gpu`` on the checkout's tests."""
    if not (TESTS / "gpu").is_dir():
        raise NotRun("the tests are in the repository alone; run this in a checkout")
    import hypothesis  # noqa: F401  # what is absent is named
    import pytest  # noqa: F401
    import torch  # noqa: F401

    # Named one by one: collecting all would import every extra. csrc's get the GPU as a fixture.
    marked = (p for p in TESTS.rglob("test_*.py") if "pytest.mark.gpu" in p.read_text())
    files = sorted({*marked, *(TESTS / "csrc").glob("test_*.py")})
    command = [sys.executable, "-m", "pytest", "-v", "-m", "gpu", "-rs", "--tb=short"]
    done = subprocess.run(
        [*command, *map(str, files)], cwd=TESTS.parent, capture_output=True, text=True, check=False
    )
    print(done.stdout, done.stderr, flush=True)
    lines = [line.strip("= ") for line in done.stdout.splitlines() if line.strip()]
    last = lines[-1] if lines else "it printed nothing"
    rows += [{"not passed": line} for line in lines if line.startswith(("FAILED", "SKIPPED"))]
    if done.returncode != 0:
        raise GeoLRMError(f"pytest ended with {done.returncode}: {last}")
    if " passed" not in last:
        raise NotRun(f"no test ran: {last}")
    rows.insert(0, {"pytest": last})


def kernels(rows: list[Row]) -> None:
    """Measure every kernel against its floor."""
    missing = [name for name in KERNEL_PACKAGES if installed_version(name) is None]
    if missing:
        raise NotRun(f"{' and '.join(missing)} missing; pip install 'geolrm[gpu]'")
    from geolrm.bench.gpu import kernels

    kernels.measure(rows)


def rasterizer(rows: list[Row]) -> None:
    """Measure the CUDA rasterizer against gsplat, a row for each scene and size."""
    from geolrm.bench import gpu_raster

    result = gpu_raster.measure()
    rows += [flat(row) for row in result["rows"]]
    if result["ours"] != "measured":
        raise NotRun(result["ours"].removeprefix("not run: "))
    if result["gsplat"] != "measured":
        rows.append({"scene": f"gsplat {result['gsplat']}"})


def flat(row: Row) -> Row:
    """Flatten a row: percentiles of one measurement become columns of their own."""
    columns: Row = {}
    for key, value in row.items():
        if isinstance(value, dict):
            columns |= {f"{key} {name}": inner for name, inner in value.items()}
        else:
            columns[key] = value
    return columns


def engine(backend: str, rows: list[Row]) -> None:
    """Measure the whole engine on one backend."""
    from geolrm.bench.gpu import engine

    engine.measure_engine(backend, rows)


def peer(compiled: bool, rows: list[Row]) -> None:
    """Measure the same model in torch."""
    from geolrm.bench.gpu import engine

    engine.measure_torch(compiled, rows)


TASKS = {
    "tests": Task("GPU tests", run_tests, "passed"),
    "kernels": Task(targets.KERNELS, kernels),
    "rasterizer": Task(targets.RASTERIZER, rasterizer),
    "cuda": Task(targets.ENGINE, functools.partial(engine, "cuda")),
    "tensorrt-rtx": Task("Engine, tensorrt-rtx fp16", functools.partial(engine, "tensorrt-rtx")),
    "tensorrt": Task("Engine, tensorrt fp16", functools.partial(engine, "tensorrt")),
    "torch": Task("Eager torch, fp16", functools.partial(peer, False)),
    "torch-compile": Task("torch.compile, fp16", functools.partial(peer, True)),
}


def run_here(name: str, result: Path) -> None:
    """Run one part in this process; what became of it is written as JSON."""
    task = TASKS[name]
    part = run_part(task.title, task.measure, task.done)
    result.write_text(json.dumps(asdict(part)))


def run_apart(name: str, folder: Path, limit: float = LIMIT) -> Part:
    """Run one part in a process of its own, whose output goes to ``NAME.log`` in the folder."""
    log, result = folder / f"{name}.log", folder / f".{name}.json"
    before = timing.clocks()
    try:
        with log.open("w") as opened:
            done = subprocess.run(
                command_of(name, result),
                stdout=opened,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=limit,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        status = f"failed: its process {_ending(done.returncode)}; see {log.name}"
        part = _read(result) or Part(TASKS[name].title, status)
    except subprocess.TimeoutExpired:
        part = Part(TASKS[name].title, f"failed: it took over {limit:.0f} s; see {log.name}")
    finally:
        result.unlink(missing_ok=True)
    part.notes.append(f"clocks before: {before}; after: {timing.clocks()}")
    return part


def command_of(name: str, result: Path) -> list[str]:
    """Return the command that runs a part in a process of its own."""
    return [sys.executable, "-m", "geolrm.bench.gpu", "--part", name, "--output", str(result)]


def _read(result: Path) -> Part | None:
    try:
        content: dict[str, Any] = json.loads(result.read_text())
    except (OSError, ValueError):
        return None
    return Part(**content)


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
