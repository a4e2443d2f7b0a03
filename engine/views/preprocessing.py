"""Images and cameras of a user to what the model knows: square, centred views on white."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.system.user_warnings import warn

Images = NDArray | Sequence[NDArray]
LARGEST_IMAGE_SIDE = 16384
WHITE_BACKGROUND = 0.985  # of all channels of a background pixel, where there is no alpha
WHITE_ENOUGH = 0.9  # median colour of the border of an opaque image
LARGEST_CANVAS = 1 << 28  # pixels of a padded image
LARGEST_PADDING = 4  # times the longer side of the image


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
        """[V, 4, R, R]: premultiplied RGBA that renders are compared with in a refinement."""
        return self.foreground if self.fine is None else self.fine

    @property
    def foreground(self) -> NDArray[np.float32]:
        """[V, 4, S, S]: RGB premultiplied by alpha, then alpha; what geometric cues read."""
        return premultiplied(self.images, self.alpha)

    def __len__(self) -> int:
        return len(self.images)


def premultiplied(on_white: NDArray[np.float32], alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """[V, 3, S, S] on white and [V, S, S] to [V, 4, S, S], premultiplied by alpha."""
    alpha = alpha[:, None]
    return np.concatenate([np.maximum(on_white - (1 - alpha), 0), alpha], axis=1)


def make_views(
    images: NDArray, c2w: NDArray, intrinsics: NDArray, alpha: NDArray | None = None
) -> Views:
    """Views from arrays that already are what the model expects; nothing is checked.

    Without ``alpha`` it is taken from the white background.
    """
    c2w, intrinsics = c2w.astype(np.float64), intrinsics.astype(np.float64)
    projection = intrinsics @ np.linalg.inv(c2w)[:, :3]
    if alpha is None:
        alpha = np.stack([alpha_from_white(image.transpose(1, 2, 0)) for image in images])
    arrays = (images, c2w, intrinsics, projection, alpha)
    return Views(*(np.ascontiguousarray(array, dtype=np.float32) for array in arrays))


def join_views(parts: Sequence[Views]) -> Views:
    """Views one after another."""
    names = ["images", "c2w", "intrinsics", "projection", "alpha"]
    names += ["fine"] if parts[0].fine is not None else []
    return Views(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


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
        reference_size: Side of the pictures for a refinement; None: there is none.
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
    """How many images were given.

    Raises:
        InputError: None, or one image where several are expected.
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


def composite_on_white(image: NDArray, index: int = 0) -> NDArray[np.float32]:
    """One image, uint8 [H, W, 3|4] or float [3|4, H, W], to float32 [H, W, 3] on white."""
    return split_alpha(image, index)[0]


