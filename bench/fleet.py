"""Batches against bare loops over ``Engine.run``, and what survives kills: ``geolrm bench fleet``.

A loop reads each capture as ``geolrm run`` does, runs the engine with one thread and saves the
splats. Two loops and two workers may use any core, one loop and one worker have the same one.
Ratios are of throughput while captures are done: from the start of the first to the end of the
last, without the start of Python, of Ray and of engines, which stands in a row of its own. Loops
and batches take turns, and the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from geolrm.bench.fleet_kills import PROGRAM, Kill, run_kills
from geolrm.bench.machine import cpu_name
from geolrm.engine.captures import load_capture
from geolrm.engine.captures.chosen_views import read_for_run
from geolrm.engine.captures.writing import write_capture
from geolrm.engine.engine import Engine
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system.exit_codes import FAILED, one_sentence_errors
from geolrm.engine.system.extras import require
from geolrm.examples import capture_path
from geolrm.fleet.options import CaptureOptions
from geolrm.fleet.records import DONE, Record, read_lines
from geolrm.fleet.sources import Source
from geolrm.fleet.tasks import Task, WorkerSettings
from geolrm.fleet.worker import Worker

NAMES = ("banana", "lion", "shoe")
VIEWS = 8  # of each capture
ON_ONE_CORE = (
    sys.executable, "-c",
    "from geolrm.bench.fleet import pin; pin(); from geolrm.commands import main; main()",
)  # fmt: skip
LOOP = "from geolrm.bench.fleet import loop; import sys; loop(sys.argv[1:])"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    value: float
    unit: str
    gate: float | None = None  # None: there is none
    most: bool = False  # whether the gate is the most that it may be

    @property
    def passes(self) -> bool:
        """Whether the gate is kept, if there is one."""
        if self.gate is None:
            return True
        return self.value <= self.gate if self.most else self.value >= self.gate


def write_captures(folder: Path, count: int) -> list[Path]:
    """Write captures of eight views each, all different, cut out of the bundled ones."""
    paths = []
    for number in range(count):
        whole = load_capture(capture_path(NAMES[number % len(NAMES)]))
        first = number // len(NAMES)
        frames = [(first + 5 * view) % len(whole) for view in range(VIEWS)]
        paths.append(folder / f"c{number:02d}")
        write_capture(whole.subset(sorted(set(frames))), paths[-1])
    return paths


def loop(arguments: Sequence[str]) -> None:
    """Do captures in turn, with one thread: ALONE OUTPUT REFINE CAPTURE...; print the span.

    ALONE is 1 to stay on one core, as a worker does that it is compared with.
    """
    alone, output, refine, *captures = arguments
    if int(alone):
        pin()
    engine = Engine("mini", threads=1)
    start = time.time()
    for capture in captures:
        target = Path(output) / f"{Path(capture).name}.ply"
        reconstruct(engine, Path(capture), target, int(refine))
    print(json.dumps([start, time.time()]))


def reconstruct(engine: Engine, capture: Path, target: Path, refine: int) -> None:
    """Do what ``geolrm run`` does of one capture, and no more."""
    _, used = read_for_run(capture).choose(None, engine.manifest.views.opt)
    scene = engine.run(used.images, used.cameras, valid=used.valid, refine_steps=refine)
    scene.gaussians.save(target)


def pin() -> None:
    """Stay on the first core of those that are allowed, where the system has a way to."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def loops(captures: Sequence[Path], folder: Path, refine: int, cores: int) -> float:
    """Return captures a second of so many loops at once, each with its share of them.

    Raises:
        GeoLRMError: A loop fails.
    """
    folder.mkdir(parents=True)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LOOP, str(int(cores == 1)), str(folder), str(refine),
             *map(str, captures[number::cores])],
            stdout=subprocess.PIPE, text=True,
        )
        for number in range(cores)
    ]  # fmt: skip
    spans = []
    for process in processes:
        told, _ = process.communicate()
        if process.returncode:
            raise GeoLRMError(f"a loop over Engine.run failed with code {process.returncode}; its "
                              "error stands above")  # fmt: skip
        spans.append(json.loads(told))
    return len(captures) / (max(s[1] for s in spans) - min(s[0] for s in spans))


