"""Use the engine in every way at random, for minutes: ``make soak MINUTES=30``.

Several processes, each with several threads that share its engines: runs, engines opened and
dropped with other numbers of threads, captures read, live captures, files written and read back,
renders. What was done before must give the same bits again, in every thread and process. Memory,
open files and threads of each process are read after every use; their slopes over the second half
are what a leak would show in. Linux only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system.exit_codes import one_sentence_errors

STATUS = Path("/proc/self/status")
THREADS = (1, 2, 3, 8, 64)
VIEWS = ((0, 12), (3, 9, 15), (6,))
RATES = {"bytes": "MB an hour", "files": "an hour", "threads": "an hour"}
GROWTH = {"bytes": 20e6, "files": 2, "threads": 2}  # from the third quarter to the last, at most
ENOUGH = 20  # samples of the second half, to tell growth by


def digest(*arrays: Any) -> str:
    """Hash the bits of arrays."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def held() -> dict[str, float]:
    """Return the bytes, open files and threads of this process.

    Raises:
        GeoLRMError: The system does not tell.
    """
    try:
        lines = STATUS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise GeoLRMError(
            "this system does not tell what a process holds; soak on Linux"
        ) from error
    status = dict(line.split(":", 1) for line in lines)
    return {
        "bytes": 1024 * int(status["VmRSS"].split()[0]),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": int(status["Threads"]),
    }


class Uses:
    """What is done at random; each returns a name of what was done and the digest of its result."""

    def __init__(self, folder: Path):
        from geolrm import Engine, load_capture
        from geolrm.examples import capture_path

        self._folder, self._path = folder, capture_path("shoe")
        self._capture = load_capture(self._path)
        self._engines = [Engine("mini", threads=count) for count in (1, 2)]
        self.all: list[Callable[[random.Random], tuple[str, str]]] = [
            self.run, self.live, self.open, self.capture, self.render
        ]  # fmt: skip

    def _run(self, engine: Any, views: tuple[int, ...], refine: int = 0) -> Any:
        chosen = self._capture.subset(views)
        return engine.run(chosen.images, chosen.cameras, max_tokens=301, refine_steps=refine)

    def run(self, chance: random.Random) -> tuple[str, str]:
        """Reconstruct, refined or not, with an engine that others use."""
        views, refine = chance.choice(VIEWS), chance.choice((0, 2))
        scene = self._run(chance.choice(self._engines), views, refine)
        return f"{views} refined {refine}", digest(scene.gaussians.means, scene.gaussians.colors)

    def live(self, chance: random.Random) -> tuple[str, str]:
        """Reconstruct the same from a live capture, whose bits are those of a run."""
        views = chance.choice(VIEWS)
        live = chance.choice(self._engines).live()
        for view in views:
            live.add(self._capture.images[view], self._capture.cameras[[view]])
        scene = live.run(max_tokens=301, refine_steps=0)
        return f"{views} refined 0", digest(scene.gaussians.means, scene.gaussians.colors)

    def open(self, chance: random.Random) -> tuple[str, str]:
        """Reconstruct the same with an engine of its own and any number of threads."""
        from geolrm import Engine

        views = chance.choice(VIEWS)
        scene = self._run(Engine("mini", threads=chance.choice(THREADS)), views)
        return f"{views} refined 0", digest(scene.gaussians.means, scene.gaussians.colors)

    def capture(self, chance: random.Random) -> tuple[str, str]:
        """Read a capture anew."""
        from geolrm import load_capture

        view = chance.randrange(len(self._capture))
        capture = load_capture(self._path)
        return f"image {view}", digest(capture.images[view], capture.cameras.c2w)

    def render(self, chance: random.Random) -> tuple[str, str]:
        """Write a scene, read it back, and render it on any number of threads."""
        from geolrm import Gaussians, render

        suffix = chance.choice((".ply", ".spz"))
        scene = self._run(self._engines[0], VIEWS[0])
        path = self._folder / f"{threading.get_native_id()}{suffix}"
        scene.gaussians.save(path)
        cameras = self._capture.cameras[[0, 8]]
        images = render(Gaussians.load(path), cameras, (96, 64), threads=chance.choice(THREADS))
        return f"render of {suffix}", digest(images.rgb, images.alpha)


