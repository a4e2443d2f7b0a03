"""What is measured, for how long: the options of the GPU benchmark, as its parts are given them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from geolrm.engine.errors import InputError

Settings = Sequence[tuple[int, int]]  # (views, anchors)

TARGETS: Settings = ((21, 16384), (6, 8192))
VIEWS, ANCHORS = (4, 8, 12, 16, 21), (4096, 8192, 16384)
# Those of the targets first, so that they are measured whatever becomes of the rest.
SETTINGS: Settings = (
    *TARGETS, *(s for s in ((v, n) for v in VIEWS for n in ANCHORS) if s not in TARGETS)
)  # fmt: skip
SECONDS = 20.0
LIMIT = 7200.0
SETTING = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,5})")


@dataclass(frozen=True, slots=True)
class Choices:
    """What each part is given.

    Raises:
        InputError: A number is out of its range.
    """

    settings: Settings = SETTINGS
    seconds: float = SECONDS  # at most, for one figure
    limit: float = LIMIT  # seconds of all parts together

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise InputError(f"--seconds is {self.seconds:g}; it must be more than 0")
        if not self.limit > 0:
            raise InputError(f"--limit is {self.limit:g}; it must be more than 0")

    def arguments(self) -> list[str]:
        """Return the command line's words for them, for the process of a part."""
        settings = ",".join(f"{views}x{anchors}" for views, anchors in self.settings)
        return ["--settings", settings, "--seconds", str(self.seconds)]


def parse_settings(text: str | None) -> Settings:
    """Read ``21x16384,6x8192``: views by anchors, in the order to measure them; None means all.

    Raises:
        InputError: It is written otherwise.
    """
    if text is None:
        return SETTINGS
    found = [SETTING.fullmatch(word.strip()) for word in text.split(",")]
    settings = tuple((int(one[1]), int(one[2])) for one in found if one is not None)
    if len(settings) < len(found) or len(set(settings)) < len(settings):
        raise InputError(
            f"--settings is {text!r}; give views x anchors, each once, with commas between, such "
            "as 21x16384,6x8192"
        )
    return settings
