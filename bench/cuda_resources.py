"""Registers, shared memory and spills: ``python -m geolrm.bench.cuda_resources``.

Every CUDA kernel in every storage, compiled for each architecture, as a Markdown table; no GPU is
needed.
"""

import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from geolrm.engine.backends.cuda import kernels
from geolrm.engine.backends.cuda.self_attention import HEAD_DIMS, SelfAttention
from geolrm.engine.cuda import sources
from geolrm.engine.cuda.compiler import compile_source, compiler_version
from geolrm.engine.cuda.launch import Source
from geolrm.engine.system.exit_codes import one_sentence_errors

ARCHITECTURES = ("sm_75", "sm_86", "sm_89", "sm_90", "sm_120")
# (heads, head_dim, levels, points) of the released model's stages, and of the bundled one.
ATTENTIONS = ((16, 48, 2, 8), (16, 24, 2, 8), (4, 48, 2, 4))
TYPES = {name: dtype for dtype, (name, _) in kernels.STORAGE.items()}
ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
NUMBERS = {
    "registers": re.compile(r"Used (\d+) registers"),
    "shared": re.compile(r"(\d+) bytes smem"),
    "stack": re.compile(r"(\d+) bytes stack frame"),
    "spill_stores": re.compile(r"(\d+) bytes spill stores"),
    "spill_loads": re.compile(r"(\d+) bytes spill loads"),
}


@dataclass(frozen=True, slots=True)
class Resources:
    """What one kernel takes of a GPU; of shared memory, what is static."""

    entry: str
    variant: str
    architecture: str
    registers: int
    shared: int  # bytes
    stack: int  # bytes
    spill_stores: int  # bytes
    spill_loads: int  # bytes

    @property
    def spills(self) -> int:
        """Bytes that registers were too few for."""
        return self.spill_stores + self.spill_loads


def variants() -> Iterator[tuple[str, Source]]:
    """Yield every source in every storage that the engine uses, by a name for the table."""
    for geometry in ATTENTIONS:
        heads, head_dim, *_ = geometry
        of = "" if geometry == ATTENTIONS[0] else f", {heads} heads of {head_dim}"
        for value in kernels.STORAGE:
            types = (value, "float32", "float32", "float32", value)
            yield value + of, kernels.DeformableCrossAttention(*geometry, *types).source
    for head_dim in HEAD_DIMS:
        yield f"float16, {head_dim} channels", SelfAttention(1, head_dim).source
    covered = {"deformable_cross_attention", "self_attention"}
    for name in sorted(set(sources.names()) - covered):
        yield from _storages(name)


def _storages(name: str) -> Iterator[tuple[str, Source]]:
    """Yield a source in each storage of its first storage macro; others keep their defaults.

    Defaults hold only where none of a source's macros is given, so all of them are.
    """
    macros = re.findall(r"^#define (GEOLRM_\w+) (\w[\w ]*\w|\w)", sources.text(name), re.MULTILINE)
    stored = [macro for macro, default in macros if default in TYPES]
    if not stored:
        yield "", Source(name)
        return
    for dtype, (storage, _) in kernels.STORAGE.items():
        yield dtype, Source(name, {**dict(macros), stored[0]: storage})


def measure(variant: str, source: Source, architecture: str) -> list[Resources]:
    """Compile one source, and read what ptxas says of each of its kernels."""
    log = compile_source(source.name, architecture, source.defines, cache=False).log
    pieces = ENTRY.split(log)[1:]
    return [
        Resources(entry, variant, arch, **{key: _number(text, p) for key, p in NUMBERS.items()})
        for entry, arch, text in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
    ]


def _number(text: str, pattern: re.Pattern[str]) -> int:
    found = pattern.search(text)
    return int(found.group(1)) if found else 0


def measure_all(architectures: Iterable[str] = ARCHITECTURES) -> list[Resources]:
    """Measure all kernels, in all variants and on all architectures."""
    made = itertools.product(variants(), architectures)
    return [row for (name, source), arch in made for row in measure(name, source, arch)]


def table(rows: list[Resources]) -> str:
    """Write Markdown: a row for each kernel and variant, registers by architecture."""
    architectures = list(dict.fromkeys(row.architecture for row in rows))
    lines = [
        f"| kernel | storage | {' | '.join(architectures)} | static shared memory | spills |",
        f"|---|---|{'--:|' * (len(architectures) + 2)}",
    ]
    for entry, variant in dict.fromkeys((row.entry, row.variant) for row in rows):
        same = [row for row in rows if (row.entry, row.variant) == (entry, variant)]
        registers = {row.architecture: str(row.registers) for row in same}
        cells = [registers.get(architecture, "") for architecture in architectures]
        shared, spills = max(row.shared for row in same), max(row.spills for row in same)
        cells += [f"{shared} B", f"{spills} B"]
        lines.append(f"| `{entry}` | {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table; the exit code is 1 where a kernel spills."""
    rows = measure_all()
    print(f"Registers of a thread, by NVRTC {compiler_version()}:\n")
    print(table(rows))
    sys.exit(1 if any(row.spills for row in rows) else 0)


if __name__ == "__main__":
    with one_sentence_errors():
        main()
