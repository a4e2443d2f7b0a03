"""Hold the results of a stress program on two machines together (tests/csrc/stress.h)."""

from pathlib import Path

import numpy as np

Results = dict[tuple[str, str, int], np.ndarray]  # by instruction set, name, and which of those
# What is compared with what: the formulas of these two are the same, with fused multiply-adds.
PARTNERS = {"neon": "avx2"}
# Pixels have the same formulas in every vector, so they agree but for the C library's logarithms.
# Sums over channels depend on how many lanes a vector has, and plain C++ on whether the CPU
# multiplies and adds in one rounding.
PIXELS, ROUNDED = 1e-6, 3e-5
# Gradients are sums whose terms cancel, here of splats 1e20 wide, too: relative, and most of them.
GRADIENTS, MOST_GRADIENTS = 0.02, 1e-4


def read(path: Path) -> Results:
    """Return the arrays that a stress program wrote."""
    data, at, found = path.read_bytes(), 0, {}
    seen: dict[tuple[str, str], int] = {}
    while at < len(data):
        end = data.index(b"\n", at)
        isa, name, count = data[at:end].decode().split()
        place = seen[isa, name] = seen.get((isa, name), -1) + 1
        found[isa, name, place] = np.frombuffer(data, "<f4", int(count), end + 1)
        at = end + 1 + 4 * int(count)
    return found


def compare(here: Results, there: Results) -> list[str]:
    """Return a line for each instruction set and name, or raise SystemExit where they differ."""
    lines = []
    for isa, name in sorted({(isa, name) for isa, name, _ in there}):
        partner = PARTNERS.get(isa, isa)
        pairs = [
            (here[partner, name, place], values)
            for (i, n, place), values in there.items()
            if (i, n) == (isa, name) and (partner, name, place) in here
        ]
        if not pairs:
            lines.append(f"  {isa} {name}: this CPU has no {partner} to compare with")
            continue
        ours, theirs = (np.concatenate(side) for side in zip(*pairs, strict=True))
        lines.append(compare_arrays(f"{isa} {name}", ours, theirs))
    return lines


def compare_arrays(what: str, ours: np.ndarray, theirs: np.ndarray) -> str:
    if ours.shape != theirs.shape or not np.array_equal(np.isnan(ours), np.isnan(theirs)):
        raise SystemExit(f"{what}: {ours.shape} and {theirs.shape} values, or other NaNs")
    finite = ~np.isnan(ours)
    ours, theirs = ours[finite].astype(np.float64), theirs[finite].astype(np.float64)
    off = np.abs(ours - theirs) / np.maximum(np.abs(ours), 1)
    worst, most = off.max(initial=0), np.quantile(off, 0.9999) if off.size else 0.0
    same = np.mean(ours == theirs) if off.size else 1.0
    line = f"  {what}: {same:.2%} of {off.size:,} the same, the others within {worst:.1e}"
    if "gradients" in what:
        within = worst <= GRADIENTS and most <= MOST_GRADIENTS
    else:
        summed = what.startswith("plain ") or "operators" in what
        within = worst <= (ROUNDED if summed else PIXELS)
    if not within:
        raise SystemExit(f"{line}, 9,999 of 10,000 within {most:.1e}: too far apart")
    return line
