"""From sRGB values to linear light, in which glTF states the colours of vertices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def linear(colors: NDArray) -> NDArray[np.float64]:
    """Turn sRGB values in [0, 1] into linear light, of the same shape."""
    srgb = colors.astype(np.float64).clip(0, 1)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
