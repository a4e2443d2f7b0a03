"""pycolmap, imported only after Pillow has written a PNG: the other order hangs later ones."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray


def load_pycolmap(seed: int | None = None) -> Any:
    """Import pycolmap, after Pillow has written a PNG; with a seed, of what is random in COLMAP."""
    from PIL import Image

    blank: NDArray[np.uint8] = np.zeros((1, 1, 3), np.uint8)
    Image.fromarray(blank).save(io.BytesIO(), "PNG")
    import pycolmap  # pyright: ignore[reportMissingImports]

    if seed is not None:
        pycolmap.set_random_seed(seed)
    return pycolmap
