"""``python -m geolrm.bench.gpu -o DIR``: first the GPU tests, then the figures."""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from geolrm.bench import gpu_raster
from geolrm.bench.gpu import engine, kernels, timing
from geolrm.bench.gpu.report import NotRun, Part, run_part, write
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.present_gpu import present_gpu

TESTS = Path(__file__).resolve().parents[2] / "tests"


def run_tests() -> list[dict[str, Any]]:
    """``pytest -m gpu`` on the checkout's tests."""
    if not (TESTS / "gpu").is_dir():
        raise NotRun("the tests are in the repository alone; run this in a checkout")
    import pytest  # noqa: F401  # an absent pytest is named

    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-rs", str(TESTS)]
    done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode != 0:
        raise GeoLRMError(f"pytest ended with {done.returncode}: {lines[-1] if lines else ''}")
    return [{"pytest": lines[-1]}]


def rasterizer() -> list[dict[str, Any]]:
    """The CUDA rasterizer against gsplat, a row for each scene and size."""
    result = gpu_raster.measure()
    if result["ours"] != "measured":
        raise NotRun(result["ours"].removeprefix("not run: "))
    rows = [flat(row) for row in result["rows"]]
    return rows if result["gsplat"] == "measured" else [*rows, {"scene": result["gsplat"]}]


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """Percentiles of one measurement as columns of their own."""
    columns: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            columns |= {f"{key} {name}": inner for name, inner in value.items()}
        else:
            columns[key] = value
    return columns


def measure() -> list[Part]:
    """All parts."""
    return [
        run_part("GPU tests", run_tests, "passed"),
        run_part("Kernels", kernels.measure, "measured"),
        run_part("Rasterizer against gsplat 1.5.3", rasterizer, "measured"),
        run_part("Engine, cuda fp16", engine.measure_engine, "measured"),
        run_part("Eager torch, fp16", lambda: engine.measure_torch(False), "measured"),
        run_part("torch.compile, fp16", lambda: engine.measure_torch(True), "measured"),
    ]


def run(folder: Path) -> list[Part]:
    """Prove and measure, and write ``gpu.json`` and ``gpu.md``.

    Raises:
        GeoLRMError: There is no GPU, or a part failed; what was measured is written before.
    """
    try:
        present_gpu()
    except GeoLRMError as error:
        raise GeoLRMError(
            f"the GPU benchmark needs an NVIDIA GPU, but {error}; run it on a machine with one"
        ) from error
    machine = timing.describe()
    parts = measure()
    machine["clocks after"] = timing.clocks()
    write(folder, machine, parts)
    failed = [part.name for part in parts if part.status.startswith("failed")]
    if failed:
        raise GeoLRMError(f"{', '.join(failed)} failed; see {folder / 'gpu.md'}")
    return parts


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m geolrm.bench.gpu")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        parts = run(options.output)
    except GeoLRMError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
    for part in parts:
        print(f"{part.name}: {part.status}")


if __name__ == "__main__":
    main()
