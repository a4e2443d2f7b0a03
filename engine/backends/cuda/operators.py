"""The operators of a plan on a GPU: loaded segments, and our CUDA kernels between them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from geolrm.engine.backends.cuda import kernels, self_attention
from geolrm.engine.backends.cuda.segments import Binding, Scratch
from geolrm.engine.backends.cuda.segments import Segment as LoadedSegment
from geolrm.engine.backends.cuda.spatial_order import grid_order, order_calls, workspace_bytes
from geolrm.engine.bundle.plan import (
    DeformableCrossAttentionStep,
    Dims,
    GridSampleStep,
    QueryOrderStep,
    SegmentStep,
    SelfAttentionStep,
    Stage,
    Tensor,
)
from geolrm.engine.cuda.array import DeviceArray
from geolrm.engine.cuda.device import Device
from geolrm.engine.cuda.launch import Call

Arrays = Sequence[DeviceArray]


@dataclass(frozen=True, slots=True)
class Context:
    """What the operators of a stage are made with."""

    tensors: Mapping[str, Tensor]  # of the stage
    device: Device
    load: Callable[[SegmentStep], LoadedSegment]
    weights: Mapping[str, DeviceArray]  # float32
    level_shapes: DeviceArray  # int64 [levels, 2] (H, W)
    scratch: Scratch  # for what segments need inside


class Operator(Protocol):
    """A step, ready to be bound to tensors."""

    capturable: bool  # whether its bindings ever may go into a CUDA graph

    @staticmethod
    def workspace(dims: Dims) -> int:
        """Return the bytes of the arena that it needs while it runs."""
        ...

    def bind(self, reads: Arrays, writes: Arrays, workspace: int, *, lasting: bool) -> Binding:
        """Fix the step's tensors, in its order, and the address of its workspace.

        A binding that is not ``lasting`` may be used only until the next one is made.
        """
        ...


class Segment:
    """Run a graph or a TensorRT engine."""

    def __init__(self, step: SegmentStep, context: Context):
        self._reads, self._writes, self._scratch = step.reads, step.writes, context.scratch
        self._segment = context.load(step)
        self.capturable = self._segment.capturable

    @staticmethod
    def workspace(dims: Dims) -> int:
        """Return 0: segments have scratch memory of their own kind."""
        return 0

    def bind(self, reads: Arrays, writes: Arrays, workspace: int, *, lasting: bool) -> Binding:
        """Bind the segment by its tensors' names."""
        inputs = dict(zip(self._reads, reads, strict=True))
        outputs = dict(zip(self._writes, writes, strict=True))
        return self._segment.bind(inputs, outputs, self._scratch, lasting=lasting)


class _Kernel:
    """Launches of ours, which may always be captured."""

    capturable = True

    def __init__(self, device: Device):
        self._device = device

    @staticmethod
    def workspace(dims: Dims) -> int:
        return 0

    def _launches(self, calls: list[Call]) -> Binding:
        return Binding(lambda: self._device.launch(calls), lambda: True)


class QueryOrder(_Kernel):
    """Sort anchors along a curve through space."""

    def __init__(self, step: QueryOrderStep, context: Context):
        super().__init__(context.device)

    @staticmethod
    def workspace(dims: Dims) -> int:
        """Return what the sort needs."""
        return workspace_bytes(dims["anchors"])

    def bind(self, reads: Arrays, writes: Arrays, workspace: int, *, lasting: bool) -> Binding:
        """Bind the launches of the sort."""
        (anchors,), (order,) = reads, writes
        return self._launches(
            order_calls(anchors.address, order.address, workspace, queries=len(anchors))
        )


