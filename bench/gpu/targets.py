"""Targets of the figures on an H200-class GPU, and verdicts on them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on one column of the rows that match."""

    title: str
    part: str
    where: dict[str, Any]
    column: str
    bound: float
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target beside its figure."""

    target: Target
    figure: float | None  # the worst of the rows, None where there is none

    @property
    def word(self) -> str:
        """``met``, ``missed``, or ``not measured``."""
        figure, bound = self.figure, self.target.bound
        if figure is None or figure != figure:
            return "not measured"
        return "met" if (figure >= bound if self.target.at_least else figure <= bound) else "missed"

    def row(self) -> dict[str, Any]:
        """Return the verdict as a row of a table."""
        sign = ">=" if self.target.at_least else "<="
        figure = "" if self.figure is None else self.figure
        return {
            "target": self.target.title,
            "bound": f"{sign} {self.target.bound:g}",
            "figure": figure,
            "": self.word,
        }


KERNELS, RASTERIZER, ENGINE = "Kernels", "Rasterizer", "Engine, cuda fp16"
GSPLAT = "Rasterizer against gsplat 1.5.3"
ATTENTION = "deformable attention float16, Morton order"  # the order in which the engine runs it
SELF_ATTENTION = "self-attention float16"
HALF_MILLION = {"scene": "ring and ball 524288", "px": 1024}

TARGETS = (
    Target(
        "attention, a layer, V=21 N=16k fp16, ms",
        KERNELS,
        {"kernel": ATTENTION, "setting": "V=21 N=16384"},
        "p50 ms",
        2.0,
    ),
    Target(
        "self-attention, a layer, N=16k fp16, ms",
        KERNELS,
        {"kernel": SELF_ATTENTION, "setting": "N=16384"},
        "p50 ms",
        1.5,
    ),
    Target("rasterizer, 512k at 1024 px, ms", RASTERIZER, HALF_MILLION, "graph p50_ms", 0.35),
    Target(
        "rasterizer, times faster than gsplat",
        GSPLAT,
        HALF_MILLION,
        "ratio",
        3.0,
        at_least=True,
    ),
    Target("whole engine, V=21 N=16k, ms", ENGINE, {"V": 21, "N": 16384}, "p50 ms", 150.0),
    Target("whole engine, V=6 N=8k, ms", ENGINE, {"V": 6, "N": 8192}, "p50 ms", 40.0),
    Target("peak memory of the engine, GB", ENGINE, {}, "peak GB", 4.0),
)


def judge(parts: Iterable[Any]) -> list[Verdict]:
    """Hold every target against the parts' rows; of several rows the worst counts."""
    rows = {part.name: part.rows for part in parts}
    verdicts = []
    for target in TARGETS:
        figures = [
            row[target.column]
            for row in rows.get(target.part, ())
            if target.column in row and all(row.get(k) == v for k, v in target.where.items())
        ]
        worst = (min if target.at_least else max)(figures, default=None)
        verdicts.append(Verdict(target, worst))
    return verdicts
