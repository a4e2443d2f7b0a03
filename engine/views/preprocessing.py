"""From a user's images and cameras to the views the model knows: square, centred, on white."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.views.alpha import alpha_from_white, split_alpha
from geolrm.engine.views.resampling import resample_to_square

Images = NDArray | Sequence[NDArray]


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """V posed square images of one size."""

    images: NDArray[np.float32]  # [V, 3, S, S] RGB in [0, 1], on white
    c2w: NDArray[np.float32]  # [V, 4, 4] OpenGL camera-to-world
    intrinsics: NDArray[np.float32]  # [V, 3, 3] divided by S; fx = fy, principal point centred
    projection: NDArray[np.float32]  # [V, 3, 4] intrinsics times world-to-camera
    alpha: NDArray[np.float32]  # [V, S, S] of the object
    fine: NDArray[np.float32] | None = None  # [V, 4, R, R] as `reference`, where R is not S

    @property
    def reference(self) -> NDArray[np.float32]:
        """Return premultiplied RGBA [V, 4, R, R], which a refinement compares renders with."""
        return self.foreground if self.fine is None else self.fine

    @property
    def foreground(self) -> NDArray[np.float32]:
        """Return RGB premultiplied by alpha, then alpha, [V, 4, S, S]: what geometric cues read."""
        return premultiplied(self.images, self.alpha)

    def __len__(self) -> int:
        return len(self.images)


def premultiplied(on_white: NDArray[np.float32], alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """Join colours on white [V, 3, S, S] and alpha [V, S, S] to premultiplied RGBA [V, 4, S, S]."""
    alpha = alpha[:, None]
    return np.concatenate([np.maximum(on_white - (1 - alpha), 0), alpha], axis=1)


def make_views(
    images: NDArray, c2w: NDArray, intrinsics: NDArray, alpha: NDArray | None = None
) -> Views:
    """Make views of arrays that already are what the model expects; nothing is checked.

    Args:
        images: [V, 3, S, S] RGB in [0, 1], on white.
        c2w: [V, 4, 4] OpenGL camera-to-world.
        intrinsics: [V, 3, 3] divided by S; fx = fy, principal point centred.
        alpha: [V, S, S]; default: taken from the white background.
    """
    c2w, intrinsics = c2w.astype(np.float64), intrinsics.astype(np.float64)
    projection = intrinsics @ np.linalg.inv(c2w)[:, :3]
    if alpha is None:
        alpha = np.stack([alpha_from_white(image.transpose(1, 2, 0)) for image in images])
    arrays = (images, c2w, intrinsics, projection, alpha)
    return Views(*(np.ascontiguousarray(array, dtype=np.float32) for array in arrays))


def join_views(groups: Sequence[Views]) -> Views:
    """Join groups of views, all of one size, one after another."""
    names = ["images", "c2w", "intrinsics", "projection", "alpha"]
    names += ["fine"] if groups[0].fine is not None else []
    return Views(*(np.concatenate([getattr(views, name) for views in groups]) for name in names))


def prepare_views(
    images: Images, cameras: Cameras, size: int, reference_size: int | None = None
) -> Views:
    """Composite on white and resample each view to a square of ``size`` pixels.

    The square is centred on the principal point, has fx = fy, and is as wide as the widest half of
    the image; what lies outside the image is white. Nothing is cropped.

    Args:
        images: [V, H, W, 3|4] uint8 or [V, 3|4, H, W] float in [0, 1]; or a sequence of V such
            images, which may differ in size.
        cameras: V cameras with the intrinsics of the given images.
        size: Side of the model's input.
        reference_size: Side of the images for a refinement; None: there is none.

    Raises:
        InputError: The numbers of images and cameras differ, a camera does not face the object
            cube, or an image or its intrinsics cannot be used.
    """
    count = count_images(images)
    if count != len(cameras):
        raise InputError(
            f"{count} images but {len(cameras)} poses were given; there must be one pose per image"
        )
    cameras.check_facing()
    squares, fine, intrinsics = [], [], np.tile(np.eye(3), (count, 1, 1))
    for index in range(count):
        rgb, alpha = split_alpha(images[index], index)
        # The emptiness is resampled, so that padding, which is 1, stays empty.
        planes = np.concatenate([rgb, 1 - alpha[..., None]], axis=-1)
        square, focal = resample_to_square(planes, cameras.intrinsics[index], size)
        squares.append(square)
        if reference_size not in (None, size):
            fine.append(resample_to_square(planes, cameras.intrinsics[index], reference_size)[0])
        intrinsics[index] = [[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1]]
    planes = np.stack(squares)
    views = make_views(planes[:, :3], cameras.c2w, intrinsics, 1 - planes[:, 3])
    if not fine:
        return views
    planes = np.stack(fine)
    return replace(views, fine=premultiplied(planes[:, :3], 1 - planes[:, 3]))


def count_images(images: Images) -> int:
    """Count the images that were given.

    Raises:
        InputError: There are none, or this is one image where several are expected.
    """
    if isinstance(images, np.ndarray) and images.ndim == 3:
        raise InputError(
            f"images have shape {images.shape}, which is one image; give [V, H, W, 3|4] uint8 or "
            "[V, 3|4, H, W] float, such as image[None]"
        )
    try:
        count = len(images)
    except TypeError as error:
        raise InputError(
            f"images are {type(images).__name__}; they must be an array or a list of arrays"
        ) from error
    if count == 0:
        raise InputError("no images were given; at least 1 view is needed")
    return count
