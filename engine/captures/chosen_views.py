"""What a run takes of a capture: read, looked at for what is doubtful, and its views chosen."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from geolrm.engine.captures.capture import Capture
from geolrm.engine.captures.diagnostics.conventions import convention_warning
from geolrm.engine.captures.diagnostics.pose_checks import upright_warning
from geolrm.engine.captures.readiness import faulty_views, fit_where_agreed, left_out_note
from geolrm.engine.captures.recognition import read_capture
from geolrm.engine.errors import InputError

LONGEST_SIDE = 1024  # px, to which images are reduced: four times what models read


@dataclass(frozen=True, slots=True, eq=False)
class ReadyCapture:
    """A capture that a run may take views of."""

    capture: Capture  # all of it, fitted where that is due
    faulty: dict[int, str]  # views whose masks show no object, and why
    left_out: list[str]  # a sentence for each reason
    doubts: list[str]  # what is likely wrong, a sentence each; views may be right all the same

    def choose(self, wanted: str | None, preferred: int) -> tuple[list[int], Capture]:
        """Choose views, return their indices and the capture of them alone.

        Args:
            wanted: ``6`` for so many, ``0,4,8`` for frames; None for ``preferred`` or all.
            preferred: The bundle's preferred number of views.

        Raises:
            InputError: ``wanted`` is neither, or a chosen camera does not see the object.
        """
        if wanted is None:
            wanted = str(min(preferred, len(self.capture) - len(self.faulty)))
        parsed = parse_views(wanted, len(self.capture))
        chosen = choose_views(self.capture, parsed, self.faulty)
        used = self.capture.subset(chosen)
        used.check_facing()
        return chosen, used


def read_for_run(
    path: str | Path,
    *,
    remove_background: bool = False,
    fit: bool | None = None,
    allow_outside: bool = False,
    longest_side: int = LONGEST_SIDE,
) -> ReadyCapture:
    """Read a capture as ``geolrm run`` does; ``fit`` None fits it where masks say that it is due.

    Images of more than ``longest_side`` pixels are reduced to that.

    Raises:
        InputError: It cannot be read, or most of its cameras do not see the object.
    """
    capture = read_capture(
        path,
        remove_background=remove_background,
        fit=fit is True,
        longest_side=longest_side,
        allow_outside=allow_outside,
    )
    faulty = faulty_views(capture)
    left_out = left_out_note(capture, faulty)
    agree = False
    if fit is None:
        capture, agree = fit_where_agreed(capture, faulty)
    doubt = None if agree else convention_warning(capture, faulty)
    if doubt is not None and 2 * len(capture.cameras.facing_faults()) > len(capture):
        raise InputError(f"{capture.source or capture.path}: {doubt}")  # no view would be right
    doubt = upright_warning(capture) if doubt is None else doubt
    return ReadyCapture(capture, faulty, left_out, [] if doubt is None else [doubt])


def parse_views(text: str, count: int) -> int | list[int]:
    """Parse ``6`` to a number of views, ``0,4,8`` (or ``3,``) to frame indices."""
    try:
        if "," in text:
            chosen: int | list[int] = [int(part) for part in text.split(",") if part.strip()]
        else:
            chosen = int(text)
    except ValueError as error:
        raise InputError(
            f"--views is {text!r}; give a number of views such as 6, or frame indices such as 0,4,8"
        ) from error
    if isinstance(chosen, list):
        repeated = [index for index in chosen if chosen.count(index) > 1]
        if not chosen or repeated:
            raise InputError(f"--views is {text!r}; give frame indices, each once")
    elif not 1 <= chosen <= count:
        raise InputError(f"--views is {chosen}; this capture has {count} frames, so give 1 to "
                         f"{count}")  # fmt: skip
    return chosen


def choose_views(content: Capture, wanted: int | list[int], faulty: Collection[int]) -> list[int]:
    """Choose a number of views spread over the directions, or those given, without faulty ones."""
    if isinstance(wanted, list):
        content.subset(wanted)  # refuses an index that is none
        chosen = [index for index in wanted if index not in faulty]
        if not chosen:
            raise InputError(
                f"every one of the views {', '.join(map(str, wanted))} has a mask that is empty or "
                "inverted; choose others"
            )
        return chosen
    sound = [index for index in range(len(content)) if index not in faulty]
    chosen = content.cameras[sound].spread(min(wanted, len(sound)))
    return [sound[index] for index in chosen]
