"""What a caller may ask of a capture from photographs."""

from dataclasses import dataclass
from typing import Literal, get_args

from geolrm.engine.errors import InputError
from geolrm.engine.system.cores import usable_cores

Masks = Literal["auto", "rembg", "none"]
FEWEST = 3  # photographs: two show no shape, since nothing checks what they say
LONGEST_SIDE = 1600  # px; features of larger photographs are rarely needed, and cost by area


@dataclass(frozen=True, slots=True)
class PhotographOptions:
    """How photographs are chosen, matched and cut out; checked when it is made."""

    max_photos: int = 200  # photographs, or frames of a video
    max_side: int = LONGEST_SIDE  # px of the photographs that are matched and written
    masks: Masks = "auto"  # rembg: photographs without alpha or mask get one; auto: if it can
    turntable: bool = False  # the object turns, the background does not: features in masks alone
    threads: int | None = None  # None: all cores
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_photos < FEWEST:
            raise InputError(
                f"--max-photos is {self.max_photos}; a capture needs at least {FEWEST}: give more"
            )
        if not 256 <= self.max_side <= 8192:
            raise InputError(f"--max-side is {self.max_side}; give 256 to 8192 pixels")
        if self.masks not in get_args(Masks):
            raise InputError(f"--masks is {self.masks!r}; give {', '.join(get_args(Masks))}")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"--threads is {self.threads}; give 1 or more")
        if not 0 <= self.seed < 1 << 31:
            raise InputError(f"--seed is {self.seed}; give 0 to {(1 << 31) - 1}")

    @property
    def cores(self) -> int:
        """Count the threads that work is shared among."""
        return self.threads or usable_cores()
