"""Instructions a record costs a warp: ``python -m geolrm.bench.splat_instructions``.

The machine code is disassembled (``nvdisasm``, of the package nvidia-cuda-nvdisasm) and the loop
over a batch's records counted; no GPU is needed.
"""

from collections.abc import Sequence

from geolrm.bench.cuda_instructions import Instruction, disassemble, loops
from geolrm.bench.cuda_resources import ARCHITECTURES
from geolrm.engine.cuda.compiler import compile_source
from geolrm.engine.system.exit_codes import one_sentence_errors

PIXELS = 2  # of a thread, each with one exponential


def count(architecture: str) -> int:
    """Count what a warp executes for a record on an architecture, ``sm_90``."""
    code = compile_source("rasterizer/blend", architecture).code
    return of_a_record(disassemble(code, "blend_tiles"))


def of_a_record(code: Sequence[Instruction]) -> int:
    """Count what a warp executes for a record that touches one of its cells.

    That is the loop with one exponential a pixel and no branch but its own; it is there once for
    each cell of a warp.
    """
    found = []
    for loop in loops(code):
        names = [code[index].name for index in loop]
        if names.count("MUFU.EX2") == PIXELS and sum(n.startswith("BRA") for n in names) == 1:
            found.append(len(loop))
    return max(found)


def main() -> None:
    """Print the counts for each architecture."""
    for architecture in ARCHITECTURES:
        print(f"{architecture}: {count(architecture)} instructions a record and warp")


if __name__ == "__main__":
    with one_sentence_errors():
        main()
