"""How much a refinement may do: steps, and the size of the images that it compares."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

from geolrm.engine.errors import InputError

Quality = Literal["fast", "balanced", "best"] | float
QUALITIES = get_args(get_args(Quality)[0])

DEFAULT_STEPS = 30  # in a manifest: refine, as the engine sees fit
MOST_SECONDS = 3600.0
MANY_VIEWS = 8  # from which on more descent pays, and one can be spared until the last part
STILL_MORE_VIEWS = 16  # from which on still more of it does
REFERENCE_SIZE = 256  # px, of the images that every refinement compares first
FINER = 1.25  # times that: photographs from that size on are looked at closer
LEARNED_BEFORE_DESCENT = 6  # steps: more lose shape at few views
LEARNED_AT_MANY_VIEWS = 10  # steps: four more gain 0.1 dB there, for a tenth of a second
MOST_SPLATS = 200_000  # up to which they are split
FEWEST_SECONDS = 1.5  # of a run, from which on there is time for learned steps
USUAL_SIZE = 512  # px, of the photographs that are looked at closer, but by the best quality


@dataclass(frozen=True, slots=True)
class Budget:
    """What a refinement may do at most.

    It goes down at full rate for a while and then anneals, to where the residual is least. With
    ``holds_back``, a view is kept out of the first part, which ends when that view has got worse;
    the last part compares all.
    """

    steps: int  # of both parts
    annealed: int  # steps of the last part
    size: int = REFERENCE_SIZE  # px, at most, of the photographs that the last part compares
    holds_back: bool = False
    splats: int = 0  # up to which splats are split where detail is left; 0: none is
    learned: int = 0  # steps at most of the bundle's update network, where it has one, before all
    closes: bool = False  # with the bundle's closing network, where it has one, after all
    gentle: bool = False  # long enough for centres and colours to go slower
    closer: int = 0  # further steps of the last part, where it compares finer photographs
    seconds: float | None = None  # of the whole run, from which the number of steps is taken

    @classmethod
    def exactly(cls, steps: int) -> Budget:
        """Return a budget of just so many steps of descent, half of them annealed."""
        learned = LEARNED_BEFORE_DESCENT if steps else 0
        return cls(steps, math.ceil(steps / 2), USUAL_SIZE, learned=learned)

    def after(self, elapsed: float) -> Budget:
        """Return what is left of it so many seconds after the start of the run."""
        if self.seconds is None:
            return self
        return replace(self, seconds=self.seconds - elapsed)

    def looking_closer(self) -> Budget:
        """Return the same for photographs of :data:`FINER` times the size compared first."""
        more = self.closer
        return replace(self, steps=self.steps + more, annealed=self.annealed + more, closer=0)

    def of_steps(self, steps: int) -> Budget:
        """Return the same with another number of steps, shared out alike."""
        return replace(self, steps=steps, annealed=math.ceil(steps * self.annealed / self.steps))


# Chosen on training scans, see docs/model-card.md; few views are overfitted by descent.
FEW = {
    "fast": Budget(10, 10),
    # For 6 views in 2 s.
    "balanced": Budget(
        90, 60, USUAL_SIZE, splats=MOST_SPLATS, learned=LEARNED_BEFORE_DESCENT, closes=True,
        closer=60,
    ),
    "best": Budget(
        120, 60, 1024, splats=MOST_SPLATS, learned=LEARNED_BEFORE_DESCENT, closes=True,
        closer=90,
    ),
}  # fmt: skip
MANY = {
    "fast": Budget(10, 10),
    # So few steps that a view held back would cost more than it tells.
    "balanced": Budget(
        160, 80, USUAL_SIZE, splats=MOST_SPLATS, learned=LEARNED_AT_MANY_VIEWS, closes=True,
        gentle=True, closer=40,
    ),
    "best": Budget(
        400, 100, 1024, holds_back=True, splats=MOST_SPLATS, learned=LEARNED_AT_MANY_VIEWS,
        closes=True, gentle=True, closer=100,
    ),
}  # fmt: skip
STILL_MORE = MANY | {"balanced": replace(MANY["balanced"], steps=240, annealed=120)}


def budget_of(quality: Quality, views: int) -> Budget:
    """Return the budget of a quality for so many views; of seconds, steps alone."""
    if isinstance(quality, str):
        table = FEW if views < MANY_VIEWS else MANY if views < STILL_MORE_VIEWS else STILL_MORE
        return table[quality]
    # Nothing is held back and none is split: steps alone are then what decides the result.
    learned = LEARNED_BEFORE_DESCENT if quality >= FEWEST_SECONDS else 0
    return replace(Budget.exactly(400), seconds=quality, learned=learned)


def check_quality(quality: object) -> Quality:
    """Return a quality, or refuse what is none.

    Raises:
        InputError: It is neither a name nor a number of seconds.
    """
    if isinstance(quality, str) and quality in QUALITIES:
        return quality  # pyright: ignore[reportReturnType]
    number = isinstance(quality, int | float) and not isinstance(quality, bool)
    if number and 0 < quality <= MOST_SECONDS:  # pyright: ignore[reportOperatorIssue]
        return float(quality)  # pyright: ignore[reportArgumentType]
    raise InputError(
        f"quality is {quality!r}; it must be 'fast', 'balanced', 'best', or seconds up to "
        f"{MOST_SECONDS:g}"
    )
