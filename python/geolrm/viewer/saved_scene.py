"""A reconstruction in one file: what ``geolrm run --scene`` writes and ``geolrm view`` reads.

A safetensors file: raw arrays under a JSON header, so that nothing in it can run.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.system.atomic import atomic_file, existing_path
from geolrm.viewer.exhibit import IMAGE_SIDE, Exhibit, InputViews

SUFFIX = ".safetensors"
FORMAT = "geolrm-scene-1"
MAX_VIEWS = 4096
SPLAT_ARRAYS = ("means", "opacities", "scales", "quats", "colors", "sh")


def save_scene(exhibit: Exhibit, path: str | Path) -> None:
    """Write splats, input views, anchors and timings; ``path`` ends in .safetensors."""
    from safetensors.numpy import save

    check_scene_name(path)
    arrays: dict[str, NDArray[Any]] = {
        name: array
        for name in SPLAT_ARRAYS
        if (array := getattr(exhibit.gaussians, name)) is not None
    }
    facts: dict[str, Any] = {"title": exhibit.title, "timings": exhibit.timings, "names": []}
    if exhibit.anchors is not None:
        arrays["anchors"] = np.asarray(exhibit.anchors, np.float32)
    if exhibit.views is not None:
        facts["names"] = list(exhibit.views.names)
        arrays["c2w"] = exhibit.views.cameras.c2w
        arrays["intrinsics"] = exhibit.views.cameras.intrinsics
        for index, image in enumerate(exhibit.views.images):
            arrays[f"picture.{index}"] = image
    metadata = {"format": FORMAT, "facts": json.dumps(facts)}
    with atomic_file(path) as file:
        file.write(save({k: np.ascontiguousarray(v) for k, v in arrays.items()}, metadata))


def is_scene_name(path: str | Path) -> bool:
    """Tell by its suffix whether ``geolrm view`` takes a file for a scene."""
    return Path(path).suffix.lower() == SUFFIX


def check_scene_name(path: str | Path) -> None:
    """Refuse a name that ``geolrm view`` would not take for a scene."""
    if not is_scene_name(path):
        raise InputError(f"the scene file is {str(path)!r}; its name must end in {SUFFIX}")


def load_scene(path: str | Path) -> Exhibit:
    """Read what :func:`save_scene` wrote; the file is not trusted.

    Raises:
        InputError: It is no scene file, or an array has another type or shape than it must have.
    """
    from safetensors import SafetensorError, safe_open

    path = existing_path(path)
    if not path.is_file():
        raise InputError(f"there is no scene file at {str(path)!r}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise InputError(
                    f"{str(path)!r} is a safetensors file, but no {FORMAT}; write one with: "
                    "geolrm run CAPTURE -o splats.ply --scene scene.safetensors"
                )
            reader = _Reader(path, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{str(path)!r} is no scene file: {error}") from error
    return reader.exhibit(metadata.get("facts", ""))


class _Reader:
    """The arrays of a file, each checked when it is taken."""

    def __init__(self, path: Path, arrays: dict[str, NDArray[Any]]):
        self.path = path
        self.arrays = arrays

    def refuse(self, reason: str) -> InputError:
        return InputError(f"{str(self.path)!r} {reason}; it is damaged, write it again")

    def exhibit(self, text: str) -> Exhibit:
        title, timings, names = self.facts(text)
        splats = {
            name: self.take(name, np.float32)
            for name in SPLAT_ARRAYS
            if name in self.arrays or name not in ("colors", "sh")
        }
        try:
            gaussians = Gaussians(**splats)
            views = self.views(names) if names else None
        except InputError as error:
            raise InputError(f"{str(self.path)!r}: {error}") from error
        anchors = None
        if "anchors" in self.arrays:
            anchors = self.take("anchors", np.float32)
            if anchors.ndim != 2 or anchors.shape[1] != 3:
                raise self.refuse(f"has anchors of shape {anchors.shape}")
        return Exhibit(title, gaussians, views, anchors, timings)

    def facts(self, text: str) -> tuple[str, dict[str, float], list[str]]:
        try:
            facts = json.loads(text)
            title, timings, names = facts["title"], facts["timings"], facts["names"]
            good = isinstance(title, str) and all(isinstance(name, str) for name in names)
            timings = {str(name): float(seconds) for name, seconds in timings.items()}
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise self.refuse("has facts that cannot be read") from error
        if not good or len(names) > MAX_VIEWS or not np.isfinite(list(timings.values())).all():
            raise self.refuse("has facts that cannot be read")
        return title, timings, list(names)

    def take(self, name: str, dtype: type) -> NDArray[Any]:
        if name not in self.arrays:
            raise self.refuse(f"lacks {name!r}")
        array = self.arrays[name]
        if array.dtype != dtype:
            raise self.refuse(f"has {name} of type {array.dtype}, which must be {dtype.__name__}")
        if not np.isfinite(array).all():
            raise self.refuse(f"has NaN or infinity in {name}")
        return array

    def views(self, names: list[str]) -> InputViews:
        cameras = Cameras(self.take("c2w", np.float64), self.take("intrinsics", np.float64))
        images = [self.take(f"picture.{index}", np.uint8) for index in range(len(names))]
        for index, image in enumerate(images):
            sides = image.shape[:2] if image.ndim == 3 and image.shape[2] == 3 else ()
            if not sides or not 1 <= min(sides) <= max(sides) <= IMAGE_SIDE:
                raise self.refuse(f"has picture.{index} of shape {image.shape}")
        return InputViews(names, cameras, images)