class DeformableCrossAttention(_Kernel):
    """Sample values and fuse samples and views.

    The voxels of a fixed grid have an order that is known beforehand.
    """

    def __init__(self, step: DeformableCrossAttentionStep, context: Context):
        super().__init__(context.device)
        self._step, self._level_shapes = step, context.level_shapes
        self._weights = [context.weights[name] for name in step.weights]
        queries = context.tensors[step.writes[0]].shape[0]
        order = grid_order(queries) if isinstance(queries, int) else None
        self._grid_order = None if order is None else context.device.upload(order)

    def bind(self, reads: Arrays, writes: Arrays, workspace: int, *, lasting: bool) -> Binding:
        """Bind the launch, its queries in the order that is read or in that of a grid."""
        (out,) = writes
        inputs, order = reads[:4], (reads[4] if len(reads) > 4 else self._grid_order)
        calls = attention_calls(self._step, inputs, out, self._weights, self._level_shapes, order)
        return self._launches(calls)


class SelfAttention(_Kernel):
    """Attend by softmax over all queries."""

    def __init__(self, step: SelfAttentionStep, context: Context):
        super().__init__(context.device)
        channels = context.tensors[step.writes[0]].shape[-1]
        self._kernel = self_attention.SelfAttention(step.num_heads, int(channels) // step.num_heads)

    def bind(self, reads: Arrays, writes: Arrays, workspace: int, *, lasting: bool) -> Binding:
        """Bind the launch."""
        (query, key, value), (out,) = reads, writes
        return self._launches(self._kernel.calls(query, key, value, out, queries=out.shape[1]))


class GridSample(_Kernel):
    """Sample planes or volumes."""

    def __init__(self, step: GridSampleStep, context: Context):
        super().__init__(context.device)
        self._step = step

    def bind(self, reads: Arrays, writes: Arrays, workspace: int, *, lasting: bool) -> Binding:
        """Bind the launches."""
        return self._launches(grid_sample_calls(self._step, *reads, *writes))


OPERATORS: Mapping[str, Callable[..., Operator]] = {
    "segment": Segment,
    "query_order": QueryOrder,
    "deformable_cross_attention": DeformableCrossAttention,
    "self_attention": SelfAttention,
    "grid_sample": GridSample,
}


def workspaces(stage: Stage, dims: Dims) -> list[int]:
    """Return what the operator of each step needs of the arena while it runs, in bytes."""
    return [OPERATORS[step.operator].workspace(dims) for step in stage.steps]


def attention_calls(
    step: DeformableCrossAttentionStep,
    inputs: Arrays,
    out: DeviceArray,
    weights: Arrays,
    level_shapes: DeviceArray,
    order: DeviceArray | None = None,
) -> list[Call]:
    """Return the launches of a cross-attention step, its queries in an order int32 [N].

    Args:
        step: For its numbers of heads and points.
        inputs: Values, reference points, sampling offsets and attention logits.
        out: [N, d], written.
        weights: Of the views' logits, and the values' bias where they come without it.
        level_shapes: int64 [levels, 2] (H, W).
        order: Decides which queries run at the same time, never a result.
    """
    views, pixels, channels = inputs[0].shape
    kernel = kernels.DeformableCrossAttention(
        step.num_heads, channels // step.num_heads, len(level_shapes), step.num_points,
        value=inputs[0].dtype, query="float32", weight="float32", out=out.dtype,
    )  # fmt: skip
    view_weight, view_bias, *value_bias = weights
    placed = (*inputs, view_weight, view_bias, out)
    values, *others = (array.address for array in placed)
    return kernel.calls(
        values, level_shapes.address, *others,
        views=views, queries=len(out), pixels=pixels,
        order=None if order is None else order.address,
        value_bias=value_bias[0].address if value_bias else None,
    )  # fmt: skip


def grid_sample_calls(
    step: GridSampleStep, data: DeviceArray, grid: DeviceArray, out: DeviceArray
) -> list[Call]:
    """Return the launches of a grid-sample step; an input without a batch serves each grid."""
    kernel = kernels.GridSample(
        data.dtype, grid.dtype, padding=step.padding_mode, align_corners=step.align_corners
    )
    points = math.prod(grid.shape[1:-1])
    if len(data) == len(grid):
        addresses = (data.address, grid.address, out.address)
        return kernel.calls(*addresses, shape=data.shape, points=points)
    calls = []
    for index in range(len(grid)):
        row = slice(index, index + 1)
        addresses = (data.address, grid[row].address, out[row].address)
        calls += kernel.calls(*addresses, shape=data.shape, points=points)
    return calls
