"""The table of `geolrm bench photos`: what must be reached, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Record = dict[str, Any]

LOST = {(12, 1.0): 0.3, (6, 1.0): 0.3, (12, 2.0): 1.5}  # dB below true poses, at most
LOST_AT_TRUE_POSES = 0.1  # dB
SECONDS = {6: 4.0, 12: 6.0}  # with poses refined, two quiet cores
ASKING = 0.1  # share of a plain run that asking whether to refine may take
LOST_BY_CUTS = 1.0  # dB below whole views
LEAST_SCORE = 19.5  # dB, of real photographs with given poses
LEAST_POSED, POSING_SECONDS = 64 / 66, 240.0  # share of photographs without poses; two quiet cores


@dataclass(frozen=True, slots=True)
class Line:
    """One target."""

    what: str
    measured: str
    target: str
    met: bool | None  # None: nothing to hold it against
    objects: int

    def __str__(self) -> str:
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        return f"{self.what}: {self.measured} [{self.target}] {verdict}".rstrip()


def wrong_pose_lines(rows: Sequence[Record]) -> list[Line]:
    """Hold wrong poses against true ones, over the objects that have both."""
    lines: list[Line] = []
    for (views, wrong), limit in LOST.items():
        pairs = _pairs(rows, views, wrong)
        if not pairs:
            continue
        true = _mean([one["off"] for one, _ in pairs])
        off, auto = (_mean([_auto(row) if auto else row["off"] for _, row in pairs])
                     for auto in (False, True))  # fmt: skip
        lines.append(
            Line(
                f"{views} views, poses off by {wrong:g} degrees and {wrong:g} %",
                f"{off:.2f} dB, refined {auto:.2f}; true poses {true:.2f}, so {true - auto:.2f} "
                "below",
                f"at most {limit:g} dB below",
                true - auto <= limit,
                len(pairs),
            )
        )
    true_rows = [row for row in rows if row["wrong"] == 0]
    for views in sorted({row["views"] for row in true_rows}, reverse=True):
        here = [row for row in true_rows if row["views"] == views]
        lost = _mean([row["off"] - row["on"] for row in here])
        lines.append(
            Line(
                f"true poses, {views} views, refinement of poses on",
                f"{_mean([row['on'] for row in here]):.2f} dB, {lost:.2f} lost",
                f"at most {LOST_AT_TRUE_POSES:g} dB lost",
                lost <= LOST_AT_TRUE_POSES,
                len(here),
            )
        )
    return lines + _auto_lines(rows) + _time_lines(rows)


def _auto_lines(rows: Sequence[Record]) -> list[Line]:
    lines = []
    for wrong in sorted({row["wrong"] for row in rows}):
        here = [row for row in rows if row["wrong"] == wrong]
        right = sum(row["pays"] == (wrong > 0) for row in here)
        lines.append(
            Line(
                f"auto, poses off by {wrong:g} degrees and {wrong:g} %",
                f"{'refines' if wrong else 'leaves'} {right} of {len(here)}",
                "all",
                right == len(here),
                len(here),
            )
        )
    true_rows = [row for row in rows if row["wrong"] == 0]
    if true_rows:
        share = _mean([row["measuring_cpu_seconds"] / row["off_cpu_seconds"] for row in true_rows])
        lines.append(
            Line(
                "auto, cost where it does not refine",
                f"{share:.1%} of a plain run",
                f"at most {ASKING:.0%}",
                share <= ASKING,
                len(true_rows),
            )
        )
    return lines


def _time_lines(rows: Sequence[Record]) -> list[Line]:
    lines = []
    for views, limit in SECONDS.items():
        here = [row for row in rows if row["views"] == views and row["wrong"] > 0]
        if not here:
            continue
        on, off = (float(np.median([row[key] for row in here])) for key in
                   ("on_seconds", "off_seconds"))  # fmt: skip
        ratio = float(np.median([row["on_cpu_seconds"] / row["off_cpu_seconds"] for row in here]))
        lines.append(
            Line(
                f"time with poses refined, {views} views",
                f"{on:.1f} s beside {off:.1f} s plain (medians); {ratio:.1f} times the processor's "
                "time",
                f"at most {limit:g} s on 2 quiet cores",
                on <= limit,
                len(here),
            )
        )
    return lines


def cut_view_lines(rows: Sequence[Record]) -> list[Line]:
    """Hold cut views against whole ones."""
    if not rows:
        return []
    whole, fewer, cut = (_mean([row[key] for row in rows]) for key in ("whole", "fewer", "cut"))
    outside = _mean([row["outside"] for row in rows])
    return [
        Line(
            f"12 views, each cut so that {outside:.0%} of the silhouette is outside",
            f"{cut:.2f} dB over the region seen, whole views {whole:.2f}, so {whole - cut:.2f} "
            f"below; 8 whole views {fewer:.2f}",
            f"at most {LOST_BY_CUTS:g} dB below",
            whole - cut <= LOST_BY_CUTS,
            len(rows),
        )
    ]


def real_photograph_lines(rows: Sequence[Record]) -> list[Line]:
    """Hold photographs with given poses against their target, the mean over those held out."""
    if not rows:
        return []
    plain, shipped = (_mean([row[key] for row in rows]) for key in ("plain", "shipped"))
    each = ", ".join(f"{row['shipped']:.1f}" for row in rows)
    return [
        Line(
            f"real photographs with given poses, {len(rows)} held out",
            f"{shipped:.2f} dB ({each}), plain colours {plain:.2f}",
            f"at least {LEAST_SCORE:g} dB",
            shipped >= LEAST_SCORE,
            1,
        )
    ]


def without_poses_lines(rows: Sequence[Record]) -> list[Line]:
    """Hold photographs without poses against their target, a line for each folder."""
    return [
        Line(
            f"photographs without poses, {row['name']}",
            f"{row['posed']} of {row['photographs']} in one model, {row['seconds']:.0f} s "
            f"({row['cpu_seconds']:.0f} s of the processor)",
            f"at least {LEAST_POSED:.0%} in {POSING_SECONDS:.0f} s on 2 quiet cores",
            row["posed"] >= LEAST_POSED * row["photographs"] and row["seconds"] <= POSING_SECONDS,
            1,
        )
        for row in rows
    ]


def to_markdown(facts: Record, lines: Sequence[Line]) -> str:
    """Write the facts of the machine, and a row for each target."""
    text = ["# Photographs", "", *(f"* {key}: {value}" for key, value in facts.items()), ""]
    text += ["| | measured | must | | objects |", "|---|---|---|---|---|"]
    for line in lines:
        verdict = {True: "met", False: "missed", None: ""}[line.met]
        text.append(
            f"| {line.what} | {line.measured} | {line.target} | {verdict} | {line.objects} |"
        )
    return "\n".join(text) + "\n"


def _pairs(rows: Sequence[Record], views: int, wrong: float) -> list[tuple[Record, Record]]:
    """Pair each object's row of true poses with that of wrong ones."""
    true = {row["name"]: row for row in rows if row["views"] == views and row["wrong"] == 0}
    return [
        (true[row["name"]], row)
        for row in rows
        if row["views"] == views and row["wrong"] == wrong and row["name"] in true
    ]


def _auto(row: Record) -> float:
    return row["on"] if row["pays"] else row["off"]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
