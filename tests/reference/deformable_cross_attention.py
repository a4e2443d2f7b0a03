"""Deformable cross-attention, slowly: float64 loops over taps, and PyTorch's grid_sample."""

import numpy as np


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def sample_positions(level_shapes, reference_points, sampling_offsets, heads):
    """Pixel positions of every sample: [V, N, h, levels, P, 2] as (x, y), float64."""
    levels = len(level_shapes)
    queries = reference_points.shape[1]
    offsets = sampling_offsets.astype(np.float64).reshape(queries, heads, levels, -1, 2)
    size = np.asarray(level_shapes, np.float64)[:, ::-1]  # (W, H)
    references = reference_points.astype(np.float64)[:, :, None, None, None]
    return references * size[None, None, None, :, None] + offsets - 0.5


def taps(x: float, y: float, height: int, width: int):
    """The taps of a bilinear sample that lie inside: (row, column, weight)."""
    if not (-1 < x < width and -1 < y < height):  # also refuses inf and nan
        return
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    for row in (y0, y0 + 1):
        for column in (x0, x0 + 1):
            if 0 <= row < height and 0 <= column < width:
                yield row, column, (1 - abs(x - column)) * (1 - abs(y - row))


def deformable_cross_attention(
    values,
    level_shapes,
    reference_points,
    sampling_offsets,
    attention_logits,
    view_weight,
    view_bias,
) -> np.ndarray:
    """The truth in float64: out [N, h*e]."""
    views, heads, _, head_dim = values.shape
    queries = reference_points.shape[1]
    values = values.astype(np.float64)
    with np.errstate(invalid="ignore"):
        position = sample_positions(level_shapes, reference_points, sampling_offsets, heads)
    points = position.shape[4]
    attention = softmax(attention_logits.astype(np.float64).reshape(queries, heads, -1))
    attention = attention.reshape(queries, heads, len(level_shapes), points)
    o = np.zeros((views, queries, heads, head_dim))
    for v, n, m in np.ndindex(views, queries, heads):
        start = 0
        for level, (rows, columns) in enumerate(level_shapes):
            for p in range(points):
                for row, column, weight in taps(*position[v, n, m, level, p], rows, columns):
                    value = values[v, m, start + row * columns + column]
                    o[v, n, m] += attention[n, m, level, p] * weight * value
            start += rows * columns
    o = o.reshape(views, queries, heads * head_dim)
    fusion = softmax(o @ view_weight.astype(np.float64) + view_bias, axis=0)
    return (fusion[..., None] * o).sum(0)


def touched_pixels(level_shapes, reference_points, sampling_offsets, heads) -> tuple:
    """Maps [V, L] of the pixels read with a weight, and of the 2x2 neighbourhoods of those."""
    with np.errstate(invalid="ignore"):
        position = sample_positions(level_shapes, reference_points, sampling_offsets, heads)
    total = sum(int(h) * int(w) for h, w in level_shapes)
    needed = np.zeros((len(reference_points), total), bool)
    near = np.zeros_like(needed)
    for v in range(len(reference_points)):
        start = 0
        for level, (rows, columns) in enumerate(level_shapes):
            rows, columns = int(rows), int(columns)
            for x, y in position[v, :, :, level].reshape(-1, 2):
                for row, column, weight in taps(x, y, rows, columns):
                    needed[v, start + row * columns + column] |= weight > 1e-4
                    for r in range(max(row - 1, 0), min(row + 2, rows)):
                        near[v, start + r * columns + max(column - 1, 0)] = True
                        near[v, start + r * columns + column] = True
                        near[v, start + r * columns + min(column + 1, columns - 1)] = True
            start += rows * columns
    return needed, near


def with_grid_sample(
    values,
    level_shapes,
    reference_points,
    sampling_offsets,
    attention_logits,
    view_weight,
    view_bias,
):
    """The formulation of the released model on torch tensors: one grid_sample a view and level."""
    import torch
    import torch.nn.functional as F

    views, heads, _, head_dim = values.shape
    queries = reference_points.shape[1]
    levels = len(level_shapes)
    offsets = sampling_offsets.view(queries, heads, levels, -1, 2)
    attention = attention_logits.view(queries, heads, -1).softmax(-1).permute(1, 0, 2)
    outs = []
    for v in range(views):
        samples, start = [], 0
        for level, (rows, columns) in enumerate(level_shapes):
            size = torch.tensor([columns, rows], dtype=offsets.dtype)
            location = reference_points[v][:, None, None] + offsets[:, :, level] / size
            plane = values[v, :, start : start + rows * columns]
            plane = plane.transpose(1, 2).reshape(heads, head_dim, rows, columns)
            grid = (2 * location - 1).transpose(0, 1)
            samples.append(F.grid_sample(plane, grid, align_corners=False))
            start += rows * columns
        sampled = torch.cat(samples, -1)  # [h, e, N, levels*P]
        o = (sampled * attention[:, None]).sum(-1)
        outs.append(o.permute(2, 0, 1).reshape(queries, heads * head_dim))
    stack = torch.stack(outs)
    fusion = (stack @ view_weight + view_bias).softmax(0)
    return (fusion[..., None] * stack).sum(0)
