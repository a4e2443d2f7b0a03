"""Kill workers, nodes and drivers of batches at random moments, and count what is left.

Three nodes of a Ray cluster on this machine, a batch for each kill. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geolrm.engine.errors import GeoLRMError
from geolrm.fleet.records import DONE, read_record

KINDS = ("driver", "worker", "node")
PROGRAM = (sys.executable, "-c", "from geolrm.commands import main; main()")
QUICK = ("--views", "2", "--max-tokens", "32", "--refine", "0")
LONGEST = 600.0  # seconds of one batch
PROCESSES = Path("/proc")
SOON = {  # a dead node is missed within two seconds instead of half a minute
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}
HEAD = {"num_cpus": 0, "include_dashboard": False, "_system_config": SOON}


@dataclass(slots=True)
class Kill:
    """One kill, and what came of it."""

    kind: str
    after: int  # results that were there
    completed: bool = False  # by the same call; drivers' are not
    results: int = 0  # after a repeated call
    identical: int = 0  # to geolrm run
    leftovers: int = 0  # temporary files
    twice: int = 0  # results that one call made twice
    repeated: int = 0  # that the repeated call made
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether all is as it must be."""
        return self.results == self.identical and not self.leftovers and not self.twice


@dataclass(slots=True)
class Watch:
    """Looks at the records of an output as they are written, from a thread."""

    output: Path
    seen: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Note each record's file by capture and call; who writes twice has two."""
        for path in (self.output / "captures").glob("*.json"):
            with contextlib.suppress(OSError):
                changed = path.stat().st_mtime_ns
                record = read_record(path.read_text(encoding="utf-8"))
                if record is not None and path.stat().st_mtime_ns == changed:
                    self.seen.setdefault((record.id, record.call), set()).add(changed)

    @contextlib.contextmanager
    def watching(self) -> Iterator[Watch]:
        """Look every few milliseconds while the block runs."""

        def loop() -> None:
            while not self.ended.wait(0.02):
                self.look()

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            thread.join()
            self.look()

    @property
    def twice(self) -> int:
        """How many captures one call has recorded more than once."""
        return sum(len(changes) > 1 for changes in self.seen.values())


def descendants(of: int) -> list[int]:
    """List the processes that descend from one, the nearest first."""
    if not PROCESSES.is_dir():
        raise GeoLRMError("this system does not list the processes of another; measure on Linux")
    parents: dict[int, int] = {}
    for entry in PROCESSES.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                behind_name = text.rsplit(")", 1)[1].split()
                parents[int(entry.name)] = int(behind_name[1])
    waiting, found = [of], []
    while waiting:
        parent = waiting.pop(0)
        inner = [pid for pid, its in parents.items() if its == parent]
        found += inner
        waiting += inner
    return found


def engine_workers(raylets: Iterable[int]) -> list[int]:
    """List Ray's actors that hold an engine, below the raylets of some nodes."""
    found = []
    for raylet in raylets:
        for pid in descendants(raylet):
            with contextlib.suppress(OSError):
                title = (PROCESSES / str(pid) / "cmdline").read_bytes()
                if title.startswith(b"ray::MapWorker"):
                    found.append(pid)
    return found


def kill(pid: int) -> None:
    """End a process without a word."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class ThreeNodes:
    """A head without cores, and two nodes of one core each, on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args=HEAD)
        self.nodes: list[Any] = [self.cluster.add_node(num_cpus=1) for _ in range(2)]

    @property
    def address(self) -> str:
        """Return what a batch gives as ``--address``."""
        return str(self.cluster.address)

    def raylets(self) -> list[int]:
        """List the process of each node of workers."""
        return [node.all_processes["raylet"][0].process.pid for node in self.nodes]

    def kill_worker(self, draw: random.Random) -> bool:
        """Kill one of the workers; False while there is none."""
        workers = engine_workers(self.raylets())
        if workers:
            kill(draw.choice(workers))
        return bool(workers)

    def kill_node(self, draw: random.Random) -> bool:
        """Kill a node with all that runs there; False while it has no worker."""
        number = draw.randrange(len(self.nodes))
        if not engine_workers([self.raylets()[number]]):
            return False
        self.cluster.remove_node(self.nodes.pop(number), allow_graceful=False)
        return True

    def mend(self) -> None:
        """Have two nodes again."""
        while len(self.nodes) < 2:
            self.nodes.append(self.cluster.add_node(num_cpus=1))

    def close(self) -> None:
        """End them all."""
        self.cluster.shutdown()


