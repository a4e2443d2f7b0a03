"""Hardware counters of the four kernels that are to take the longest, by Nsight Compute (``ncu``).

``ncu`` replays each launch a few times, so its times are its own; what counts is what limits a
kernel. It leaves the clocks alone.
"""

import csv
import io
import shutil
import subprocess
import sys

from geolrm.bench.gpu.report import NotRun, Recorder, Row

KERNELS = ("self_attention", "deformable_cross_attention_biased", "bin_splats", "blend_tiles")
METRICS = {
    "gpu__time_duration.sum": "time",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed": "SM % of peak",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed": "DRAM % of peak",
    "lts__t_bytes.sum": "L2 bytes",
    "lts__t_sector_hit_rate.pct": "L2 hits %",
    "l1tex__t_sector_hit_rate.pct": "L1 hits %",
    "dram__bytes.sum": "DRAM bytes",
    "smsp__inst_executed.sum": "warp instructions",
    "sm__warps_active.avg.pct_of_peak_sustained_active": "occupancy %",
    "launch__registers_per_thread": "registers",
}
PROGRAM = (sys.executable, "-m", "geolrm.bench.gpu.counted")
SECONDS = 300


def command(tool: str) -> list[str]:
    """Return the command that counts one launch after another of :data:`KERNELS`."""
    return [
        tool, "--csv", "--page", "raw", "--clock-control", "none",
        "--kernel-name", f"regex:^({'|'.join(KERNELS)})$", "--metrics", ",".join(METRICS),
        *PROGRAM,
    ]  # fmt: skip


def measure(record: Recorder) -> None:
    """Count, where ``ncu`` is installed; a row for each launch.

    Raises:
        NotRun: It is not, or may not read the counters here.
    """
    tool = shutil.which("ncu")
    if tool is None:
        raise NotRun("Nsight Compute (ncu) is not on the PATH")
    done = subprocess.run(
        command(tool), capture_output=True, text=True, check=False, timeout=SECONDS
    )
    print(done.stdout, done.stderr, flush=True)
    rows = parse(done.stdout)
    if not rows:
        last = ([line for line in done.stdout.splitlines() if line.strip()] or ["nothing"])[-1]
        raise NotRun(f"ncu counted nothing and ended with {done.returncode}: {last[:200]}")
    record.extend(rows)


def parse(output: str) -> list[Row]:
    """Read the table in what ``ncu --csv --page raw`` prints: names, units, then launches."""
    lines = output.splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith('"ID"')]
    if not starts:
        return []
    names, units, *launches = csv.reader(io.StringIO("\n".join(lines[starts[0] :])))
    rows = []
    for values in launches:
        if len(values) != len(names):
            continue  # what the program printed
        told = dict(zip(names, values, strict=True))
        unit = dict(zip(names, units, strict=True))
        row: Row = {"kernel": told.get("Kernel Name", "").partition("(")[0]}
        for metric, title in METRICS.items():
            if metric in told:
                in_unit = unit[metric] not in ("", "%", "register/thread", "inst")
                row[title] = f"{told[metric]} {unit[metric]}" if in_unit else _number(told[metric])
        rows.append(row)
    return rows


def _number(text: str) -> float | str:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return text
