"""Planes of bytes as lossless WebP images, which keep them exactly."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError

LARGEST_SIDE = 16383  # that WebP can state
EFFORT = 20  # of 100, at METHOD of 6: more shrink scenes by less than 0.1 %
METHOD = 2
LOSSLESS, LOSSY, EXTENDED = b"VP8L", b"VP8 ", b"VP8X"
MOST_CHUNKS = 16  # of one image: its data, colour profile, metadata, alpha
ANIMATED = 2  # a flag of the extended layout


def encode(plane: NDArray[np.uint8]) -> bytes:
    """Write [H, W, 3] or [H, W, 4] bytes as an image; the same bytes give the same image."""
    from PIL import Image

    buffer = io.BytesIO()
    # exact: colours below an alpha of 0 are numbers here, too
    options = {"lossless": True, "quality": EFFORT, "method": METHOD, "exact": True}
    Image.fromarray(plane).save(buffer, format="WEBP", **options)
    return buffer.getvalue()


def size_of(content: bytes, name: str) -> tuple[int, int]:
    """Read width and height of an image, and refuse one that is no lossless WebP.

    Args:
        content: The image; it is not trusted, and nothing is allocated for it.
        name: What errors call it.
    """
    kind = content[12:16]
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP" or len(content) < 30:
        raise InputError(f"{name} is no WebP image; only those are read")
    if kind == LOSSLESS and content[20] == 0x2F:
        packed = int.from_bytes(content[21:25], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if kind == EXTENDED and not content[20] & ANIMATED and _is_lossless(content):
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
        if max(width, height) <= LARGEST_SIDE:
            return width, height
    raise InputError(f"{name} is a lossy, animated or damaged WebP image; lossless ones are read")


def _is_lossless(content: bytes) -> bool:
    """Tell whether no chunk is lossy; of more chunks than an image has, nothing is believed."""
    at = 12
    for _ in range(MOST_CHUNKS):
        if at + 8 > len(content):
            return True
        if content[at : at + 4] == LOSSY:
            return False
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return False


def decode(content: bytes, name: str) -> NDArray[np.uint8]:
    """Read an image whose :func:`size_of` is acceptable, as [H, W, 4] bytes."""
    from PIL import Image

    width, height = size_of(content, name)
    try:
        with Image.open(io.BytesIO(content), formats=("WEBP",)) as image:
            found = image.size
            plane = np.asarray(image.convert("RGBA")) if found == (width, height) else None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{name} cannot be decoded: {str(error)[:100]}") from error
    if plane is None:
        raise InputError(f"{name} states two sizes; it is damaged")
    return plane
