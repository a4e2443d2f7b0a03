"""Captures with a ground truth: checked whole before anything is computed."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.bench.quality.image_metrics import WINDOW
from geolrm.bench.quality.protocol import FRAMES, TARGETS, expected_group
from geolrm.engine.captures import Capture, load_complete_capture
from geolrm.engine.captures.arrays import read_points
from geolrm.engine.errors import InputError
from geolrm.engine.system.atomic import existing_path
from geolrm.engine.views.alpha import composite_on_white

TRANSFORMS = "transforms.json"
TRACES = (TRANSFORMS, "points.npz", "rgb")  # what shows that a folder is meant as a capture


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """One object: its capture, and samples of its visible surface."""

    name: str
    capture: Capture  # frames 0 to 37 are those of the protocol
    points: NDArray[np.float32]  # [N, 3] in the object frame


def find_subjects(
    dataset: str | Path, only: list[str] | None = None, transforms: str = TRANSFORMS
) -> dict[str, Path]:
    """Find the folders of a dataset by the name of their object, in alphabetical order.

    Args:
        dataset: A capture folder, or a folder of such folders.
        only: Names to keep; None keeps all.
        transforms: Name of the file with the poses; folders that have none of another name than
            the usual one are left out.

    Raises:
        InputError: There is no capture, or none of a name.
    """
    path = existing_path(dataset)
    if not path.is_dir():
        raise InputError(
            f"{str(path)!r} is no dataset; give a capture folder (transforms.json, rgb/, "
            "points.npz), or a folder of capture folders"
        )
    if (path / "transforms.json").exists():
        found = {path.resolve().name: path}
    else:
        folders = sorted(entry for entry in path.iterdir() if entry.is_dir())
        found = {
            folder.name: folder
            for folder in folders
            if any((folder / trace).exists() for trace in TRACES)
        }
    if not found:
        raise InputError(
            f"{str(path)!r} holds no capture: neither transforms.json nor a folder with one; give "
            "a capture folder, or a folder of capture folders"
        )
    if transforms != TRANSFORMS:
        if Path(transforms).name != transforms or Path(transforms).suffix.lower() != ".json":
            raise InputError(
                f"transforms is {transforms!r}; it must be the name of a .json file in every "
                "capture, such as transforms_448.json"
            )
        found = {name: folder for name, folder in found.items() if (folder / transforms).is_file()}
        if not found:
            raise InputError(
                f"no capture in {str(path)!r} has a file {transforms!r}; name one that some have"
            )
    for name in only or ():
        if name not in found:
            raise InputError(
                f"object {name!r} was asked for, but {str(path)!r} holds {_listed(list(found))}"
            )
    return {name: folder for name, folder in found.items() if only is None or name in only}


def load_subject(name: str, folder: Path, transforms: str = TRANSFORMS) -> Subject:
    """Read and check one object, posed by the file ``transforms`` of its folder.

    Raises:
        InputError: The capture or its points are damaged, or are not laid out as the protocol
            needs them; the message names the folder.
    """
    capture = load_complete_capture(folder if transforms == TRANSFORMS else folder / transforms)
    if len(capture) < FRAMES:
        raise InputError(
            f"{str(folder)!r} has {len(capture)} frames; the protocol needs {FRAMES}: 0 to 23 "
            "orbit_up, 24 to 35 orbit_level, 36 top, 37 bottom. Render the missing ones"
        )
    _check_groups(folder, transforms)
    for frame in TARGETS:
        height, width = capture.images[frame].shape[:2]
        if min(height, width) < WINDOW:
            raise InputError(
                f"{str(folder)!r}: target frame {frame} has {width} x {height} pixels; SSIM needs "
                f"at least {WINDOW} x {WINDOW}: render it larger"
            )
    _check_background(capture)
    return Subject(name, capture, read_points(folder / "points.npz"))


def _check_groups(folder: Path, transforms: str) -> None:
    frames = json.loads((folder / transforms).read_bytes())["frames"]
    for index, frame in enumerate(frames[:FRAMES]):
        group, expected = frame.get("group"), expected_group(index)
        if group != expected:
            raise InputError(
                f"{str(folder)!r}: frame {index} has group {str(group)[:40]!r}; the protocol needs "
                f"{expected!r} there. Give {transforms} its frames in the order 24 orbit_up, 12 "
                "orbit_level, top, bottom, each with its 'group'"
            )


def _check_background(capture: Capture) -> None:
    """Check that inputs and truths can be put on white; what is a warning elsewhere is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            for index, image in enumerate(capture.images[:FRAMES]):
                composite_on_white(image, index)
        except UserWarning as warning:
            raise InputError(f"{str(capture.path)!r}: {warning}") from warning


def _listed(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
