"""The CPU rasterizer as a differentiable torch function; the extension itself links no torch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from geolrm import _C
from geolrm.engine.rendering.cpu import backward, check_threads, render_frame
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.options import RenderOptions


class Rasterized(NamedTuple):
    """Images of V cameras; depth is the sum of alpha T z, not normalised by alpha."""

    rgb: torch.Tensor  # [V, H, W, 3] float32
    alpha: torch.Tensor  # [V, H, W] float32
    depth: torch.Tensor  # [V, H, W] float32


def rasterize(
    means: torch.Tensor,  # [N, 3]
    opacities: torch.Tensor,  # [N], in [0, 1]
    scales: torch.Tensor,  # [N, 3], standard deviations
    quats: torch.Tensor,  # [N, 4] wxyz, of any positive length
    colors: torch.Tensor | None = None,  # [N, 3]
    *,
    w2c: torch.Tensor,  # [V, 4, 4], OpenCV axes
    intrinsics: torch.Tensor,  # [V, 3, 3], pixels
    size: tuple[int, int],  # width, height in px
    sh: torch.Tensor | None = None,  # [N, K, 3] instead of colors
    threads: int | None = None,
    **options: Any,
) -> Rasterized:
    """Render with gradients to the splats from rgb, alpha and depth; none to the cameras.

    ``options`` are those of ``RenderOptions``: background, near, eps2d, alpha_max, antialiased.
    Gradients are deterministic: the same bits for any number of threads.
    """
    if (colors is None) == (sh is None):
        raise ValueError("either colors or sh must be given, and not both")
    cameras = _array(w2c, np.float64), _array(intrinsics, np.float64)
    frame = Frame(*cameras, size, RenderOptions(**options).parameters)
    call = _Call(frame, check_threads(threads), 0 if sh is None else sh.shape[1])
    color = colors if sh is None else sh
    return Rasterized(*_Rasterize.apply(call, means, opacities, scales, quats, color))


class _Call(NamedTuple):
    frame: Frame
    threads: int
    coefficients: int  # of harmonics; 0 for plain colours


def _array(tensor: torch.Tensor, dtype: type = np.float32) -> np.ndarray:
    if tensor.device.type != "cpu":
        raise ValueError(f"a tensor is on {tensor.device}; the rasterizer runs on the CPU: .cpu()")
    return np.ascontiguousarray(tensor.detach().numpy(), dtype)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _Call, *splats: torch.Tensor) -> tuple[torch.Tensor, ...]:
        # A copy: the arrays are read again in backward, after an optimizer may have changed them.
        arrays = [_array(tensor).copy() for tensor in splats]
        geometry, color = arrays[:4], arrays[4]
        model = _C.SplatModel(
            *geometry, **{"sh" if call.coefficients else "colors": color}, threads=call.threads
        )
        images = render_frame(model, call.frame, threads=call.threads)
        ctx.call, ctx.model = call, model
        ctx.dtypes = [tensor.dtype for tensor in splats]
        return tuple(torch.from_numpy(a) for a in (images.rgb, images.alpha, images.depth))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        call: _Call = ctx.call
        to_images = Renders(*(_array(gradient) for gradient in gradients))
        to = backward(
            ctx.model, call.frame, to_images, coefficients=call.coefficients, threads=call.threads
        )
        arrays = (to.means, to.opacities, to.scales, to.quats, to.color)
        tensors = (torch.from_numpy(a).to(d) for a, d in zip(arrays, ctx.dtypes, strict=True))
        return (None, *tensors)
