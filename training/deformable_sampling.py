"""Native deformable sampling as a differentiable torch function; the extension links no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from geolrm import _C
from geolrm.engine.rendering.cpu import check_threads


def deformable_sampling(
    value: torch.Tensor,  # [V, L, h, e], the levels one after another
    level_shapes: Sequence[tuple[int, int]],  # (H, W) of each level
    reference: torch.Tensor,  # [V, N, 2], (u, v) in [0, 1] inside the image
    offsets: torch.Tensor,  # [N, h, levels, P, 2], (x, y) in pixels of the level
    weights: torch.Tensor,  # [N, h, levels * P], after the softmax
    threads: int | None = None,
) -> torch.Tensor:
    """Sample each view bilinearly, weigh and sum: [V, N, h * e]; zero is read outside an image.

    Gradients reach value, offsets and weights; none reaches reference, which is geometry. Samples
    of a NaN or infinite location count as zero and have no gradient. It computes in float32.
    ``threads`` defaults to torch's own number; the result is the same, bit for bit, for any.
    """
    views, pixels, heads, head_dim = value.shape
    count = torch.get_num_threads() if threads is None else check_threads(threads)
    return _DeformableSampling.apply(
        np.array(level_shapes, np.int64).reshape(len(level_shapes), -1),
        heads,
        count,
        value.reshape(views, pixels, heads * head_dim),
        reference,
        offsets.flatten(1),
        weights.flatten(1),
    )


def sample_and_weigh(
    value: torch.Tensor,
    level_shapes: Sequence[tuple[int, int]],
    reference: torch.Tensor,
    offsets: torch.Tensor,
    logits: torch.Tensor,
) -> torch.Tensor:
    """Sample by :func:`deformable_sampling`, with logits for weights; for ``use_sampler``."""
    return deformable_sampling(value, level_shapes, reference, offsets, logits.softmax(dim=-1))


def _array(tensor: torch.Tensor) -> np.ndarray:
    if tensor.device.type != "cpu":
        raise ValueError(f"a tensor is on {tensor.device}; native sampling runs on the CPU: .cpu()")
    return np.ascontiguousarray(tensor.detach().float().numpy())


class _DeformableSampling(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, level_shapes: np.ndarray, heads: int, threads: int, *tensors: torch.Tensor
    ) -> torch.Tensor:
        value, reference, offsets, weights = (_array(tensor) for tensor in tensors)
        out = torch.empty(*reference.shape[:2], value.shape[2])  # torch's memory is aligned
        _C.deformable_sampling(
            value, level_shapes, reference, offsets, weights, heads, out.numpy(), threads
        )
        ctx.save_for_backward(*tensors)
        ctx.call = (level_shapes, heads, threads)
        return out.to(tensors[0].dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        level_shapes, heads, threads = ctx.call
        like = ctx.saved_tensors  # read once: recomputed activations can be had only once
        value, reference, offsets, weights = (_array(tensor) for tensor in like)
        to_value, to_offsets, to_weights = (torch.zeros(a.shape) for a in (value, offsets, weights))
        _C.deformable_sampling_backward(
            value,
            level_shapes,
            reference,
            offsets,
            weights,
            heads,
            _array(gradient),
            to_value.numpy(),
            to_offsets.numpy(),
            to_weights.numpy(),
            threads,
        )
        to_value, to_offsets, to_weights = (
            tensor.to(like[i].dtype)
            for tensor, i in zip((to_value, to_offsets, to_weights), (0, 2, 3), strict=True)
        )
        return None, None, None, to_value, None, to_offsets, to_weights
