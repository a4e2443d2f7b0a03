"""Wrong accesses and races of the kernels, by NVIDIA's Compute Sanitizer.

It runs a small program of our kernels alone: under it a kernel takes many times as long.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from geolrm.bench.gpu.counted import ENDED
from geolrm.bench.gpu.report import NotRun, Recorder, Row
from geolrm.engine.errors import GeoLRMError

NAME = "compute-sanitizer"
TOOLS = ("memcheck", "racecheck")
CUDA = Path("/usr/local/cuda/bin")
PROGRAM = (sys.executable, "-m", "geolrm.bench.gpu.counted", "--small")
SECONDS = 300  # of a tool
MARK = "========="  # begins the tool's own lines
SUMMARY = re.compile(r"^=+ (?:ERROR|RACECHECK) SUMMARY: (.+)$", re.MULTILINE)
ERRORS = re.compile(r"\b(\d+) errors?\b")


def find() -> str | None:
    """Return the program on the PATH, beside CUDA's compiler, or in ``$CUDA_HOME``."""
    home = os.environ.get("CUDA_HOME")
    folders = [os.environ.get("PATH", ""), str(CUDA), *([str(Path(home) / "bin")] if home else [])]
    return shutil.which(NAME, path=os.pathsep.join(folders))


def command(program: str, tool: str) -> list[str]:
    """Return the command that checks :data:`PROGRAM`.

    Calls of the driver's interface that fail are left out: NVIDIA's packages ask a driver for what
    it may not have.
    """
    return [program, "--tool", tool, "--report-api-errors", "no", *PROGRAM]


def measure(record: Recorder) -> None:
    """Check with each tool; a row for each.

    Raises:
        NotRun: The program is not there, or does not know this GPU.
        GeoLRMError: It found errors, or what it checked did not come to its end.
    """
    program = find()
    if program is None:
        raise NotRun(f"{NAME} is not on the PATH, in {CUDA} or in $CUDA_HOME/bin")
    wrong = []
    for tool in TOOLS:
        done = subprocess.run(
            command(program, tool), text=True, check=False, timeout=SECONDS,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        print(done.stdout, flush=True)
        row = parse(tool, done.stdout)
        record.add(row)
        if row["errors"]:
            wrong.append(f"{tool}: {row['summary']}")
        elif ENDED not in done.stdout.splitlines():  # no errors, since nothing ran
            wrong.append(f"{tool}: the program ended early, with {done.returncode}")
    if wrong:
        raise GeoLRMError(f"{'; '.join(wrong)}; see sanitizer.log in logs.tar.gz")


def parse(tool: str, output: str) -> Row:
    """Read the number of errors from a tool's summary.

    Raises:
        NotRun: There is none, or the tool says that it does not know the GPU.
    """
    lines = [line.strip("= ") for line in output.splitlines() if line.startswith(MARK)]
    said = [line for line in lines if line and line != "COMPUTE-SANITIZER"]
    summary = SUMMARY.search(output)
    errors = ERRORS.search(summary[1]) if summary else None
    if "device not supported" in output.lower() or summary is None or errors is None:
        first = next(iter([*said, *output.strip().splitlines()]), "it printed nothing")
        raise NotRun(f"{NAME} --tool {tool}: {first[:200]}")
    return {"tool": tool, "errors": int(errors[1]), "summary": summary[1]}
