"""Native kernels of geolrm."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def best_isa() -> str: ...

# --- rasterizer (csrc/rasterizer) ---

class RasterParameters:
    """Every number of the splatting mathematics."""

    def __init__(
        self,
        *,
        background: Sequence[float] = ...,
        near: float = 0.01,
        eps2d: float = 0.3,
        alpha_max: float = 0.99,
        antialiased: bool = False,
        alpha_min: float = ...,
        transmittance_min: float = 1e-4,
        clip_margin: float = 0.3,
    ) -> None: ...

class SplatModel:
    """Checked and packed splats, reused over frames. Float32, contiguous."""

    def __init__(
        self,
        means: NDArray[np.float32],
        opacities: NDArray[np.float32],
        scales: NDArray[np.float32],
        quats: NDArray[np.float32],
        colors: NDArray[np.float32] | None = None,
        sh: NDArray[np.float32] | None = None,
        *,
        threads: int = 0,
    ) -> None: ...
    def __len__(self) -> int: ...
    def render(
        self,
        w2c: NDArray[np.float64],
        intrinsics: NDArray[np.float64],
        width: int,
        height: int,
        parameters: RasterParameters,
        rgb: NDArray[np.float32],
        alpha: NDArray[np.float32],
        depth: NDArray[np.float32],
        *,
        threads: int = 0,
        isa: str = "",
        tile_size: int = 64,
        pair_budget: int = 8388608,
        cull: bool = True,
        timed: bool = False,
    ) -> dict[str, float | int]: ...
    def backward(
        self,
        w2c: NDArray[np.float64],
        intrinsics: NDArray[np.float64],
        width: int,
        height: int,
        parameters: RasterParameters,
        g_rgb: NDArray[np.float32],
        g_alpha: NDArray[np.float32],
        g_depth: NDArray[np.float32],
        means: NDArray[np.float32],
        opacities: NDArray[np.float32],
        scales: NDArray[np.float32],
        quats: NDArray[np.float32],
        color: NDArray[np.float32],
        *,
        threads: int = 0,
        isa: str = "",
        tile_size: int = 64,
        pair_budget: int = 2097152,
    ) -> dict[str, float | int]: ...

# --- end of rasterizer ---
