"""Rasterization on CUDA by gsplat, with the arguments and results of our own rasterizer."""

import importlib
from types import ModuleType

import torch

from geolrm.engine.errors import GeoLRMError
from geolrm.training.rasterize import Rasterized

NEAR, EPS2D = 0.01, 0.3  # as on the CPU


def import_gsplat() -> ModuleType:
    """Import the package.

    Raises:
        GeoLRMError: It cannot be imported; one sentence says what to do.
    """
    try:
        return importlib.import_module("gsplat")
    except ImportError as error:
        raise GeoLRMError(
            f"training on CUDA rasterizes with gsplat, which cannot be imported ({error}); run: "
            "pip install gsplat, or choose --rasterizer cpu, which is slower"
        ) from error


def rasterize(
    means: torch.Tensor,  # [N, 3]
    opacities: torch.Tensor,  # [N], in [0, 1]
    scales: torch.Tensor,  # [N, 3], standard deviations
    quats: torch.Tensor,  # [N, 4] wxyz
    colors: torch.Tensor | None = None,  # [N, 3]
    *,
    w2c: torch.Tensor,  # [V, 4, 4], OpenCV axes
    intrinsics: torch.Tensor,  # [V, 3, 3], pixels
    size: tuple[int, int],  # width, height in px
    sh: torch.Tensor | None = None,  # [N, K, 3] instead of colors
    background: list[float],  # RGB
) -> Rasterized:
    """Render V cameras; depth is the sum of alpha T z, which is gsplat's accumulated ``D``."""
    width, height = size
    images, alphas, _ = import_gsplat().rasterization(
        means=means,
        quats=quats,
        scales=scales,
        opacities=opacities,
        colors=colors if sh is None else sh,
        viewmats=w2c.float(),
        Ks=intrinsics.float(),
        width=width,
        height=height,
        near_plane=NEAR,
        eps2d=EPS2D,
        sh_degree=None if sh is None else round(sh.shape[1] ** 0.5) - 1,
        packed=False,
        backgrounds=means.new_tensor(background).expand(len(w2c), 3).contiguous(),
        render_mode="RGB+D",
    )
    return Rasterized(images[..., :3], alphas[..., 0], images[..., 3])
