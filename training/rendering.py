"""Choose the rasterizer of the targets, and render them."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch

from geolrm.export.model.reconstruction import DecodedGaussians
from geolrm.training import gsplat_backend
from geolrm.training.episodes import Episode
from geolrm.training.rasterize import Rasterized, rasterize

RasterizerName = Literal["auto", "cpu", "gsplat"]
Rasterizer = Callable[..., Rasterized]


def choose_rasterizer(name: RasterizerName, device: torch.device, threads: int) -> Rasterizer:
    """Choose a rasterizer; ``auto`` takes gsplat on CUDA and ours elsewhere.

    Ours also serves CUDA tensors, by way of the CPU.

    Raises:
        GeoLRMError: gsplat is wanted and not installed.
    """
    if name == "gsplat" or (name == "auto" and device.type == "cuda"):
        gsplat_backend.import_gsplat()
        return gsplat_backend.rasterize
    return partial(_on_cpu, device=device, threads=threads)


def _on_cpu(*splats: torch.Tensor, device: torch.device, **options: Any) -> Rasterized:
    moved = {k: v.cpu() if isinstance(v, torch.Tensor) else v for k, v in options.items()}
    renders = rasterize(*(tensor.cpu() for tensor in splats), **moved)
    return Rasterized(*(image.to(device) for image in renders))


def render_targets(
    gaussians: DecodedGaussians, episode: Episode, background: list[float], rasterizer: Rasterizer
) -> Rasterized:
    """Render the targets of an example; gradients reach the Gaussians."""
    size = episode.target_rgba.shape[1]
    has_sh = gaussians.colors.ndim == 3
    return rasterizer(
        gaussians.means,
        gaussians.opacities,
        gaussians.scales,
        gaussians.quats,
        **{"sh" if has_sh else "colors": gaussians.colors},
        w2c=episode.target_w2c,
        intrinsics=episode.target_intrinsics,
        size=(size, size),
        background=background,
    )
