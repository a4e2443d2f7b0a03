"""Posed images of one object: what every reader yields."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.lazy_images import LazyImages, shapes_of
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras

Kind = Literal[
    "transforms", "colmap", "gobjaverse", "sv3d", "zero123plus", "poses", "llff", "predictions"
]
TITLES: dict[Kind, str] = {
    "transforms": "NeRF/nerfstudio transforms",
    "colmap": "COLMAP sparse model",
    "gobjaverse": "GObjaverse object",
    "sv3d": "SV3D orbit",
    "zero123plus": "Zero123++ sheet",
    "poses": "images with poses.npy",
    "llff": "images with poses_bounds.npy (LLFF)",
    "predictions": "cameras estimated by VGGT or Depth Anything 3",
}

MOST_FRAMES = 10_000  # of a capture


def check_frames(count: int, source: Path) -> None:
    """Refuse more frames than a capture of one object needs, before anything is read for them.

    Raises:
        InputError: There are too many.
    """
    if count > MOST_FRAMES:
        raise InputError(
            f"{source} lists {count:,} frames; at most {MOST_FRAMES:,} are read: leave some out"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Capture:
    """Posed images of one object, checked as a whole."""

    path: Path  # the folder or file that holds it
    names: list[str]  # [V] image paths as listed
    images: Sequence[NDArray[np.uint8]]  # V of [H, W, 3|4], straight alpha
    cameras: Cameras  # V, OpenGL, object frame, intrinsics divided by the image size
    kind: Kind = "transforms"
    source: Path | None = None  # the file that the poses are from; None: there is none
    # [4, 4] similarity from the object frame to the frame of the poses on disk
    object_to_world: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    points: NDArray[np.float64] | None = None  # [P, 3] of a sparse model, object frame
    notes: tuple[str, ...] = ()  # what the reader assumed or changed, a sentence each
    missing: tuple[str, ...] = ()  # listed files that are not there: frames were left out
    # V of [H, W], False where nothing is known of an image, or None where it is known whole;
    # None: all are
    valid: list[NDArray[np.bool_] | None] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"Capture({str(self.path)!r}, {TITLES[self.kind]}, {len(self)} views)"

    @property
    def found(self) -> str:
        """Say in one line what was recognised: kind, number of views, their size and alpha."""
        shapes = shapes_of(self.images)
        sizes = {(shape[1], shape[0]) for shape in shapes}
        width, height = next(iter(sizes))
        size = f"{width} x {height} px" if len(sizes) == 1 else "different sizes"
        with_alpha = sum(shape[2] == 4 for shape in shapes)
        alpha = {0: "without alpha", len(self): "with alpha"}.get(
            with_alpha, f"{with_alpha} with alpha"
        )
        return f"{TITLES[self.kind]}: {len(self)} views, {size}, {alpha}"

    def subset(self, indices: Sequence[int]) -> "Capture":
        """Return the capture of the frames at these indices, in this order.

        Raises:
            InputError: There is no such frame.
        """
        for index in indices:
            if not 0 <= index < len(self):
                raise InputError(
                    f"view {index} was asked for, but {str(self.path)!r} has frames 0 to "
                    f"{len(self) - 1}"
                )
        images = self.images
        if isinstance(images, LazyImages):
            chosen = images.subset(indices)  # which decodes none of them
        else:
            chosen = [images[i] for i in indices]
        return replace(
            self,
            names=[self.names[i] for i in indices],
            images=chosen,
            valid=None if self.valid is None else [self.valid[i] for i in indices],
            cameras=self.cameras[list(indices)],
        )

    def check_facing(self) -> None:
        """Refuse cameras in the object cube, too far from it, or without it in view.

        Raises:
            InputError: Names the file, the first such camera, and the likely mistake.
        """
        try:
            self.cameras.check_facing()
        except InputError as error:
            raise InputError(
                f"{self.source or self.path}: {error}. What is likely wrong: geolrm check; an "
                "object with masks that lies elsewhere: --fit"
            ) from error
