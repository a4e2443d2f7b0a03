"""What the operators of a plan take: shapes and types, checked before anything runs.

Kernels on the CPU check their arrays themselves; those on GPUs read what they are told to.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from geolrm.engine.bundle.plan import (
    AnyStep,
    DeformableCrossAttentionStep,
    Dim,
    GridSampleStep,
    QueryOrderStep,
    SegmentStep,
    SelfAttentionStep,
    Tensor,
    ValueProjectionStep,
    split_dim,
)

FLOATS = ("float32", "float16", "bfloat16")
# By backend; every GPU runs the same.
ON_CPU = ("segment", "self_attention", "value_projection", "deformable_cross_attention")
ON_GPU = ("segment", "self_attention", "query_order", "deformable_cross_attention", "grid_sample")


@dataclass(frozen=True, slots=True)
class Setting:
    """What the contracts of a stage's steps depend on."""

    gpu: bool
    levels: int  # of features
    pixels: int  # of all levels


def extent(dims: Iterable[Dim]) -> tuple[int, tuple[str, ...]]:
    """Return the product of dimensions: a number, and the symbols in order, repeated ones too."""
    number, symbols = 1, []
    for dim in dims:
        if isinstance(dim, int):
            number *= dim
        else:
            factor, symbol = split_dim(dim)
            number *= factor
            symbols.append(symbol)
    return number, tuple(sorted(symbols))


def same_shape(first: Sequence[Dim], second: Sequence[Dim]) -> bool:
    """Return whether two shapes are equal axis by axis, however they are written."""
    if first == second:
        return True
    return [extent([dim]) for dim in first] == [extent([dim]) for dim in second]


def check_step(step: AnyStep, tensors: Mapping[str, Tensor], setting: Setting) -> None:
    """Compare what a step reads and writes with its operator's contract.

    Args:
        step: Of a plan whose names are known to be those of tensors.
        tensors: Of the stage, by name.
        setting: Of the artifact and the model.

    Raises:
        ValueError: With half a sentence that says what is wrong.
    """
    if step.operator not in (ON_GPU if setting.gpu else ON_CPU):
        raise ValueError(f"{'a GPU' if setting.gpu else 'the CPU'} has no operator of that name")
    reads = [tensors[name] for name in step.reads]
    writes = [tensors[name] for name in step.writes]
    CONTRACTS[type(step)](step, reads, writes, setting)


def _take(tensors: Sequence[Tensor], counts: Sequence[int], what: str) -> None:
    if len(tensors) not in counts:
        raise ValueError(f"it {what} {len(tensors)} tensors, not {' or '.join(map(str, counts))}")


def _shaped(tensor: Tensor, shape: Sequence[Dim], dtypes: Sequence[str]) -> None:
    """Compare a tensor with a shape and with the types that it may have."""
    if not same_shape(tensor.shape, shape):
        raise ValueError(f"{tensor.name!r} has shape {tensor.shape}, not {list(shape)}")
    if tensor.dtype not in dtypes:
        raise ValueError(f"{tensor.name!r} is {tensor.dtype}, not {' or '.join(dtypes)}")


def _number(dim: Dim, what: str, divisor: int = 1) -> int:
    if not isinstance(dim, int) or dim % divisor:
        raise ValueError(f"{what} is {dim}, which is no multiple of {divisor}")
    return dim


def _axes(tensor: Tensor, count: int) -> list[Dim]:
    if len(tensor.shape) != count:
        raise ValueError(f"{tensor.name!r} has {len(tensor.shape)} axes, not {count}")
    return tensor.shape


def _segment(
    step: SegmentStep, reads: Sequence[Tensor], writes: Sequence[Tensor], setting: Setting
) -> None:
    if not writes:
        raise ValueError("it writes nothing")


def _self_attention(
    step: SelfAttentionStep, reads: Sequence[Tensor], writes: Sequence[Tensor], setting: Setting
) -> None:
    _take(reads, [3], "reads")
    _take(writes, [1], "writes")
    _, queries, channels = _axes(writes[0], 3)
    _number(channels, "the width", step.num_heads)
    dtypes = FLOATS if setting.gpu else FLOATS[:1]
    for tensor in (*reads, *writes):
        _shaped(tensor, [1, queries, channels], [writes[0].dtype] if setting.gpu else dtypes)
    _shaped(writes[0], writes[0].shape, dtypes)