def run_kills(
    captures: Path, folder: Path, kills: int, seed: int = 0, options: Sequence[str] = QUICK
) -> Iterator[Kill]:
    """Kill something of each of so many batches of all captures, and tell what came of it.

    Args:
        captures: A folder of capture folders.
        folder: An empty one for results.
        kills: How many, of drivers, workers and nodes in turn.
        seed: Of the moments.
        options: Of ``geolrm run`` and ``geolrm batch``.

    Raises:
        GeoLRMError: ``geolrm run`` fails, or a batch does not end.
    """
    draw = random.Random(seed)
    names = sorted(path.name for path in captures.iterdir())
    truth = {}
    for name in names:
        made = folder / "truth" / f"{name}.ply"
        _call("run", captures / name, "-o", made, *options, "--json")
        truth[name] = made.read_bytes()
    nodes = ThreeNodes()
    try:
        for number in range(kills):
            yield _one(captures, folder / f"out{number}", truth, nodes, number, draw, options)
            nodes.mend()
    finally:
        nodes.close()


def _one(
    captures: Path,
    output: Path,
    truth: dict[str, bytes],
    nodes: ThreeNodes,
    number: int,
    draw: random.Random,
    options: Sequence[str],
) -> Kill:
    """Start a batch, kill something of it, and call again."""
    kind, after = KINDS[number % len(KINDS)], draw.randrange(len(truth) - 2)
    start = time.monotonic()
    arguments = ("batch", captures, "-o", output, *options, "--no-view", "--json",
                 "--address", nodes.address, "--workers", "1:2")  # fmt: skip
    with Watch(output).watching() as watch:
        process = subprocess.Popen(
            [*PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        while len(_done(output)) < after and process.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.random() * 0.5)
        strike = {"worker": nodes.kill_worker, "node": nodes.kill_node}.get(kind)
        while strike is not None and not strike(draw) and process.poll() is None:
            time.sleep(0.01)
        if strike is None:
            process.kill()
        result = Kill(kind, len(_done(output)))
        try:
            _, errors = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise GeoLRMError(
                f"a batch whose {kind} was killed did not end within {LONGEST:g} s; end what "
                "is left of Ray, and measure again"
            ) from error
        result.completed = process.returncode == 0
        if strike is not None and not result.completed:
            raise GeoLRMError(
                f"a batch whose {kind} was killed failed: {_last_line(errors)}; run geolrm batch "
                "by itself"
            )
        before = _done(output)
        _call(*arguments)
        result.repeated = len(_done(output) - before)
    ours = {path.stem: path.read_bytes() for path in (output / "captures").glob("*.ply")}
    result.results = len(_done(output))
    result.identical = sum(ours.get(name) == content for name, content in truth.items())
    result.leftovers = len([*(output / "captures").glob(".*"), *(output / ".attempts").glob(".*")])
    result.twice = watch.twice
    result.seconds = time.monotonic() - start
    return result


def _done(output: Path) -> set[tuple[str, str]]:
    """List the captures that are done, and the calls that did them."""
    found = set()
    for path in (output / "captures").glob("*.json"):
        with contextlib.suppress(OSError):
            record = read_record(path.read_text(encoding="utf-8"))
            if record is not None and record.status == DONE:
                found.add((record.id, record.call))
    return found


def _call(*arguments: object) -> None:
    done = subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise GeoLRMError(f"geolrm {arguments[0]} failed: {_last_line(done.stderr)}; run it alone")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:500] if lines else "without a word"