def work(seconds: float, threads: int, seed: int) -> dict[str, Any]:
    """Use the engine from so many threads of this process; return what came of it."""
    seen: dict[str, set[str]] = {}
    samples: list[tuple[float, dict[str, float]]] = []
    errors: list[str] = []
    counts = [0] * threads
    with tempfile.TemporaryDirectory(prefix="geolrm-soak-") as folder:
        uses, lock = Uses(Path(folder)), threading.Lock()
        start = time.monotonic()

        def loop(number: int) -> None:
            chance = random.Random(1000 * seed + number)
            try:
                while not counts[number] or time.monotonic() - start < seconds:
                    name, result = chance.choice(uses.all)(chance)
                    with lock:
                        seen.setdefault(name, set()).add(result)
                        samples.append((time.monotonic() - start, held()))
                        counts[number] += 1
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}")

        pool = [threading.Thread(target=loop, args=(number,)) for number in range(threads)]
        for thread in pool:
            thread.start()
        for thread in pool:
            thread.join()
    return {
        "uses": sum(counts),
        "errors": errors,
        "digests": {name: sorted(found) for name, found in seen.items()},
        "samples": samples,
    }


def growth(samples: list[tuple[float, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Fit a line to the least that was held in each tenth of the second half.

    The first half fills caches; what is held for a moment, as by an engine, is not in the least.
    Returns for each thing its least, its slope an hour, and what the least grew by from the third
    quarter to the last; with few samples nothing is said to have grown.
    """
    end = samples[-1][0]
    later = [sample for sample in samples if sample[0] >= end / 2]
    tenths = [min(int((2 * seconds / end - 1) * 10), 9) for seconds, _ in later]
    found = {}
    for name in RATES:
        least: dict[int, float] = {}
        for tenth, (_, sample) in zip(tenths, later, strict=True):
            least[tenth] = min(least.get(tenth, sample[name]), sample[name])
        hours = np.array(list(least)) * end / 20 / 3600
        values = np.array(list(least.values()))
        slope = float(np.polyfit(hours, values, 1)[0]) if len(least) > 2 else 0.0
        third = [value for tenth, value in least.items() if tenth < 5]
        last = [value for tenth, value in least.items() if tenth >= 5]
        grew = min(last) - min(third) if len(later) >= ENOUGH and third and last else 0.0
        found[name] = {"least": float(values.min()), "slope": slope, "grew": grew}
    return found


def faults(results: list[dict[str, Any]]) -> list[str]:
    """Say what is wrong, a sentence for each thing."""
    found = [error for result in results for error in result["errors"]]
    together: dict[str, set[str]] = {}
    for result in results:
        for name, digests in result["digests"].items():
            together.setdefault(name, set()).update(digests)
    found += [
        f"{name} gave {len(digests)} results that differ"
        for name, digests in sorted(together.items())
        if len(digests) > 1
    ]
    for number, result in enumerate(results):
        for name, line in growth(result["samples"]).items() if result["samples"] else ():
            if line["grew"] > GROWTH[name]:
                found.append(
                    f"process {number} grew by {line['grew']:.0f} {name} in its last quarter; "
                    f"at most {GROWTH[name]:.0f} are expected"
                )
    return found


def main(arguments: list[str] | None = None) -> None:
    """Run the processes, print what they did, and end with 1 where something is wrong."""
    parser = argparse.ArgumentParser(
        "python -m geolrm.bench.soak", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2, help="of each process")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.minutes <= 0 or args.processes < 1 or args.threads < 1:
        parser.error("--minutes must be above 0, --processes and --threads 1 or more")
    held()  # or refuse before anything runs
    if args.worker:
        print(json.dumps(work(60 * args.minutes, args.threads, args.seed)))
        return
    command = [sys.executable, "-m", "geolrm.bench.soak", "--worker"]
    command += ["--minutes", str(args.minutes), "--threads", str(args.threads)]
    running = [
        subprocess.Popen([*command, "--seed", str(args.seed + number)], stdout=subprocess.PIPE)
        for number in range(args.processes)
    ]
    results = []
    for process in running:
        output, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"a process of the soak ended with {process.returncode}")
        results.append(json.loads(output))
    for number, result in enumerate(results):
        print(f"process {number}: {result['uses']} uses, {len(result['digests'])} results compared")
        for name, line in growth(result["samples"]).items():
            scale = 1e6 if name == "bytes" else 1
            unit = RATES[name]
            print(f"  {name}: {line['least'] / scale:.1f}, {line['slope'] / scale:+.1f} {unit}")
    wrong = faults(results)
    print("\n".join(wrong) if wrong else "the same bits everywhere, and nothing grew")
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    with one_sentence_errors():
        main()
