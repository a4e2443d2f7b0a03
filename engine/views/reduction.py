"""Images larger than any model reads, made smaller before memory is taken for them."""

import numpy as np
from numpy.typing import NDArray

LONGEST_SIDE = 2048  # px, as of the images of a capture


def reduced(
    image: NDArray, mask: NDArray[np.bool_] | None = None, longest: int = LONGEST_SIDE
) -> tuple[NDArray, NDArray[np.bool_] | None]:
    """Reduce an image whose longest side is larger, and its mask; return others as they are.

    Args:
        image: uint8 [H, W, 3|4], or float [3|4, H, W].
        mask: [H, W], or None.
        longest: Longest side of the result in pixels.
    """
    height, width = image.shape[:2] if image.dtype == np.uint8 else image.shape[1:]
    if max(height, width) <= longest:
        return image, mask
    scale = longest / max(height, width)
    size = max(round(scale * width), 1), max(round(scale * height), 1)
    if mask is not None:
        mask = _resized(mask.astype(np.uint8) * np.uint8(255), size) >= 128
    if image.dtype == np.uint8:
        return _resized(np.ascontiguousarray(image), size), mask
    planes = [_resized(np.ascontiguousarray(plane, np.float32), size) for plane in image]
    return np.stack(planes).clip(0, 1), mask


def _resized(pixels: NDArray, size: tuple[int, int]) -> NDArray:
    """Resize [H, W] or [H, W, C] as files of captures are."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize(size, reducing_gap=2.0))