def batch(
    captures: Path, output: Path, refine: int, *flags: str, program: Sequence[str] = PROGRAM
) -> tuple[float, float]:
    """Return captures a second of a batch, and the seconds until it began the first.

    Raises:
        GeoLRMError: The batch fails.
    """
    start = time.time()
    command = [*program, "batch", str(captures), "-o", str(output), "--refine", str(refine),
               "--no-view", "--json", *flags]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise GeoLRMError(f"the batch failed: {said[:500]}; run geolrm batch by itself")
    records = [*read_lines((output / "results.jsonl").read_text(encoding="utf-8")).values()]
    first, last = span_of(records)
    return len(records) / (last - first), first - start


def span_of(records: Sequence[Record]) -> tuple[float, float]:
    """Return when the work on the first capture began and that on the last one ended."""
    done = [record for record in records if record.status == DONE]
    ends = [datetime.fromisoformat(record.finished).timestamp() for record in done]
    starts = [end - record.seconds["total"] for end, record in zip(ends, done, strict=True)]
    return min(starts), max(ends)


def processor_ratio(captures: Sequence[Path], folder: Path, refine: int) -> float:
    """Return the processor time of a worker over that of a loop, on the same engine in turns.

    That holds beside other load, too, which seconds on a wall do not.
    """
    settings = WorkerSettings(str(folder), "mini", "", threads=1, pages=False, call="bench")
    worker = Worker(settings)
    worker.destination.prepare()
    engine = worker.engine
    options = CaptureOptions(refine=refine)

    def bare(capture: Path) -> None:
        reconstruct(engine, capture, folder / f"{capture.name}.ply", refine)

    def ours(capture: Path) -> None:
        worker.attempt(Task(Source(capture.name, str(capture), options)))

    bare(captures[0])  # the first warms up
    spent: dict[Callable[[Path], None], float] = {bare: 0.0, ours: 0.0}
    for number, capture in enumerate(captures):
        for call in (bare, ours) if number % 2 else (ours, bare):
            start = time.process_time()
            call(capture)
            spent[call] += time.process_time() - start
    return spent[ours] / spent[bare]