def split_alpha(image: NDArray, index: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One image, uint8 [H, W, 3|4] or float [3|4, H, W], to float32 on white.

    Returns:
        [H, W, 3] colours and [H, W] alpha; without an alpha channel it is taken from the white.
    """
    image = np.asarray(image)
    pixels: NDArray[np.float32]
    if image.ndim != 3:
        raise InputError(
            f"image {index} has shape {image.shape}; it must be [H, W, 3|4] uint8 or [3|4, H, W] "
            "float"
        )
    if image.dtype == np.uint8:
        pixels = image.astype(np.float32) / np.float32(255)
    elif image.dtype.kind == "f":
        pixels = np.moveaxis(image, 0, -1).astype(np.float32)
        if not np.isfinite(pixels).all():
            raise InputError(f"image {index} holds NaN or infinity; every pixel must be finite")
        if pixels.size and (pixels.min() < -1e-3 or pixels.max() > 1 + 1e-3):
            raise InputError(
                f"image {index} ranges from {pixels.min():g} to {pixels.max():g}; float images "
                "must be in [0, 1] (divide by 255)"
            )
        pixels = pixels.clip(0, 1).astype(np.float32)
    else:
        raise InputError(
            f"image {index} has dtype {image.dtype}; it must be uint8 or a float in [0, 1]"
        )
    height, width, channels = pixels.shape
    if channels not in (3, 4):
        layout = "[H, W, 3|4]" if image.dtype == np.uint8 else "[3|4, H, W]"
        raise InputError(
            f"image {index} has shape {image.shape}; {image.dtype} images must be {layout}"
        )
    if height == 0 or width == 0 or max(height, width) > LARGEST_IMAGE_SIDE:
        raise InputError(
            f"image {index} is {width} x {height} pixels; sides must be 1 to {LARGEST_IMAGE_SIDE}"
        )
    if channels == 3:
        _check_background(pixels, index)
        return pixels, alpha_from_white(pixels)
    alpha = pixels[..., 3:]
    return (pixels[..., :3] * alpha + (1 - alpha)).astype(np.float32), alpha[..., 0]


def alpha_from_white(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Alpha of an object on white, [H, W, 3] to [H, W].

    White that is connected to the border is background; white inside the object is not.
    """
    white = np.pad(rgb.min(axis=-1) >= WHITE_BACKGROUND, 1, constant_values=True)
    outside = np.zeros_like(white)
    outside[0] = True
    count = 0
    while count != (count := np.count_nonzero(outside)):
        outside = _fill_runs(white, outside)
        outside = _fill_runs(white.T, outside.T).T
    return (~outside[1:-1, 1:-1]).astype(np.float32)


def _fill_runs(white: NDArray[np.bool_], seeds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whole horizontal runs of white pixels that hold a seed."""
    runs = np.cumsum(~white, axis=1) + np.arange(len(white))[:, None] * (white.shape[1] + 1)
    hit = np.zeros(runs.max() + 1, bool)
    hit[runs[seeds & white]] = True
    return white & hit[runs]


def _check_background(rgb: NDArray[np.float32], index: int) -> None:
    """Warn of an opaque image whose border is not white: the model knows no other background."""
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    if float(np.median(border)) < WHITE_ENOUGH:
        warn(
            f"image {index} has no alpha and its border is not white (median "
            f"{float(np.median(border)):.2f}); remove the background, or the result will be poor"
        )


def resample_to_square(
    rgb: NDArray[np.float32], intrinsics: NDArray[np.float64], size: int
) -> tuple[NDArray[np.float32], float]:
    """Resample one [H, W, C] image, whose background is 1, to [C, size, size].

    Returns:
        The square and its focal length divided by ``size``.
    """
    height, width = rgb.shape[:2]
    fx, fy = intrinsics[0, 0] * width, intrinsics[1, 1] * height
    cx, cy = intrinsics[0, 2] * width, intrinsics[1, 2] * height
    # Tangents of the view to each side of the principal point; the widest one sets the square.
    tangents = np.array([cx / fx, (width - cx) / fx, cy / fy, (height - cy) / fy])
    half = float(tangents.max())
    left, right = cx - half * fx, cx + half * fx
    top, bottom = cy - half * fy, cy + half * fy
    exact = np.allclose([left, top, right, bottom], [0, 0, width, height], atol=1e-3)
    if exact and height == width == size:
        return np.ascontiguousarray(rgb.transpose(2, 0, 1)), 0.5 / half
    pad_left, pad_top = max(0, int(np.ceil(-left - 1e-3))), max(0, int(np.ceil(-top - 1e-3)))
    pad_right = max(0, int(np.ceil(right - width - 1e-3)))
    pad_bottom = max(0, int(np.ceil(bottom - height - 1e-3)))
    canvas_width, canvas_height = width + pad_left + pad_right, height + pad_top + pad_bottom
    wide = max(canvas_width, canvas_height) > LARGEST_PADDING * max(width, height)
    if wide or canvas_width * canvas_height > LARGEST_CANVAS:
        raise InputError(
            f"an image of {width} x {height} pixels with principal point ({cx:g}, {cy:g}) and "
            f"focal lengths ({fx:g}, {fy:g}) would become a square of {canvas_width} x "
            f"{canvas_height} pixels, mostly padding; check its intrinsics, or crop it"
        )
    padding = ((pad_top, pad_bottom), (pad_left, pad_right))
    box = (
        max(left + pad_left, 0.0),
        max(top + pad_top, 0.0),
        min(right + pad_left, canvas_width),
        min(bottom + pad_top, canvas_height),
    )
    return _resize(rgb, padding, box, size), 0.5 / half


def _resize(
    rgb: NDArray[np.float32],
    padding: tuple[tuple[int, int], tuple[int, int]],
    box: tuple[float, float, float, float],
    size: int,
) -> NDArray[np.float32]:
    """White padding, then Pillow's antialiased bicubic (Keys, a = -0.5) per channel in float32."""
    from PIL import Image

    square = np.empty((rgb.shape[-1], size, size), np.float32)
    for channel in range(len(square)):
        plane = np.pad(rgb[..., channel], padding, constant_values=1)
        resized = Image.fromarray(plane).resize((size, size), Image.Resampling.BICUBIC, box=box)
        square[channel] = np.asarray(resized)
    return square.clip(0, 1)
