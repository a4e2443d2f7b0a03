"""Run a plan on a device: segments and kernels in order, on one stream, over one arena.

What a run queues is remembered by its sizes and addresses. Where every segment allows it, the third
run with the same ones is the replay of a CUDA graph. Numbers of anchors are never rounded up to a
bucket: anchors attend to each other without a mask, so padding would change the result; a graph is
kept per exact number instead, which recurs where ``max_tokens`` bounds it.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from geolrm.engine.backends.cuda.kernels import DeformableCrossAttention, GridSample
from geolrm.engine.backends.cuda.segments import Binding, Enqueue, Segment
from geolrm.engine.backends.cuda.spatial_order import grid_order, order_bytes, order_calls
from geolrm.engine.backends.layout import Layout, lay_out, shape_of, step_inputs, step_outputs
from geolrm.engine.bundle.manifest import (
    GpuCrossAttentionStep,
    GpuPlan,
    GpuSegmentStep,
    GpuStep,
    GridSampleStep,
)
from geolrm.engine.cuda.array import DeviceArray
from geolrm.engine.cuda.device import Device

Tensors = Mapping[str, DeviceArray]
REMEMBERED = 32  # sequences a stage, the least recently used is forgotten first


class Block:
    """Device memory that grows to the largest size asked for; all stages share it in turn."""

    def __init__(self, device: Device):
        self._device, self._array = device, device.empty((0,), "uint8")

    def take(self, size: int) -> DeviceArray:
        """At least ``size`` bytes; what was taken before stays alive with its references."""
        if self._array.nbytes < size:
            self._array = self._device.empty((size,), "uint8")
        return self._array

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._array.nbytes


@dataclass(slots=True)
class _Sequence:
    """What one combination of sizes and addresses queues."""

    seen: int = 0
    bound: list[Binding] | None = None  # lasting; what a replay was captured from outlives it
    replay: Enqueue | None = None
    resists: bool = False  # a capture has failed and is not tried again


class GpuPlanRunner:
    """One stage of a bundle on a device.

    Args:
        plan: The steps.
        segments: By the names of their steps.
        weights: float32, of the cross-attention's views.
        level_shapes: int64 [levels, 2] (H, W).
        device: Where everything lies.
        arena: For intermediates.
        scratch: For what segments need inside.
    """

    def __init__(
        self,
        plan: GpuPlan,
        segments: Mapping[str, Segment],
        weights: Mapping[str, DeviceArray],
        level_shapes: DeviceArray,
        device: Device,
        arena: Block,
        scratch: Block,
    ):
        self.plan, self._segments, self._weights = plan, segments, weights
        self._level_shapes, self._device = level_shapes, device
        self._arena, self._scratch = arena, scratch
        self._grid_orders = self._upload_grid_orders()
        self.capturable = all(segment.capturable for segment in segments.values())
        self._layouts: dict[tuple, Layout] = {}
        self._sequences: OrderedDict[tuple, _Sequence] = OrderedDict()
        self.seconds: dict[str, float] = {}  # steps are queued, so the host cannot time them

    def run(
        self,
        inputs: Mapping[str, DeviceArray],
        outputs: Mapping[str, DeviceArray] | None = None,
    ) -> dict[str, DeviceArray]:
        """Queue all steps.

        Args:
            inputs: The plan's inputs by name; others are ignored.
            outputs: Arrays to write plan outputs into; those not given get new memory.
        """
        dims: dict[str, int] = {}
        for spec in self.plan.inputs:
            _match(spec.name, spec.dtype, spec.shape, inputs[spec.name], dims)
        tensors = {spec.name: inputs[spec.name] for spec in self.plan.inputs}
        given = outputs or {}
        for spec in self.plan.outputs:
            made = given.get(spec.name)
            if made is None:
                made = self._device.empty(shape_of(spec, dims), spec.dtype)
            _match(spec.name, spec.dtype, spec.shape, made, dims)
            tensors[spec.name] = made
        layout = self._layout(dims)
        arena = self._arena.take(layout.nbytes + self._order_bytes(dims))
        self._queue(dims, layout, arena, tensors)
        return {spec.name: tensors[spec.name] for spec in self.plan.outputs}

    def _upload_grid_orders(self) -> dict[int, DeviceArray]:
        """Of the queries of a fixed grid, by their number."""
        numbers = {
            step.output.shape[0]
            for step in self.plan.steps
            if isinstance(step, GpuCrossAttentionStep)
        }
        orders = {n: grid_order(n) for n in numbers if isinstance(n, int)}
        return {n: self._device.upload(order) for n, order in orders.items() if order is not None}

    def _order_bytes(self, dims: Mapping[str, int]) -> int:
        return order_bytes(dims["tokens"]) if sorts_anchors(self.plan) else 0

    def _layout(self, dims: dict[str, int]) -> Layout:
        key = tuple(sorted(dims.items()))
        if key not in self._layouts:
            if len(self._layouts) == REMEMBERED:
                self._layouts.clear()
            self._layouts[key] = lay_out(self.plan, dims)
        return self._layouts[key]

    def _queue(
        self, dims: dict[str, int], layout: Layout, arena: DeviceArray, outside: Tensors
    ) -> None:
        addresses = (tensor.address for tensor in outside.values())
        key = (*sorted(dims.items()), arena.address, *addresses)
        sequence = self._sequences.setdefault(key, _Sequence())
        self._sequences.move_to_end(key)
        if len(self._sequences) > REMEMBERED:
            self._sequences.popitem(last=False)
        sequence.seen += 1
        if sequence.replay is not None:
            sequence.replay()
            return
        if sequence.bound is not None:
            bound = sequence.bound
        else:
            lasting = not self.capturable or sequence.seen > 1
            tensors = self._inside(dims, layout, arena, outside)
            bound = self._bind(dims, tensors, arena.address + layout.nbytes, lasting=lasting)
            sequence.bound = bound if lasting else None
        _enqueue(bound)  # a segment must have run with its shapes before it is captured
        if sequence.bound is None or sequence.resists:
            return
        if all(binding.can_capture() for binding in bound):
            sequence.replay = self._device.capture(lambda: _enqueue(bound))
            sequence.resists = sequence.replay is None

    def _inside(
        self, dims: dict[str, int], layout: Layout, arena: DeviceArray, outside: Tensors
    ) -> Tensors:
        """With the intermediates, which lie in the arena; none of them keeps its memory alive."""
        device = self._device
        tensors = {
            name: DeviceArray(tensor.address, tensor.shape, tensor.dtype, device)
            for name, tensor in outside.items()
        }
        for step in self.plan.steps:
            for spec in step_outputs(step):
                if spec.name not in tensors:
                    address = arena.address + layout.offsets[spec.name]
                    shape = shape_of(spec, dims)
                    tensors[spec.name] = DeviceArray(address, shape, spec.dtype, device)
        return tensors

    def _bind(
        self, dims: dict[str, int], tensors: Tensors, place: int, *, lasting: bool
    ) -> list[Binding]:
        """All steps; ``place`` is where the order of the anchors goes, which all layers share."""
        order, bound = None, []
        if sorts_anchors(self.plan):
            order, anchors = place, tensors["anchors"]
            calls = order_calls(anchors.address, place, queries=len(anchors))
            bound.append(Binding(lambda: self._device.launch(calls), lambda: True))
        for step in self.plan.steps:
            seen = {s.name: tensors[s.name].view(shape_of(s, dims)) for s in step_inputs(step)}
            made = {s.name: tensors[s.name] for s in step_outputs(step)}
            bound.append(self._action(step, seen, made, order, lasting))
        return bound

    def _action(
        self, step: GpuStep, inputs: Tensors, outputs: Tensors, order: int | None, lasting: bool
    ) -> Binding:
        if isinstance(step, GpuSegmentStep):
            return self._segments[step.name].bind(
                inputs, outputs, self._scratch.take, lasting=lasting
            )
        tensors = {**inputs, **outputs}
        if isinstance(step, GridSampleStep):
            calls = grid_sample_calls(step, tensors)
        else:
            place = self._grid_orders.get(len(tensors[step.output.name]), order)
            calls = attention_calls(step, tensors, self._weights, self._level_shapes, place)
        return Binding(lambda: self._device.launch(calls), lambda: True)


def sorts_anchors(plan: GpuPlan) -> bool:
    """Whether our attention kernel runs on anchors, whose order in space each run finds anew."""
    return any(spec.name == "anchors" for spec in plan.inputs) and any(
        isinstance(step, GpuCrossAttentionStep) for step in plan.steps
    )


def _enqueue(bound: list[Binding]) -> None:
    for binding in bound:
        binding.enqueue()


def attention_calls(
    step: GpuCrossAttentionStep,
    tensors: Mapping[str, DeviceArray],
    weights: Mapping[str, DeviceArray],
    level_shapes: DeviceArray,
    order: DeviceArray | int | None = None,
) -> list:
    """Launches of a cross-attention step, its queries in an order int32 [N] on the device."""
    value, out = tensors[step.value.name], tensors[step.output.name]
    views, pixels, channels = value.shape
    kernel = DeformableCrossAttention(
        step.num_heads, channels // step.num_heads, len(level_shapes), step.num_points,
        value=value.dtype, query="float32", weight="float32", out=out.dtype,
    )  # fmt: skip
    return kernel.calls(
        value.address,
        level_shapes.address,
        tensors[step.reference_points.name].address,
        tensors[step.sampling_offsets.name].address,
        tensors[step.attention_logits.name].address,
        weights[step.view_weight].address,
        weights[step.view_bias].address,
        out.address,
        views=views,
        queries=len(out),
        pixels=pixels,
        order=order,
    )


def grid_sample_calls(step: GridSampleStep, tensors: Mapping[str, DeviceArray]) -> list:
    """Launches of a grid-sample step; an input without a batch is read once for each grid."""
    data, grid, out = (tensors[spec.name] for spec in (step.input, step.grid, step.output))
    kernel = GridSample(
        data.dtype, grid.dtype, padding=step.padding_mode, align_corners=step.align_corners
    )
    points = 1
    for side in grid.shape[1:-1]:
        points *= side
    if len(data) == len(grid):
        addresses = (data.address, grid.address, out.address)
        return kernel.calls(*addresses, shape=data.shape, points=points)
    calls = []
    for index in range(len(grid)):
        row = slice(index, index + 1)
        addresses = (data.address, grid[row].address, out[row].address)
        calls += kernel.calls(*addresses, shape=data.shape, points=points)
    return calls


def _match(name: str, dtype: str, shape: list, array: DeviceArray, dims: dict[str, int]) -> None:
    """The array is of its spec; symbols get their sizes at first sight."""
    assert array.dtype == dtype, f"{name} is {array.dtype}, the plan says {dtype}"
    assert len(array.shape) == len(shape), f"{name} has shape {array.shape}, the plan says {shape}"
    for dim, size in zip(shape, array.shape, strict=True):
        if isinstance(dim, str) and "*" not in dim:
            dim = dims.setdefault(dim, size)
        if isinstance(dim, int):
            assert dim == size, f"{name} has shape {array.shape}, the plan says {shape}"