def _value_projection(
    step: ValueProjectionStep, reads: Sequence[Tensor], writes: Sequence[Tensor], setting: Setting
) -> None:
    _take(reads, [3], "reads")
    _take(writes, [2], "writes")
    _take_weights(step, [1, 2])
    features, points, offsets = reads
    values, touched = writes
    queries = _axes(points, 3)[1]
    channels = _number(_axes(features, 3)[2], "the width of the features")
    head_dim = _number(_axes(values, 4)[3], "the width of a head")
    _shaped(features, ["views", setting.pixels, channels], FLOATS[:1])
    _shaped(points, ["views", queries, 2], FLOATS[:1])
    samples = step.num_heads * setting.levels * step.num_points
    _shaped(offsets, [queries, 2 * samples], FLOATS[:1])
    _shaped(values, ["views", step.num_heads, setting.pixels, head_dim], FLOATS[:2])
    _shaped(touched, ["views", setting.pixels], ["uint8"])


def _deformable_cross_attention(
    step: DeformableCrossAttentionStep,
    reads: Sequence[Tensor],
    writes: Sequence[Tensor],
    setting: Setting,
) -> None:
    _take(reads, [4, 5] if setting.gpu else [4], "reads")
    _take(writes, [1], "writes")
    _take_weights(step, [2, 3] if setting.gpu else [2])
    values, points, offsets, logits, *order = reads
    queries, channels = _axes(writes[0], 2)
    width = _number(channels, "the width", step.num_heads)
    samples = step.num_heads * setting.levels * step.num_points
    if setting.gpu:
        _shaped(values, ["views", setting.pixels, width], FLOATS)
    else:
        heads = [step.num_heads, setting.pixels, width // step.num_heads]
        _shaped(values, ["views", *heads], FLOATS[:2])
    _shaped(points, ["views", queries, 2], FLOATS[:1])
    _shaped(offsets, [queries, 2 * samples], FLOATS[:1])
    _shaped(logits, [queries, samples], FLOATS[:1])
    _shaped(writes[0], [queries, width], FLOATS if setting.gpu else FLOATS[:1])
    for each in order:
        _shaped(each, [queries], ["int32"])


def _query_order(
    step: QueryOrderStep, reads: Sequence[Tensor], writes: Sequence[Tensor], setting: Setting
) -> None:
    _take(reads, [1], "reads")
    _take(writes, [1], "writes")
    _shaped(reads[0], ["anchors", 3], FLOATS[:1])
    _shaped(writes[0], ["anchors"], ["int32"])


def _grid_sample(
    step: GridSampleStep, reads: Sequence[Tensor], writes: Sequence[Tensor], setting: Setting
) -> None:
    _take(reads, [2], "reads")
    _take(writes, [1], "writes")
    (data, grid), (out,) = reads, writes
    axes = len(data.shape)
    if axes not in (4, 5):
        raise ValueError(f"{data.name!r} has {axes} axes, not 4 or 5")
    batch, *points, _ = _axes(grid, axes)
    _shaped(data, [1 if data.shape[0] == 1 else batch, *data.shape[1:]], FLOATS)
    _shaped(grid, [batch, *points, axes - 2], FLOATS)
    _shaped(out, [batch, data.shape[1], *points], [data.dtype])


def _take_weights(step: AnyStep, counts: Sequence[int]) -> None:
    if len(step.weights) not in counts:
        raise ValueError(f"it has {len(step.weights)} weights, not {' or '.join(map(str, counts))}")


CONTRACTS: Mapping[type, Callable[..., None]] = {
    SegmentStep: _segment,
    SelfAttentionStep: _self_attention,
    ValueProjectionStep: _value_projection,
    DeformableCrossAttentionStep: _deformable_cross_attention,
    QueryOrderStep: _query_order,
    GridSampleStep: _grid_sample,
}


def weight_sizes(step: AnyStep, tensors: Mapping[str, Tensor]) -> list[int]:
    """Return the number of values in each weight of a step that satisfies its contract."""
    if isinstance(step, ValueProjectionStep):
        heads, _, width = tensors[step.writes[0]].shape[1:]
        rows = math.prod(map(int, (heads, width)))
        return [rows * int(tensors[step.reads[0]].shape[2]), rows][: len(step.weights)]
    if isinstance(step, DeformableCrossAttentionStep):
        width = int(tensors[step.writes[0]].shape[1])
        return [width, 1, width][: len(step.weights)]
    return []
