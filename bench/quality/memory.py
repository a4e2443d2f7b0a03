"""Peak memory of a reconstruction, in a process of its own."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from geolrm.bench.memory import forget_peak, peak_bytes
from geolrm.bench.quality.input_changes import InputChanges
from geolrm.engine.refinement.budget import Quality


def run_peak_bytes(
    model: str | Path,
    capture: Path,
    frames: list[int],
    *,
    changes: InputChanges | None = None,
    changes_seed: int = 0,
    backend: str = "auto",
    seed: int = 0,
    threads: int | None,
    quality: Quality | None = None,
    refine_steps: int | None = None,
) -> int | None:
    """Measure how far loading a bundle and one run raise the memory of a fresh process.

    Weights, buffers and the result count; the interpreter, NumPy and the capture's images do not.
    The frames are changed as ``changes`` says, by that seed of theirs. ``quality`` and
    ``refine_steps`` are those of :meth:`geolrm.Engine.run`.

    Returns:
        Bytes, or None where the system does not tell, or the process could not end its run.
    """
    call = {
        "model": str(model),
        "capture": str(capture),
        "frames": frames,
        "changes": asdict(changes or InputChanges()),
        "changes_seed": changes_seed,
        "backend": backend,
        "seed": seed,
        "threads": threads,
        "quality": quality,
        "refine_steps": refine_steps,
    }
    command = [sys.executable, "-m", "geolrm.bench.quality.memory", json.dumps(call)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def main(argument: str) -> None:
    """Run once and print the growth in bytes."""
    from geolrm.engine.captures import load_complete_capture
    from geolrm.engine.engine import Engine

    call = json.loads(argument)
    capture = load_complete_capture(call["capture"]).subset(call["frames"])
    capture = InputChanges(**call["changes"]).apply(capture, call["changes_seed"])
    start = forget_peak()
    engine = Engine(call["model"], backend=call["backend"], threads=call["threads"])
    effort = {name: call[name] for name in ("seed", "quality", "refine_steps")}
    engine.run(capture.images, capture.cameras, valid=capture.valid, **effort)
    peak = peak_bytes()
    print(json.dumps(None if start is None or peak is None else max(0, peak - start)))


if __name__ == "__main__":
    main(sys.argv[1])
