"""Images as bytes, where that loses nothing: what travels to a GPU."""

import numpy as np
from numpy.typing import NDArray

VALUES = np.arange(256, dtype=np.float32) / np.float32(255)  # of the bytes


def exact_bytes(images: NDArray[np.float32]) -> NDArray[np.uint8] | None:
    """Return bytes of the shape of ``images`` that over 255 are the images, bit for bit.

    None where one value is no such quotient, as after resampling or soft alpha.
    """
    made = np.empty(images.shape, np.uint8)
    for image, pixels in zip(images, made, strict=True):  # the first that fails ends it
        in_bytes = np.clip(image * np.float32(255), 0, 255)  # of NaN, a NaN: it equals nothing
        with np.errstate(invalid="ignore"):
            pixels[...] = np.rint(in_bytes)
        if not np.array_equal(VALUES[pixels], image):
            return None
    return made
