"""What a page shows: splats, and what is known about how they came to be."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures import Capture
from geolrm.engine.errors import InputError
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.scene import Scene
from geolrm.engine.views.alpha import composite_on_white
from geolrm.engine.views.sheets import input_images, to_bytes

IMAGE_SIDE = 1024  # px, the longer side at most
IMAGE_PIXELS = 6 * 1024**2  # of all views together: 0.5 to 1 MB of a page
LEAST_SIDE = 256  # px, however many views there are


@dataclass(frozen=True, slots=True, eq=False)
class InputViews:
    """Posed images, small enough to look at."""

    names: Sequence[str]  # [V]
    cameras: Cameras  # V
    images: Sequence[NDArray[np.uint8]]  # V of [H, W, 3] on white, at most IMAGE_SIDE pixels a side

    def __post_init__(self) -> None:
        counts = {len(self.names), len(self.cameras), len(self.images)}
        if len(counts) != 1:
            raise InputError(
                f"there are {len(self.names)} names, {len(self.cameras)} cameras and "
                f"{len(self.images)} images; there must be one of each for every view"
            )

    def __len__(self) -> int:
        return len(self.names)

    @staticmethod
    def from_capture(capture: Capture) -> "InputViews":
        """Show every frame of a capture; transparent pixels become white."""
        side = image_side(len(capture.images))
        images = [
            _shrink(to_bytes(composite_on_white(image, index)), side)
            for index, image in enumerate(capture.images)
        ]
        return InputViews(capture.names, capture.cameras, images)

    @staticmethod
    def from_scene(scene: Scene, names: Sequence[str] | None = None) -> "InputViews":
        """Show the images that the model saw, with the cameras that it was told."""
        views = scene.views
        names = names or [f"view {index}" for index in range(len(views))]
        side = image_side(len(views))
        images = [_shrink(image, side) for image in input_images(views)]
        cameras = Cameras(views.c2w.astype(np.float64), views.intrinsics.astype(np.float64))
        return InputViews(names, cameras, images)


@dataclass(frozen=True, slots=True, eq=False)
class Exhibit:
    """Splats in their own frame, and what is shown or told beside them."""

    title: str
    gaussians: Gaussians
    views: InputViews | None = None
    anchors: NDArray[np.float32] | None = None  # [N, 3], in the frame of the Gaussians
    timings: dict[str, float] = field(default_factory=dict)  # seconds per stage

    @staticmethod
    def from_scene(scene: Scene, title: str, names: Sequence[str] | None = None) -> "Exhibit":
        """Show a reconstruction with its input views, anchors and timings.

        ``names`` are those of the views, [V].
        """
        views = InputViews.from_scene(scene, names)
        return Exhibit(title, scene.gaussians, views, scene.anchors, scene.timings)

    def __repr__(self) -> str:
        views = 0 if self.views is None else len(self.views)
        return f"Exhibit({self.title!r}, {self.gaussians!r}, {views} views)"


def image_side(count: int) -> int:
    """Choose the longer side of each of so many images, in pixels: smaller ones where many."""
    return int(np.clip((IMAGE_PIXELS / max(count, 1)) ** 0.5, LEAST_SIDE, IMAGE_SIDE))


def _shrink(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    from PIL import Image

    small = Image.fromarray(image)
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(small)
