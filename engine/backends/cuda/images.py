"""Images on the device from bytes: uploaded as a quarter of their size, widened in one launch."""

from typing import Any

from geolrm.engine.cuda.launch import Call, Launch, Source, ceil_div, integers, pointer

THREADS = 256
PER_BLOCK = 4 * THREADS


def image_calls(pixels: Any, images: Any, *, values: int) -> list[Call]:
    """Return the one launch that divides bytes by 255, to the bit as NumPy does in float32.

    Args:
        pixels: uint8 [values] on the device.
        images: float32 [values], written.
        values: Of all images together.
    """
    launch = Launch((ceil_div(values, PER_BLOCK), 1, 1), (THREADS, 1, 1))
    arguments = (pointer(pixels), *integers(values), pointer(images))
    return [Call(Source("images_from_bytes"), "images_from_bytes", launch, arguments)]
