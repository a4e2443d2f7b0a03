"""Where the GPU's time goes, kernel by kernel, as torch's profiler reads it from CUPTI.

It sees what any library of the process launches: ONNX Runtime, cuBLAS, cuDNN and us.
"""

from collections.abc import Callable, Iterable
from typing import Any

from geolrm.bench.gpu.report import NotRun, Row

RUNS = 3
ROWS = 40  # of the table; the rest is one row more
LONGEST = 120  # characters of a kernel's name


def kernel_times(run: Callable[[], object], runs: int = RUNS) -> list[Row]:
    """Profile a warm call; a row for each kernel and kind of copy, the longest first.

    Raises:
        NotRun: There is no torch with CUDA here.
    """
    try:
        import torch
    except ImportError as error:
        raise NotRun("no table of kernels: torch is not installed") from error
    if not torch.cuda.is_available():
        raise NotRun("no table of kernels: torch sees no CUDA device")
    from torch.profiler import ProfilerActivity, profile

    run()
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        for _ in range(runs):
            run()
        torch.cuda.synchronize()
    return rows_of(seen.key_averages(), runs)


def rows_of(averages: Iterable[Any], runs: int) -> list[Row]:
    """Make a table of what torch's profiler averaged by name.

    Args:
        averages: Of ``key``, ``count`` and ``self_device_time_total`` in microseconds.
        runs: Over which they are summed.
    """
    times = [(one.self_device_time_total, one.count, one.key) for one in averages]
    times = sorted((time for time in times if time[0] > 0), reverse=True)
    total = sum(time for time, _, _ in times)
    rows: list[Row] = [
        {"kernel": name[:LONGEST], **_figures(time, count, runs, total)}
        for time, count, name in times[:ROWS]
    ]
    rest = times[ROWS:]
    if rest:
        time, count = (sum(one[place] for one in rest) for place in (0, 1))
        rows.append({"kernel": f"{len(rest)} more", **_figures(time, count, runs, total)})
    if times:
        count = sum(count for _, count, _ in times)
        rows.append({"kernel": "all", **_figures(total, count, runs, total)})
    return rows


def _figures(microseconds: float, count: int, runs: int, total: float) -> Row:
    return {
        "launches a run": count / runs,
        "ms a run": microseconds / runs / 1e3,
        "share": microseconds / total,
    }
