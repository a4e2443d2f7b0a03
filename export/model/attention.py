"""Self-attention of the geometry-aware transformer, in its two variants, and 3D RoPE."""

import contextlib
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geolrm.export.model.config import TransformerConfig


def rope_table(index: Tensor, head_dim: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines of 3D rotary position encoding (paper section 3.3).

    Args:
        index: [N, 3] voxel indices (x, y, z).
        head_dim: Channels of one head, a multiple of 6.
        base: Ratio between the slowest and the fastest wavelength.

    Returns:
        Two [N, 3, head_dim / 6] arrays; frequency i of an axis is ``base ** (-6 i / head_dim)``.
    """
    count = head_dim // 6
    frequency = base ** (-torch.arange(count, dtype=torch.float64) / count)
    angle = index.float()[:, :, None] * frequency.float().to(index.device)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply 3D RoPE to [N, h, e]: thirds for x, y, z; halves of a third form the pairs."""
    pairs = x.unflatten(2, (3, 2, -1))  # [N, h, axis, pair member, e / 6]
    u, v = pairs[:, :, :, 0], pairs[:, :, :, 1]
    cos, sin = cos[:, None], sin[:, None]
    rotated = torch.stack([u * cos - v * sin, v * cos + u * sin], dim=3)
    return rotated.flatten(2)


def fused_attention(q: Tensor, k: Tensor, v: Tensor, num_heads: int) -> Tensor:
    """Attend with torch's own operator, on the arguments of :func:`multi_head_attention`."""
    q, k, v = (t.unflatten(2, (num_heads, -1)).transpose(1, 2) for t in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


Attend = Callable[[Tensor, Tensor, Tensor, int], Tensor]
_attend: Attend = fused_attention


@contextlib.contextmanager
def use_attention(attend: Attend) -> Iterator[None]:
    """Let every model attend with ``attend`` inside the block, instead of with torch's own."""
    global _attend
    before, _attend = _attend, attend
    try:
        yield
    finally:
        _attend = before


def multi_head_attention(q: Tensor, k: Tensor, v: Tensor, num_heads: int) -> Tensor:
    """Attend by softmax: queries, keys and values [B, N, h e] to [B, N, h e].

    The channels are ``num_heads`` contiguous blocks, one a head.
    """
    if torch.compiler.is_exporting():  # the three-dimensional form, which every backend can lower
        return torch.onnx.ops.attention(q, k, v, q_num_heads=num_heads, kv_num_heads=num_heads)[0]
    return _attend(q, k, v, num_heads)


def attend_over_queries(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend over all N queries for each head, [N, h, e] to [N, h e]: the variant ``token``."""
    q_rows, k_rows, v_rows = (t.flatten(1)[None] for t in (q, k, v))
    return multi_head_attention(q_rows, k_rows, v_rows, q.shape[1])[0]


def attend_over_heads(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend over the h heads of each query, [N, h, e] to [N, h e]: the variant ``head``.

    The released fp32 program leaves heads in place and re-reads [h, N, e] memory as [N, h e], so
    queries meet only through a fixed shuffle that depends on their order and number.
    """
    scores = (q @ k.transpose(1, 2)) * q.shape[-1] ** -0.5  # [N, h, h]
    attended = scores.softmax(dim=-1) @ v
    return attended.transpose(0, 1).reshape(q.shape[0], -1)


class SelfAttention(nn.Module):
    """Bias-free multi-head self-attention over anchors."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.wq = nn.Linear(config.dim, config.dim, bias=False)
        self.wk = nn.Linear(config.dim, config.dim, bias=False)
        self.wv = nn.Linear(config.dim, config.dim, bias=False)
        self.wo = nn.Linear(config.dim, config.dim, bias=False)

    def forward(self, queries: Tensor, rope: tuple[Tensor, Tensor] | None) -> Tensor:
        """Attend: [N, d] queries and their :func:`rope_table` (None without RoPE) to [N, d]."""
        heads = (self.config.num_heads, self.config.head_dim)
        q, k, v = (layer(queries).unflatten(1, heads) for layer in (self.wq, self.wk, self.wv))
        if self.config.self_attention == "head":
            # Without RoPE: it would turn the q and k of one query alike, and cancel.
            return self.wo(attend_over_heads(q, k, v))
        if rope is not None:
            q, k = rotate(q, *rope), rotate(k, *rope)
        return self.wo(attend_over_queries(q, k, v))
