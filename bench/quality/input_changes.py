"""What is done to the input views before a reconstruction: wrong poses, cuts, exposure."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.capture import Capture
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.camera_checks import check_intrinsics
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.geometry.motions import misplaced

MOST_DEGREES, MOST_SHIFT, MOST_CUT, MOST_STOPS = 30.0, 0.3, 0.9, 5.0


@dataclass(frozen=True, slots=True)
class InputChanges:
    """Changes of every capture's inputs; 0 leaves one out.

    Raises:
        InputError: A value is out of its range.
    """

    pose_degrees: float = 0.0  # root mean square of the turns of cameras about themselves
    pose_shift: float = 0.0  # root mean square of their ways, in cube sides
    cut: float = 0.0  # share of each silhouette that is cut off, in turn on four sides
    exposure: float = 0.0  # standard deviation over views, in stops

    def __post_init__(self) -> None:
        for name, most, unit, option in (
            ("pose_degrees", MOST_DEGREES, "degrees", "--pose-noise DEGREES,SHIFT"),
            ("pose_shift", MOST_SHIFT, "cube sides", "--pose-noise DEGREES,SHIFT"),
            ("cut", MOST_CUT, "a share of the silhouette", "--cut"),
            ("exposure", MOST_STOPS, "stops", "--exposure"),
        ):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise InputError(
                    f"{name} is {value!r}; it must be {unit}, 0 to {most:g} ({option})"
                )

    @property
    def wrong_poses(self) -> bool:
        """Whether the cameras that are told are not those that saw."""
        return bool(self.pose_degrees or self.pose_shift)

    def check(self, capture: Capture, seed: int) -> None:
        """Refuse what :meth:`apply` refuses, at less cost.

        Raises:
            InputError: As :meth:`apply`.
        """
        replace(self, exposure=0.0).apply(capture, seed)

    def apply(self, capture: Capture, seed: int) -> Capture:
        """Change a capture of RGBA images; the same seed gives the same change.

        Raises:
            InputError: Frames are to be cut, and an image has no alpha or too little would be
                left of it; or a changed camera does not stand outside the cube, looking at it.
        """
        if self.wrong_poses:
            generator = np.random.default_rng([seed, 0])
            cameras = misplaced(capture.cameras, self.pose_degrees, self.pose_shift, generator)
            capture = replace(capture, cameras=cameras)
        if self.exposure:
            stops = np.random.default_rng([seed, 1]).normal(0, self.exposure, len(capture))
            images = [
                exposed(image, float(stop - stops.mean()))
                for image, stop in zip(capture.images, stops, strict=True)
            ]
            capture = replace(capture, images=images)
        if self.cut:
            capture = cut_views(capture, self.cut)
        if self.wrong_poses or self.cut:
            self._check_facing(capture)
        return capture

    def _check_facing(self, capture: Capture) -> None:
        """Refuse cameras that the engine would, and name the changes that did it."""
        faults = capture.cameras.facing_faults()
        if not faults:
            return
        noise = f"--pose-noise {self.pose_degrees:g},{self.pose_shift:g}"
        asked = [noise] * self.wrong_poses + [f"--cut {self.cut:g}"] * bool(self.cut)
        raise InputError(
            f"{str(capture.path)!r}: after {' and '.join(asked)} the camera of "
            f"{capture.names[min(faults)]!r}, one of {len(capture)} views, stands in the object "
            "cube or has it out of view; every camera must stand outside and show it: change the "
            "inputs less, or try another --seed"
        )


def exposed(image: NDArray[np.uint8], stops: float) -> NDArray[np.uint8]:
    """Return an sRGB image [H, W, 3|4] under so many stops more light, clipped; alpha is kept."""
    color = image[..., :3].astype(np.float64) / 255
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    linear = (linear * 2.0**stops).clip(0, 1)
    color = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.concatenate([(255 * color + 0.5).astype(np.uint8), image[..., 3:]], axis=-1)


def cut_views(capture: Capture, outside: float) -> Capture:
    """Crop the images, in turn at the left, right, top and bottom, and keep their cameras.

    Raises:
        InputError: An image has no alpha, or too narrow a strip of it would be left.
    """
    images, intrinsics, valid = [], [], []
    for index, (image, matrix) in enumerate(
        zip(capture.images, capture.cameras.intrinsics, strict=True)
    ):
        height, width = image.shape[:2]
        if image.shape[2] != 4:
            raise InputError(
                f"{str(capture.path)!r}: image {index} has no alpha, which tells what is cut off "
                "it; give images with alpha to cut them"
            )
        left, top, right, bottom = cropped_box(image[..., 3] > 127, outside, index % 4)
        pixels = matrix * [[width], [height], [1]] - [[0, 0, left], [0, 0, top], [0, 0, 0]]
        size = right - left, bottom - top
        if min(size) < 1 or not _fits_a_camera(pixels / [[size[0]], [size[1]], [1]]):
            raise InputError(
                f"{str(capture.path)!r}: cut by {outside:g}, image {index} keeps {size[0]} x "
                f"{size[1]} of its {width} x {height} pixels, too narrow a strip for a camera: cut "
                "less (--cut)"
            )
        images.append(image[top:bottom, left:right])
        intrinsics.append(pixels / [[size[0]], [size[1]], [1]])
        known = None if capture.valid is None else capture.valid[index]
        valid.append(None if known is None else known[top:bottom, left:right])
    cameras = Cameras(capture.cameras.c2w, np.array(intrinsics))
    cropped = None if capture.valid is None else valid
    return replace(capture, images=images, cameras=cameras, valid=cropped)


def _fits_a_camera(matrix: NDArray[np.float64]) -> bool:
    """Tell whether intrinsics [3, 3], divided by the image size, are such as cameras take."""
    try:
        check_intrinsics(matrix[None])
    except InputError:
        return False
    return True


def cropped_box(mask: NDArray[np.bool_], outside: float, side: int) -> tuple[int, int, int, int]:
    """Return (left, top, right, bottom) of the crop that leaves at least this share outside.

    Args:
        mask: [H, W] of the object.
        outside: Share of its pixels.
        side: That is cropped: 0 left, 1 right, 2 top, 3 bottom.
    """
    height, width = mask.shape
    profile = mask.sum(axis=0 if side < 2 else 1)
    profile = profile if side % 2 == 0 else profile[::-1]
    off = int(np.searchsorted(profile.cumsum(), outside * profile.sum())) + 1 if outside else 0
    return (
        (off, 0, width, height),
        (0, 0, width - off, height),
        (0, off, width, height),
        (0, 0, width, height - off),
    )[side]
