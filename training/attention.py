"""Softmax attention with a backward pass in bf16, head by head: fast on CPUs without AMX or MKL.

torch's own fused attention falls back to single-precision products there, which are several times
slower than oneDNN's bf16 ones; and one head's scores still fit into the cache.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS = 512  # queries at a time: their scores stay in the cache


def multi_head_attention(q: Tensor, k: Tensor, v: Tensor, num_heads: int) -> Tensor:
    """Attend in bf16: [B, N, h e], heads in contiguous channel blocks; for ``use_attention``."""
    batch = q.shape[0]
    heads = (t.unflatten(2, (num_heads, -1)).transpose(1, 2).flatten(0, 1) for t in (q, k, v))
    out = _Attention.apply(*heads)
    return out.unflatten(0, (batch, num_heads)).transpose(1, 2).flatten(2)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:  # [h, N, e] each
        scale = q.shape[-1] ** -0.5
        dtype, (q, k, v) = q.dtype, ((q * scale).bfloat16(), k.bfloat16(), v.bfloat16())
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        out = torch.empty(q.shape)
        weights = torch.empty(*q.shape[:2], q.shape[1], dtype=torch.bfloat16)
        totals = torch.empty(*q.shape[:2], 1)
        for head, rows in blocks(*q.shape[:2]):
            score = torch.mm(q[head, rows], k[head].T, out=weights[head, rows])
            score.sub_(score.amax(dim=-1, keepdim=True)).exp_()
            total = torch.sum(score, -1, keepdim=True, dtype=torch.float32, out=totals[head, rows])
            torch.div(score @ v[head], total, out=out[head, rows])
        ctx.save_for_backward(q, k, v, out, weights, totals)
        ctx.scale, ctx.dtype = scale, dtype
        return out.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        q, k, v, out, weights, totals = ctx.saved_tensors
        to_q, to_k, to_v = (torch.zeros(q.shape) for _ in range(3))
        gradient = gradient.float()
        for head, rows in blocks(*q.shape[:2]):
            # The softmax's division by the total is folded into the incoming gradient.
            share = gradient[head, rows] / totals[head, rows]
            mean = (share * out[head, rows]).sum(dim=-1, keepdim=True).bfloat16()
            share, weight = share.bfloat16(), weights[head, rows]
            to_v[head] += weight.T @ share
            score = share @ v[head].T
            score.sub_(mean).mul_(weight)
            to_q[head, rows] = score @ k[head]
            to_k[head] += score.T @ q[head, rows]
        to_q.mul_(ctx.scale)
        return to_q.to(ctx.dtype), to_k.to(ctx.dtype), to_v.to(ctx.dtype)


def blocks(heads: int, queries: int) -> list[tuple[int, slice]]:
    """List the blocks, a head and rows of queries, that are computed one after another."""
    starts = range(0, queries, ROWS)
    return [(head, slice(row, min(row + ROWS, queries))) for head in range(heads) for row in starts]
