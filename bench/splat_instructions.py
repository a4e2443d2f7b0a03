"""Instructions a record costs a warp: ``python -m geolrm.bench.splat_instructions``.

The machine code is disassembled by ``nvdisasm`` (of the package nvidia-cuda-nvdisasm, or of CUDA's
toolkit) and the loop over a batch's records counted; no GPU is needed.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from geolrm.bench.cuda_resources import ARCHITECTURES
from geolrm.engine.cuda.compiler import compile_source
from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system.exit_codes import one_sentence_errors

INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(.*?);")
LABEL = re.compile(r"^\s*(\.L_x_\d+):")
BRANCH = re.compile(r"\bBRA(?:\.\w+)* (?:U?P\w+, )?`\((\.L_x_\d+)\)")
PIXELS = 2  # of a thread, each with one exponential


def disassembler() -> Path:
    """Return ``nvdisasm``, from the path or its package.

    Raises:
        GeoLRMError: It is not installed.
    """
    found = shutil.which("nvdisasm")
    if found is not None:
        return Path(found)
    for entry in filter(None, sys.path):
        for path in Path(entry).glob("nvidia/*/bin/nvdisasm*"):
            return path
    raise GeoLRMError(
        "counting instructions needs nvdisasm, which is not installed; run: pip install "
        "nvidia-cuda-nvdisasm"
    )


def disassemble(cubin: bytes) -> str:
    """Return a cubin's machine code as text."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        return subprocess.run(
            [disassembler(), "-c", path], capture_output=True, text=True, check=True
        ).stdout


def loops(text: str) -> list[list[str]]:
    """List the instructions of each loop: from a label to a branch back to it."""
    code: list[str] = []
    labels: dict[str, int] = {}
    found = []
    for line in text.splitlines():
        if label := LABEL.match(line):
            labels[label.group(1)] = len(code)
        elif instruction := INSTRUCTION.search(line):
            code.append(instruction.group(1).strip())
            branch = BRANCH.search(code[-1])
            if branch and branch.group(1) in labels:
                found.append(code[labels[branch.group(1)] :])
    return found


def of_a_record(text: str) -> int:
    """Count what a warp executes for a record that touches one of its cells.

    That is the loop with one exponential a pixel and no branch but its own; it is there once for
    each cell of a warp.
    """
    found = [
        len(loop)
        for loop in loops(text)
        if sum("MUFU.EX2" in line for line in loop) == PIXELS
        and sum("BRA" in line for line in loop) == 1
    ]
    return max(found)


def main() -> None:
    """Print the counts for each architecture."""
    for architecture in ARCHITECTURES:
        code = compile_source("rasterizer/blend", architecture).code
        print(f"{architecture}: {of_a_record(disassemble(code))} instructions a record and warp")


if __name__ == "__main__":
    with one_sentence_errors():
        main()
