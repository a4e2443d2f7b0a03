"""The cores that this process may use, and how many threads are of use on them."""

import contextlib
import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Count them: the default of threads wherever work is shared out on the CPU.

    As many as the process may run on, and on Linux no more than the processor time that its
    container is granted, rounded up: threads beyond it would be stopped for most of each period.
    """
    if hasattr(os, "sched_getaffinity"):  # Linux: respects containers and taskset
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _granted_time())))


def useful_threads(asked: int | None) -> int:
    """Return how many threads to use: those asked for, but no more than cores; None is all cores.

    More would only take turns, and results do not depend on their number.
    """
    cores = usable_cores()
    return cores if asked is None else min(asked, cores)


@functools.cache
def _granted_time() -> float:
    """Seconds of processor time a second, by the tightest control group around this process."""
    granted = [math.inf]
    for first, group in _control_groups():
        for place in (group, *group.parents):
            folder = first.joinpath(*place.parts[1:])
            with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
                if first == CONTROL_GROUPS:
                    quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
                else:  # version 1
                    quota = (folder / "cpu.cfs_quota_us").read_text(encoding="utf-8")
                    period = (folder / "cpu.cfs_period_us").read_text(encoding="utf-8")
                if quota != "max" and int(quota) > 0:
                    granted.append(int(quota) / int(period))
    return min(granted)


def _control_groups() -> Iterator[tuple[Path, Path]]:
    """Where a hierarchy of groups that limit the processor begins, and this process's place."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in OWN_GROUPS.read_text(encoding="utf-8").splitlines():
            number, controllers, group = line.split(":", 2)
            if number == "0":
                yield CONTROL_GROUPS, Path(group)
            elif "cpu" in controllers.split(","):
                yield CONTROL_GROUPS / "cpu", Path(group)
