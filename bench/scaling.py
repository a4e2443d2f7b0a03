"""What each stage of a run gives on more cores, by Amdahl's law: ``geolrm bench scaling``.

Nothing is run on more than two cores. On two, the processor time of each thread is taken: both
share what can be shared, so the second one's time is half of it, and what the caller has beyond
that is serial. That holds beside other load too, which seconds on a wall would not. Linux only.

Work is of three kinds: serial; in graphs, which are cut in two; and in our own kernels and the
refinement, which any number of cores share.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from geolrm.bench.machine import cpu_name
from geolrm.engine.backends.cpu.graph_threads import PARTS
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system.exit_codes import one_sentence_errors
from geolrm.engine.system.stopwatch import Stopwatch

TASKS = Path("/proc/self/task")
CORES = (1, 2, 8, 16, 32)


@dataclass(frozen=True)
class Work:
    """Processor time, in seconds."""

    serial: float
    graphs: float
    kernels: float

    @property
    def total(self) -> float:
        """Add them up."""
        return self.serial + self.graphs + self.kernels

    def seconds(self, cores: int) -> float:
        """Model the time on so many idle cores."""
        return self.serial + self.graphs / min(cores, PARTS) + self.kernels / cores

    def __add__(self, other: Work) -> Work:
        return Work(
            self.serial + other.serial, self.graphs + other.graphs, self.kernels + other.kernels
        )

    @classmethod
    def of(cls, caller: float, graphs: float, kernels: float) -> Work:
        """Tell the kinds apart by the time of the caller, and of the other thread of each kind."""
        return cls(max(0.0, caller - graphs - kernels), 2 * graphs, 2 * kernels)


def thread_seconds() -> dict[int, float]:
    """Return the processor time of each thread of this process.

    Raises:
        GeoLRMError: The system does not tell.
    """
    found = {}
    for task in TASKS.iterdir() if TASKS.is_dir() else ():
        with contextlib.suppress(OSError):  # it has ended
            nanoseconds = (task / "schedstat").read_text(encoding="ascii").split()[0]
            found[int(task.name)] = int(nanoseconds) / 1e9
    if not found:
        raise GeoLRMError("this system does not tell the time of a thread; measure on Linux")
    return found


class ThreadClock(Stopwatch):
    """Sums the work of each stage by the threads that did it.

    Args:
        caller: The thread that calls.
        others: Those of neither graphs nor kernels.
        graphs: Those of graphs; whatever thread is neither is of our kernels.
    """

    def __init__(self, caller: int, others: set[int], graphs: set[int]):
        super().__init__()
        self._caller, self._others, self._graphs = caller, others - {caller}, graphs
        self.work: dict[str, Work] = {}

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the block to a stage."""
        before = thread_seconds()
        yield
        spent = {t: now - before.get(t, 0.0) for t, now in thread_seconds().items()}
        graphs = sum(spent.get(thread, 0.0) for thread in self._graphs)
        known = self._graphs | self._others | {self._caller}
        kernels = sum(seconds for thread, seconds in spent.items() if thread not in known)
        done = Work.of(spent[self._caller], graphs, kernels)
        self.work[stage] = self.work.get(stage, Work(0, 0, 0)) + done


def measure(model: str, views: int, repeats: int) -> dict[str, Work]:
    """Return the work of each stage of a run on the bundled shoe, the mean of the repeats."""
    from geolrm import Engine, load_capture
    from geolrm.engine.captures.lazy_images import decode_in_threads
    from geolrm.examples import capture_path

    capture = load_capture(capture_path("shoe"))
    chosen = capture.subset(capture.cameras.spread(views))
    decode_in_threads(chosen.images.__getitem__, range(len(chosen.images)))
    others = set(thread_seconds())
    engine = Engine(model, backend="onnxruntime", threads=2)
    graphs = set(thread_seconds()) - others
    settings = engine.checks.settings()
    work: dict[str, Work] = {}
    for repeat in range(repeats + 1):
        clock = ThreadClock(threading.get_native_id(), others, graphs)
        with clock("prepare"):
            prepared = engine.prepare(chosen.images, chosen.cameras)
        engine.run_views(prepared, settings, clock)
        for stage, done in clock.work.items() if repeat else ():  # the first warms up
            part = Work(done.serial / repeats, done.graphs / repeats, done.kernels / repeats)
            work[stage] = work.get(stage, Work(0, 0, 0)) + part
    return work


def table(work: dict[str, Work]) -> list[str]:
    """Format a Markdown table of the stages and of them all."""
    total = sum(work.values(), Work(0, 0, 0))
    head = ["", "work", "serial", "graphs", "kernels", *(f"{n} cores" for n in CORES[1:])]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for stage, done in [*work.items(), ("all", total)]:
        shares = (done.serial, done.graphs, done.kernels)
        cells = [stage, f"{done.total:.2f} s", *(f"{100 * s / done.total:.0f} %" for s in shares)]
        cells += [f"{done.total / done.seconds(cores):.1f}" for cores in CORES[1:]]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Measure on two cores, and print the table or JSON."""
    parser = argparse.ArgumentParser(
        "geolrm bench scaling", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--model", default="mini")
    parser.add_argument("--views", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    args = parser.parse_args(arguments)
    if args.views < 1 or args.repeats < 1:
        parser.error("--views and --repeats must be 1 or more")
    work = measure(args.model, args.views, args.repeats)
    if args.json:
        modelled = {stage: {n: done.seconds(n) for n in CORES} for stage, done in work.items()}
        facts = {"cpu": cpu_name(), "work": {stage: asdict(done) for stage, done in work.items()}}
        print(json.dumps({**facts, "simulated_seconds": modelled}, indent=1))
        return
    print(f"{cpu_name()}; measured on 2 threads, the columns of cores are simulated: times faster")
    print("\n".join(table(work)))


if __name__ == "__main__":
    with one_sentence_errors():
        main()
