"""From a user's images and cameras to the views the model knows: square, centred, on white."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.views.alpha import alpha_from_white, check_image, split_alpha
from geolrm.engine.views.pixels import exact_bytes
from geolrm.engine.views.reduction import reduced
from geolrm.engine.views.resampling import resample_to_square

Images = NDArray | Sequence[NDArray]
Valid = NDArray | Sequence[NDArray | None]  # of each image [H, W] bool, or None: all of it


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """V posed square images of one size."""

    images: NDArray[np.float32]  # [V, 3, S, S] RGB in [0, 1], on white
    c2w: NDArray[np.float32]  # [V, 4, 4] OpenGL camera-to-world
    intrinsics: NDArray[np.float32]  # [V, 3, 3] divided by S; fx = fy, principal point centred
    projection: NDArray[np.float32]  # [V, 3, 4] intrinsics times world-to-camera
    alpha: NDArray[np.float32]  # [V, S, S] of the object
    fine: NDArray[np.float32] | None = None  # [V, 4, R, R] as `reference`, where R is not S
    # [V, S, S] 1 where an image shows something, 0 where nothing is known; None: known everywhere
    valid: NDArray[np.float32] | None = None
    fine_valid: NDArray[np.float32] | None = None  # [V, R, R] the same of `fine`
    # [V, 3, S, S] that over 255 are the images, to the bit; None where no bytes are
    pixels: NDArray[np.uint8] | None = None

    @property
    def reference(self) -> NDArray[np.float32]:
        """Return premultiplied RGBA [V, 4, R, R], which a refinement compares renders with."""
        return self.foreground if self.fine is None else self.fine

    @property
    def reference_valid(self) -> NDArray[np.float32] | None:
        """Return where `reference` is known, [V, R, R] of 1 and 0; None: everywhere."""
        return self.valid if self.fine is None else self.fine_valid

    @property
    def foreground(self) -> NDArray[np.float32]:
        """Return RGB premultiplied by alpha, then alpha, [V, 4, S, S]: what geometric cues read."""
        return premultiplied(self.images, self.alpha)

    @property
    def shown(self) -> NDArray[np.float32]:
        """Return `valid`, or ones [V, S, S] where all is known: what geometric cues read."""
        return np.ones(self.alpha.shape, np.float32) if self.valid is None else self.valid

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
    images, c2w, intrinsics, projection, alpha = (
        np.ascontiguousarray(array, dtype=np.float32) for array in arrays
    )
    pixels = exact_bytes(images)
    return Views(images, c2w, intrinsics, projection, alpha, pixels=pixels)


def join_views(groups: Sequence[Views]) -> Views:
    """Join groups of views, all of one size, one after another."""
    names = ["images", "c2w", "intrinsics", "projection", "alpha"]
    names += ["fine"] if groups[0].fine is not None else []
    joined = Views(*(np.concatenate([getattr(views, name) for views in groups]) for name in names))
    valid = _join_valid([views.valid for views in groups], groups, joined.alpha.shape)
    pixels = [views.pixels for views in groups if views.pixels is not None]
    if len(pixels) == len(groups):
        joined = replace(joined, pixels=np.concatenate(pixels))
    if joined.fine is None:
        return replace(joined, valid=valid)
    shape = (len(joined), *joined.fine.shape[2:])
    fine_valid = _join_valid([views.fine_valid for views in groups], groups, shape)
    return replace(joined, valid=valid, fine_valid=fine_valid)


def _join_valid(
    parts: Sequence[NDArray[np.float32] | None], groups: Sequence[Views], shape: tuple[int, ...]
) -> NDArray[np.float32] | None:
    """Join what is known of groups of views; None where that is everything."""
    if all(part is None for part in parts):
        return None
    joined, start = np.ones(shape, np.float32), 0
    for part, views in zip(parts, groups, strict=True):
        if part is not None:
            joined[start : start + len(views)] = part
        start += len(views)
    return joined


def prepare_views(
    images: Images,
    cameras: Cameras,
    size: int,
    reference_size: int | None = None,
    valid: Valid | None = None,
) -> Views:
    """Composite on white and resample each view to a square of ``size`` pixels.

    The square is centred on the principal point, has fx = fy, and is as wide as the widest half of
    the image. Nothing is cropped; what lies outside the image, or is not valid, is white and
    unknown: see :attr:`Views.valid`.

    Args:
        images: [V, H, W, 3|4] uint8 or [V, 3|4, H, W] float in [0, 1]; or a sequence of V such
            images, which may differ in size.
        cameras: V cameras with the intrinsics of the given images.
        size: Side of the model's input.
        reference_size: Side of the images for a refinement; None: there is none.
        valid: Of each image [H, W] bool, False where nothing is known of it, or None where it is
            known whole; None: all are.

    Raises:
        InputError: The numbers of images and cameras differ, a camera does not face the object
            cube, or an image, its valid mask or its intrinsics cannot be used.
    """
    count = count_images(images)
    if count != len(cameras):
        raise InputError(
            f"{count} images but {len(cameras)} poses were given; there must be one pose per image"
        )
    cameras.check_facing()
    masks = check_valid(valid, count)
    intrinsics = np.tile(np.eye(3), (count, 1, 1))
    squares, known, fine, fine_known = [], [], [], []
    for index in range(count):
        mask, matrix = masks[index], cameras.intrinsics[index]
        image = check_image(images[index], index)
        if mask is not None:
            image = _without_unknown(image, mask, index)
        image, mask = reduced(image, mask)
        rgb, alpha = split_alpha(image, index)
        # The emptiness is resampled, so that padding, which is 1, stays empty.
        planes = np.concatenate([rgb, 1 - alpha[..., None]], axis=-1)
        square, focal, shown = resample_to_square(planes, matrix, size, mask)
        squares.append(square)
        known.append(shown)
        if reference_size not in (None, size):
            square, _, shown = resample_to_square(planes, matrix, reference_size, mask)
            fine.append(square)
            fine_known.append(shown)
        intrinsics[index] = [[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1]]
    planes = np.stack(squares)
    views = make_views(planes[:, :3], cameras.c2w, intrinsics, 1 - planes[:, 3])
    views = replace(views, valid=_stack_valid(known, size))
    if not fine:
        return views
    planes = np.stack(fine)
    return replace(
        views,
        fine=premultiplied(planes[:, :3], 1 - planes[:, 3]),
        fine_valid=_stack_valid(fine_known, planes.shape[-1]),
    )


def check_valid(valid: Valid | None, count: int) -> list[NDArray[np.bool_] | None]:
    """Return the valid mask of each of ``count`` images, None where it is known whole.

    Raises:
        InputError: There is another number of them.
    """
    if valid is None:
        return [None] * count
    if len(valid) != count:
        raise InputError(
            f"{len(valid)} valid masks were given for {count} images; there must be one per image, "
            "or None for an image that is known whole"
        )
    return [None if mask is None else np.asarray(mask) for mask in valid]


def _without_unknown(image: NDArray, mask: NDArray, index: int) -> NDArray:
    """Return the image with white where nothing is known: no colour there counts as the object.

    Raises:
        InputError: The mask is not bool, or of another size than the image.
    """
    if image.ndim != 3:
        return image  # refused with the images
    channels_first = image.dtype != np.uint8
    size = image.shape[1:] if channels_first else image.shape[:2]
    if mask.dtype != np.bool_ or mask.shape != size:
        raise InputError(
            f"the valid mask of image {index} is {mask.dtype} {list(mask.shape)}; it must be bool "
            f"{list(size)}, the size of the image, and False where nothing is known"
        )
    blank = np.ones((1,), image.dtype) if channels_first else np.full(1, 255, np.uint8)
    return np.where(mask if channels_first else mask[..., None], image, blank)


def _stack_valid(
    known: Sequence[NDArray[np.bool_] | None], size: int
) -> NDArray[np.float32] | None:
    """Stack what is known of each image [size, size]; None where all is."""
    if all(part is None for part in known):
        return None
    whole = np.ones((size, size), np.bool_)
    return np.stack([whole if part is None else part for part in known]).astype(np.float32)


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
