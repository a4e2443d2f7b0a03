"""A diagnostic: one thing that spoils reconstructions, in one sentence."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Topic = Literal[
    "axes", "looking away", "scale", "poses", "coverage", "field of view", "masks", "exposure",
    "white balance", "sharpness", "resolution",
]  # fmt: skip
LISTED = 8  # views that a sentence names at most


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is probably wrong: its value, the rule, and what to do."""

    topic: Topic
    text: str
    views: tuple[int, ...] = ()  # those it concerns; none: the capture as a whole

    def __str__(self) -> str:
        return f"{self.topic}: {self.text}"


def name_views(views: Iterable[int], total: int) -> str:
    """Name views of ``total``: ``view 3``, ``views 0, 4 and 7``, ``all 12 views``."""
    listed = [int(view) for view in views]
    if len(listed) == total and total > 1:
        return f"all {total} views"
    if len(listed) == 1:
        return f"view {listed[0]}"
    if len(listed) > LISTED:
        shown = ", ".join(map(str, listed[:LISTED]))
        return f"views {shown} and {len(listed) - LISTED} more"
    return f"views {', '.join(map(str, listed[:-1]))} and {listed[-1]}"


def name_point(values: Iterable[float]) -> str:
    """Write a point as ``(0.1, 2, -3)``."""
    return "(" + ", ".join(f"{round(float(value), 6) + 0.0:.3g}" for value in values) + ")"
