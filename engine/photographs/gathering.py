"""The photographs of a source, or frames of a video, taken in; too few or too many are refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from geolrm.engine.captures.video import CONTAINERS
from geolrm.engine.errors import InputError
from geolrm.engine.photographs.intake import Photograph, file_stem, need_heic, spread, take_in
from geolrm.engine.photographs.options import FEWEST, PhotographOptions
from geolrm.engine.photographs.sources import HEIC_SUFFIXES, PHOTOGRAPH_SUFFIXES, list_photographs
from geolrm.engine.photographs.steps import Steps, Tell, digest, file_digest
from geolrm.engine.photographs.video_frames import choose_frames

MOST_FRAMES = 80  # of a video


class UselessSourceError(InputError):
    """A source that no step needs to be kept of: no capture can come of it."""


def find_files(
    source: Path, options: PhotographOptions, steps: Steps, tell: Tell, notes: list[str]
) -> list[Path]:
    """List the photographs of a source, or choose the frames of a video.

    Args:
        source: A folder, or a video.
        options: How many, and how large.
        steps: Keeps the frames.
        tell: Takes titles and progress.
        notes: Takes what was done with a video.

    Raises:
        InputError: There are none, or too many, or the source is neither.
    """
    if source.is_file():
        if source.suffix.lower() not in CONTAINERS:
            raise UselessSourceError(
                f"{str(source)!r} is neither a folder of photographs nor a video "
                f"({', '.join(CONTAINERS)})"
            )
        most = min(options.max_photos, MOST_FRAMES)
        place = steps.place("frames", file_digest(source), most, options.max_side)
        try:
            found = steps.done(
                place,
                lambda: choose_frames(
                    source, place, most, options.max_side, tell("choosing frames of the video")
                ),
            )
        except InputError as error:
            raise UselessSourceError(str(error)) from error
        notes.append(
            f"{len(found['files'])} of {found['decoded']} frames of the video were chosen, sharp "
            f"and spread; {found['equal']} nearly equal ones were left out"
        )
        return [place / name for name in found["files"]]
    files = list_photographs(source)
    if not files:
        raise UselessSourceError(
            f"{str(source)!r} holds no photographs ({', '.join(PHOTOGRAPH_SUFFIXES)}); give the "
            "folder that holds them, or a video"
        )
    if len(files) > options.max_photos:
        raise UselessSourceError(
            f"{str(source)!r} holds {len(files):,} photographs, more than --max-photos "
            f"{options.max_photos}; 60 to 150 are enough for one object: put an even subset into a "
            f"folder, such as one in {-(-len(files) // options.max_photos)}, or raise --max-photos"
        )
    return spread(files, options.max_photos)


def take_in_all(
    files: Sequence[Path],
    options: PhotographOptions,
    steps: Steps,
    tell: Tell,
    name: str = "photographs",
) -> tuple[list[Photograph], Path, str, dict[str, str]]:
    """Write the photographs upright and reduced, and say which cannot be read.

    Args:
        files: Of the photographs.
        options: How large.
        steps: Keeps them.
        tell: Takes titles and progress.
        name: Of the step.

    Returns:
        The photographs, their folder, a hash of all, and why some cannot be read, by name.

    Raises:
        InputError: A file cannot be opened, or the disk is full.
    """
    heic = next((path for path in files if path.suffix.lower() in HEIC_SUFFIXES), None)
    if heic is not None:  # which else would be one of the photographs that cannot be read
        need_heic(heic)
    report = tell("reading the photographs")
    hashes = []
    for path in files:
        hashes.append([path.name, file_digest(path)])
    key = digest(hashes, options.max_side)
    place = steps.place(name, key)

    def make() -> dict[str, Any]:
        taken, broken = [], {}
        for index, path in enumerate(files):
            try:
                each = take_in(path, place, file_stem(index, path), options.max_side)
                taken.append(msgspec.to_builtins(each))
            except InputError as error:
                if str(error).startswith("cannot write"):
                    raise
                broken[path.name] = str(error)
            report(index + 1, len(files))
        return {"taken": taken, "broken": broken}

    found = steps.done(place, make)
    return msgspec.convert(found["taken"], list[Photograph]), place, key, found["broken"]


def taken_paths(
    taken: Sequence[Photograph], files: Sequence[Path]
) -> list[tuple[Photograph, Path]]:
    """Pair photographs with the files that they were read from, by the number in their name."""
    return [(each, files[int(each.file.split("_")[0])]) for each in taken]


def check_useful(
    source: Path, given: int, useful: int, early: dict[str, str], broken: dict[str, str]
) -> None:
    """Refuse too few photographs, and say what was wrong with the others.

    Args:
        source: Where they are from.
        given: How many there were.
        useful: How many of them are left.
        early: Why others are not, by file.
        broken: Why others cannot be read, by name.

    Raises:
        InputError: There are fewer than three.
    """
    if useful >= FEWEST:
        return
    if given < FEWEST:
        raise UselessSourceError(
            f"{str(source)!r} holds {given} photograph{'s' if given > 1 else ''}; a capture needs "
            f"at least {FEWEST}, and 30 to 80 from all around are good: take more"
        )
    counts = {
        "blurred": sum(why == "blurred" for why in early.values()),
        "of one spot, equal to another": sum(why.startswith("equal") for why in early.values()),
        "unreadable": len(broken),
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    remedy = "take sharp ones from all around the object"
    if 2 * counts["unreadable"] > sum(counts.values()):
        remedy = "restore the files, or export them as JPEG"
    raise UselessSourceError(
        f"of {given} photographs of {str(source)!r} {useful} can be used ({said}), and a capture "
        f"needs at least {FEWEST}; {remedy}"
    )
