"""Peak memory of a reconstruction, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def run_peak_bytes(
    model: str | Path,
    capture: Path,
    frames: list[int],
    *,
    backend: str = "auto",
    seed: int = 0,
    threads: int | None,
    refine_steps: int | None = None,
) -> int | None:
    """How far loading a bundle and one run raise the memory of a fresh process.

    Weights, buffers and the result count; the interpreter, NumPy and the capture's images do not.
    ``refine_steps`` None takes the bundle's.

    Returns:
        Bytes, or None where the system does not tell, or the process could not end its run.
    """
    call = {
        "model": str(model),
        "capture": str(capture),
        "frames": frames,
        "backend": backend,
        "seed": seed,
        "threads": threads,
        "refine_steps": refine_steps,
    }
    command = [sys.executable, "-m", "geolrm.bench.quality.memory", json.dumps(call)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def main(argument: str) -> None:
    """Run once and print the growth in bytes."""
    from geolrm.engine.captures import load_capture
    from geolrm.engine.engine import Engine

    call = json.loads(argument)
    capture = load_capture(call["capture"]).subset(call["frames"])
    start = _forget_peak()
    engine = Engine(call["model"], backend=call["backend"], threads=call["threads"])
    engine.run(
        capture.images, capture.cameras, seed=call["seed"], refine_steps=call["refine_steps"]
    )
    peak = _peak()
    print(json.dumps(None if start is None or peak is None else max(0, peak - start)))


def _forget_peak() -> int | None:
    """Start the peak anew, where the system can; returns what it starts from."""
    try:
        CLEAR_REFS.write_text("5")
        return _status("VmRSS")
    except OSError:
        return _peak()


def _peak() -> int | None:
    # On Linux ru_maxrss is no use: a child begins with the peak of the process that started it.
    if STATUS.is_file():
        return _status("VmHWM")
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status(field: str) -> int:
    """A field of /proc/self/status, in bytes."""
    lines = STATUS.read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field + ":")).split()[1]) * 1024


if __name__ == "__main__":
    main(sys.argv[1])
