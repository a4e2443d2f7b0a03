"""Peak memory of this process."""

import sys
from pathlib import Path

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peak() -> int | None:
    """Start the peak anew, where the system can; return the bytes that it starts from."""
    try:
        CLEAR_REFS.write_text("5", encoding="ascii")
        return _status("VmRSS")
    except OSError:
        return peak_bytes()


def peak_bytes() -> int | None:
    """Return the largest resident memory so far; None where the system does not tell."""
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
    """Read a field of /proc/self/status, in bytes."""
    lines = STATUS.read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(field + ":")).split()[1]) * 1024
