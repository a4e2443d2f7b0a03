"""Times of writing and reading splat files: `geolrm bench formats`.

Each file is written to a folder and read back, checks, packing and the flush to disk included.
Beside it, in the same run: the plain writer that many scripts use (one tuple a row), and what the
bytes alone cost (`ndarray.tofile`, `gzip` of the same payload).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geolrm import Gaussians
from geolrm.bench.machine import clock, describe
from geolrm.engine.formats.splat_files import FORMATS, encode
from geolrm.engine.geometry import harmonics
from geolrm.engine.system.exit_codes import one_sentence_errors
from geolrm.engine.system.extras import installed_version

# Seconds for 524,288 splats, written and read; None: not asked for.
GATES = {
    ".ply": (0.3, 0.3),
    ".spz": (1.5, 1.5),
    "4.spz": (1.0, 0.6),
    ".usda": (1.5, None),
    ".usdc": (1.5, None),
    ".usdz": (1.5, None),
}
PLY_NAMES = [*"xyz", "nx", "ny", "nz", *(f"f_dc_{k}" for k in range(3)), "opacity"]
PLY_NAMES += [*(f"scale_{k}" for k in range(3)), *(f"rot_{k}" for k in range(4))]


def shell(count: int, seed: int = 0) -> Gaussians:
    """Make splats on a ball, of the sizes and opacities that reconstructions have."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((count, 3))
    quats = rng.standard_normal((count, 4))
    return Gaussians(
        means=0.4 * points / np.linalg.norm(points, axis=1, keepdims=True),
        opacities=rng.uniform(0.01, 0.99, count).astype(np.float32),
        scales=np.exp(rng.normal(-5.5, 0.6, (count, 3))),
        quats=quats / np.linalg.norm(quats, axis=1, keepdims=True),
        colors=rng.random((count, 3)).astype(np.float32),
    )


def seconds(call: Callable[[], object], repeats: int) -> list[float]:
    """Time each call, after one to warm up."""
    call()
    return clock(call, repeats)


def write_row_tuples(splats: Gaussians, path: Path) -> None:
    """Write a .ply as the peer does: by a structured array, filled from a list of tuples."""
    count = len(splats)
    opacities = splats.opacities.astype(np.float64)
    columns = np.concatenate(
        [
            splats.means,
            np.zeros((count, 3), np.float32),
            harmonics.dc_of_colors(splats.colors),  # pyright: ignore[reportArgumentType]
            np.log(opacities / (1 - opacities))[:, None],
            np.log(splats.scales),
            splats.quats,
        ],
        axis=1,
    )
    rows = np.empty(count, [(name, "<f4") for name in PLY_NAMES])
    rows[:] = list(map(tuple, columns))
    header = "ply\nformat binary_little_endian 1.0\n" + f"element vertex {count}\n"
    header += "".join(f"property float {name}\n" for name in PLY_NAMES) + "end_header\n"
    path.write_bytes(header.encode() + rows.tobytes())


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement."""

    what: str
    best: float  # seconds
    median: float  # seconds
    bytes: int | None = None
    gate: float | None = None  # seconds that the median may take

    @classmethod
    def of(cls, what: str, times: list[float], **facts) -> Row:
        """Make a row of the seconds of each call."""
        return cls(what, min(times), float(np.median(times)), **facts)

    def __str__(self) -> str:
        goal = ""
        if self.gate is not None:
            goal = f"  gate {self.gate:.1f} s: {'met' if self.median <= self.gate else 'MISSED'}"
        megabytes = " " * 9 if self.bytes is None else f"{self.bytes / 1e6:6.1f} MB"
        return f"{self.what:34s} {self.best:7.3f} {self.median:7.3f} s  {megabytes}{goal}"


def measure(count: int, repeats: int, parent: Path | None) -> Iterator[Row]:
    """Measure every format, its peer and its floor, and yield a row for each."""
    splats = shell(count)
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        for suffix in [*FORMATS, "4.spz"]:
            if suffix == ".usdc" and installed_version("usd-core") is None:
                continue
            path, gates = folder / f"splats{suffix}", GATES.get(suffix, (None, None))
            options: dict[str, Any] = {"spz_version": 4} if suffix == "4.spz" else {}
            name = "SPZ 4" if options else suffix
            written = seconds(lambda p=path, o=options: splats.save(p, **o), repeats)
            yield Row.of(f"{name} written", written, gate=gates[0], bytes=path.stat().st_size)
            if FORMATS[path.suffix].decode is None:
                continue
            read = seconds(lambda p=path: Gaussians.load(p), repeats)
            yield Row.of(f"{name} read", read, gate=gates[1])
        raw = folder / "raw.ply"
        written = seconds(lambda: splats.save(raw, raw=True), repeats)
        yield Row.of("raw .ply written", written, bytes=raw.stat().st_size)
        peer = folder / "tuples.ply"
        yield Row.of("peer: .ply by row tuples", seconds(lambda: write_row_tuples(splats, peer), 1))
        table = np.fromfile(folder / "splats.ply", "<u1")
        floor = seconds(lambda: table.tofile(folder / "floor"), repeats)
        yield Row.of("floor: tofile of the .ply's bytes", floor)
        payload = gzip.decompress(encode(splats, ".spz"))
        for level in (1, 6):
            packed = seconds(lambda x=level: gzip.compress(payload, x), 1)
            size = len(gzip.compress(payload, level))
            yield Row.of(f"floor: gzip {level} of the .spz payload", packed, bytes=size)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print lines or JSON."""
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser("geolrm bench formats", description=summary)
    parser.add_argument("--splats", type=int, default=1 << 19)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where files are written; default: temporary")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    args = parser.parse_args(arguments)
    if args.splats < 1 or args.repeats < 1:
        parser.error("--splats and --repeats must be 1 or more")
    machine, load = describe(), os.getloadavg()[0]
    rows = measure(args.splats, args.repeats, args.folder)
    if args.json:
        facts = {"machine": machine, "splats": args.splats, "load_average": load}
        print(json.dumps({**facts, "rows": [asdict(row) for row in rows]}, indent=1))
        return
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    print(f"{args.splats} splats, load average {load:.2f}; best and median:")
    for row in rows:
        print(row, flush=True)
    print(f"load average {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    with one_sentence_errors():
        main()
