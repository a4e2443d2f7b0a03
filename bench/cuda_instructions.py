"""Instructions of deformable cross-attention: ``python -m geolrm.bench.cuda_instructions``.

Its machine code is disassembled (``nvdisasm``, of the package nvidia-cuda-nvdisasm) and counted by
its loops; no GPU is needed. What a warp executes follows from the sizes of a layer, since the loops
have fixed trips; a branch counts with both of its sides, so the number is a bound from above.
"""

import itertools
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from geolrm.engine.backends.cuda.kernels import WARP, DeformableCrossAttention
from geolrm.engine.cuda.compiler import compile_source
from geolrm.engine.system.exit_codes import one_sentence_errors
from geolrm.engine.system.extras import require

TAPS = 4
ENTRY = "deformable_cross_attention_biased"
INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)(.*?);")
LABEL = re.compile(r"^(\.L_x_\d+):")
TARGET = re.compile(r"`\((\.L_x_\d+)\)")
RELEASED = (16, 48, 2, 8)  # heads, head_dim, levels, points of the reconstruction


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of machine code."""

    name: str  # with its modifiers: LDG.E.128.CONSTANT
    jump: int | None = None  # the index that a branch leads to


@dataclass(frozen=True, slots=True)
class Counts:
    """Instructions of a warp."""

    sample: float  # to read and blend one sample
    placed: int  # to place 32 samples
    step: int  # of a level, or a piece of its samples, beside these
    view: int  # of a view, beside these
    samples: int  # blended by a thread in each view
    steps: int  # of a view
    passes: float  # of placing in each step

    @property
    def each(self) -> float:
        """All that a warp executes in a view, over the samples that its threads blend."""
        step = self.sample * self.samples / self.steps + self.passes * self.placed + self.step
        return (self.steps * step + self.view) / self.samples


def find_disassembler() -> Path:
    """Return the program ``nvdisasm``, on the path or of its package.

    Raises:
        GeoLRMError: It is not installed.
    """
    found = shutil.which("nvdisasm")
    if found is None:
        require("nvidia-cuda-nvdisasm", "the count of instructions")
        folders = (Path(entry) for entry in sys.path if entry)
        found = next(path for entry in folders for path in entry.glob("nvidia/*/bin/nvdisasm*"))
    return Path(found)


def disassemble(cubin: bytes, entry: str) -> list[Instruction]:
    """List the machine code of one kernel."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        text = subprocess.run(
            [find_disassembler(), "-c", path], capture_output=True, text=True, check=True
        ).stdout
    return parse(text, entry)


def parse(text: str, entry: str) -> list[Instruction]:
    """Read what ``nvdisasm -c`` prints of one kernel."""
    labels: dict[str, int] = {}
    found: list[tuple[str, str | None]] = []
    inside = False
    for line in text.replace("\0", "").splitlines():
        if line.startswith(".text."):
            inside = line.rstrip(":").removeprefix(".text.") == entry
        if not inside:
            continue
        if label := LABEL.match(line):
            labels[label.group(1)] = len(found)
        elif instruction := INSTRUCTION.search(line):
            name, operands = instruction.groups()
            target = TARGET.search(operands) if name == "BRA" else None
            found.append((name, target.group(1) if target else None))
    return [Instruction(name, labels[target] if target else None) for name, target in found]


def loops(code: Sequence[Instruction]) -> list[range]:
    """List the loops, the innermost first; one that ends in itself alone is the padding's."""
    found = [
        range(instruction.jump, index + 1)
        for index, instruction in enumerate(code)
        if instruction.jump is not None and instruction.jump < index
    ]
    return sorted(found, key=len)


def count(kernel: DeformableCrossAttention, architecture: str, entry: str = ENTRY) -> Counts:
    """Count a kernel's instructions on an architecture, ``sm_90``."""
    source = kernel.source
    return count_code(
        disassemble(compile_source(source.name, architecture, source.defines).code, entry), kernel
    )


def count_code(code: Sequence[Instruction], kernel: DeformableCrossAttention) -> Counts:
    """Count in machine code that was read already."""
    view = _innermost(code, "BAR.SYNC")  # queries of a block meet once in each view
    place = _innermost(code, "STS.128", within=view)
    step = _innermost(code, "BAR.RED", within=view)
    blend = _straight_line_with_most(code, step, "LDG.E.128")
    taps = _named(code, blend, "LDG.E.128")
    blended = len(blend) * TAPS / taps
    return Counts(
        sample=blended,
        placed=len(place),
        step=len(step) - len(place) - len(blend),
        view=len(view) - len(step),
        samples=kernel.levels * kernel.points * kernel.chunks,
        steps=kernel.levels * kernel.points // kernel.piece,
        passes=kernel.heads * kernel.piece / kernel.lanes,
    )


def layer(kernel: DeformableCrossAttention, counts: Counts, views: int, queries: int) -> float:
    """Return the warp instructions of a layer."""
    warps = queries * kernel.lanes // WARP
    return counts.each * counts.samples * views * warps


def _innermost(code: Sequence[Instruction], name: str, within: range | None = None) -> range:
    inner = range(len(code)) if within is None else within
    return next(
        loop
        for loop in loops(code)
        if loop.start in inner and loop[-1] in inner and _named(code, loop, name)
    )


def _straight_line_with_most(code: Sequence[Instruction], loop: range, name: str) -> range:
    borders = {loop.start, loop.stop}
    for index in loop:
        jump = code[index].jump
        if jump is not None:
            borders |= {index + 1, jump} & set(loop)
    places = sorted(borders)
    lines = [range(a, b) for a, b in itertools.pairwise(places)]
    return max(lines, key=lambda line: _named(code, line, name))


def _named(code: Sequence[Instruction], lines: Iterable[int], name: str) -> int:
    return sum(code[index].name.startswith(name) for index in lines)


def main() -> None:
    """Print the counts as a table, for the released reconstruction."""
    print("| storage | GPU | to blend a sample | to place 32 | in all a sample | a layer |")
    print("|---|---|--:|--:|--:|--:|")
    for dtype in ("float16", "bfloat16"):
        kernel = DeformableCrossAttention(*RELEASED, dtype, "float32", "float32", "float32", dtype)
        for architecture in ("sm_80", "sm_89", "sm_90", "sm_120"):
            counts = count(kernel, architecture)
            total = layer(kernel, counts, 21, 16384)
            print(
                f"| {dtype} | {architecture} | {counts.sample:.1f} | {counts.placed} "
                f"| {counts.each:.1f} | {total / 1e9:.2f}e9 |"
            )


if __name__ == "__main__":
    with one_sentence_errors():
        main()
