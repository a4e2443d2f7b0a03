"""The cores that this process may use."""

import os


def usable_cores() -> int:
    """Count them: the default of threads wherever work is shared out on the CPU."""
    if hasattr(os, "sched_getaffinity"):  # Linux: respects containers and taskset
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