def first_file(command: Sequence[str], file: Path) -> float:
    """Return the seconds from the start of a command until it has written a file.

    Raises:
        GeoLRMError: It ends without it.
    """
    start = time.perf_counter()
    process = subprocess.Popen([*PROGRAM, *command], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        while not file.exists():
            if process.poll() is not None and not file.exists():
                raise GeoLRMError(f"geolrm {command[0]} ended without {str(file)!r}; run it alone")
            time.sleep(0.002)
        return time.perf_counter() - start
    finally:
        process.wait()


def measure(folder: Path, count: int, refine: int, repeats: int, ray: bool) -> list[Row]:
    """Measure all rows of batches; those on Ray where it is asked for."""
    captures = write_captures(folder / "captures", count)
    runs = _Runs(folder)
    rows = []
    if ray:
        starts: list[float] = []

        def two_workers() -> float:
            speed, began = batch(folder / "captures", runs.new(), refine, "--workers", "2")
            starts.append(began)
            return speed

        ratio = _ratio(two_workers, lambda: loops(captures, runs.new(), refine, 2), repeats)
        rows.append(Row("two workers over two bare loops", ratio, "x", 0.9))
        rows.append(Row("start of Ray and two engines", statistics.median(starts), "s", 60, True))

    speeds: list[float] = []
    memory: list[float] = []

    def one_worker() -> float:
        flags = ("--local", "--threads", "1")
        output = runs.new()
        speed, _ = batch(folder / "captures", output, refine, *flags, program=ON_ONE_CORE)
        speeds.append(speed)
        lines = read_lines((output / "results.jsonl").read_text(encoding="utf-8"))
        memory.append(max(record.peak_memory_mb or 0.0 for record in lines.values()))
        return speed

    ratio = _ratio(one_worker, lambda: loops(captures, runs.new(), refine, 1), repeats)
    rows.append(Row("one worker over a bare loop, both on one core", ratio, "x", 0.95))
    share = processor_ratio(captures, runs.new(), refine)
    rows.append(Row("processor time of a worker over a bare loop's", share, "x", 1.05, True))
    rows.append(Row("speed of that worker", 60 * statistics.median(speeds), "a minute"))
    rows.append(Row("its peak memory", max(memory), "MB"))
    extra = []
    for _ in range(max(3, repeats)):
        alone, many = runs.new(), runs.new()
        options = ["--refine", str(refine)]
        alone_s = first_file(["run", str(captures[0]), "-o", f"{alone}.ply", *options],
                             alone.with_name(f"{alone.name}.ply"))  # fmt: skip
        many_s = first_file(["batch", *map(str, captures[:2]), "-o", str(many), "--local",
                             "--no-view", *options],
                            many / "captures" / f"{captures[0].name}.ply")  # fmt: skip
        extra.append(many_s - alone_s)
    rows.append(Row("first result, more than geolrm run", statistics.median(extra), "s", 1, True))
    return rows


class _Runs:
    """Folders with new names."""

    def __init__(self, folder: Path):
        self._folder, self._count = folder, 0

    def new(self) -> Path:
        self._count += 1
        return self._folder / f"run{self._count}"


def _ratio(ours: Callable[[], float], peer: Callable[[], float], repeats: int) -> float:
    """Return the median ratio of two speeds that are measured in turns."""
    ratios = []
    for number in range(repeats):
        calls = (ours, peer) if number % 2 else (peer, ours)
        speeds = {call: call() for call in calls}
        ratios.append(speeds[ours] / speeds[peer])
    return statistics.median(ratios)


def table(rows: Sequence[Row]) -> list[str]:
    """Format the figures as a Markdown table."""
    lines = ["| | measured | must |", "|---|--:|--:|"]
    for row in rows:
        side = "at most" if row.most else "at least"
        bound = "" if row.gate is None else f"{side} {row.gate:g} {row.unit}"
        missed = "" if row.passes else " **missed**"
        lines.append(f"| {row.what} | {row.value:.2f} {row.unit}{missed} | {bound} |")
    return lines


def kill_table(kills: Sequence[Kill]) -> list[str]:
    """Format what came of the kills as a Markdown table."""
    lines = ["| killed | after results | results | as geolrm run | half written | twice |",
             "|---|--:|--:|--:|--:|--:|"]  # fmt: skip
    lines += [
        f"| {each.kind} | {each.after} | {each.results} | {each.identical} | {each.leftovers} | "
        f"{each.twice} |"
        for each in kills
    ]
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the tables or JSON."""
    parser = argparse.ArgumentParser(
        "geolrm bench fleet", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--captures", type=int, default=24)
    parser.add_argument("--refine", type=int, default=60, help="steps of each run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-ray", action="store_true", help="only what needs one process")
    parser.add_argument(
        "--kills", type=int, default=0, help="instead, kill drivers, workers and nodes so often"
    )
    parser.add_argument("--serve", action="store_true", help="instead, measure geolrm serve")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    args = parser.parse_args(arguments)
    if args.captures < 3 or args.repeats < 1 or args.refine < 0 or args.kills < 0:
        parser.error("--captures must be 3 or more, --repeats 1, --refine and --kills 0")
    require("fsspec", "measuring batches", extra="fleet")
    if args.serve:
        require("uvicorn", "measuring geolrm serve")
    elif args.kills or not args.no_ray:
        require("ray", "measuring batches on Ray", extra="fleet", instead="give --no-ray")
    facts = {"cpu": cpu_name(), "captures": args.captures}
    with tempfile.TemporaryDirectory(prefix="geolrm-bench-") as name:
        folder = Path(name)
        if args.kills:
            write_captures(folder / "captures", args.captures)
            kills = []
            for each in run_kills(folder / "captures", folder, args.kills, args.seed):
                kills.append(each)
                print(kill_table([each])[-1], file=sys.stderr, flush=True)
            found = {"kills": [asdict(each) | {"sound": each.sound} for each in kills]}
            lines, sound = kill_table(kills), all(each.sound for each in kills)
        elif args.serve:
            from geolrm.bench.fleet_serving import serving_rows

            rows = [Row(*row, most=True) for row in serving_rows()]
            found = {"rows": [asdict(row) | {"passes": row.passes} for row in rows]}
            lines, sound = table(rows), all(row.passes for row in rows)
        else:
            rows = measure(folder, args.captures, args.refine, args.repeats, not args.no_ray)
            found = {"rows": [asdict(row) | {"passes": row.passes} for row in rows]}
            lines, sound = table(rows), all(row.passes for row in rows)
    if args.json:
        print(json.dumps({**facts, **found}, indent=1))
    else:
        print(f"{facts['cpu']}; {args.captures} captures of {VIEWS} views")
        print("\n".join(lines))
    if not sound:
        raise SystemExit(FAILED)


if __name__ == "__main__":
    with one_sentence_errors():
        main()
