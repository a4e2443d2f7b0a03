"""Run a plan: graph segments and native kernels in order, over reused buffers."""

import math
import time

import numpy as np
from numpy.typing import NDArray

from geolrm import _C
from geolrm.engine.backends.cpu.onnxruntime_segment import Session
from geolrm.engine.bundle.bundle import Bundle
from geolrm.engine.bundle.manifest import (
    CrossAttentionStep,
    Plan,
    SegmentStep,
    SelfAttentionStep,
    TensorSpec,
    size_of,
)

CACHE_LINE = 64  # bytes


class Workspace:
    """Named buffers that grow to the largest size asked for and are then reused."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, str], NDArray] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: str) -> NDArray:
        """An uninitialised array; the next call with this name may return the same memory."""
        size = math.prod(shape)
        buffer = self._buffers.get((name, dtype))
        if buffer is None or buffer.size < size:
            self._buffers.pop((name, dtype), None)
            buffer = self._buffers[name, dtype] = _aligned(size, dtype)
        return buffer[:size].reshape(shape)

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return sum(buffer.nbytes for buffer in self._buffers.values())


class CpuPlanRunner:
    """One stage of a bundle on the CPU, ready to run."""

    def __init__(self, bundle: Bundle, plan: Plan, workspace: Workspace, threads: int):
        self._plan, self._workspace, self._threads = plan, workspace, threads
        self._level_shapes = np.array(bundle.manifest.level_shapes, dtype=np.int64)
        self._value_dtype = "float16" if bundle.manifest.precision == "fp16" else "float32"
        self._slots = _buffer_slots(plan)
        self._given: dict[str, NDArray] = {}
        self.seconds: dict[str, float] = {}  # by kind of step, summed until cleared
        names = set()
        for step in plan.steps:
            if isinstance(step, CrossAttentionStep):
                names |= {step.value_weight, step.view_weight, step.view_bias}
                names |= {step.value_bias} if step.value_bias else set()
        stored = bundle.weights(names) if names else {}
        weights = {name: array.astype(np.float32) for name, array in stored.items()}
        self._sessions: dict[int, Session] = {}
        self._projections: dict[int, _C.ValueProjection] = {}
        self._view_logits: dict[int, tuple[NDArray[np.float32], float]] = {}
        for index, step in enumerate(plan.steps):
            if isinstance(step, SegmentStep):
                self._sessions[index] = Session(bundle.file(step.file), threads)
            elif isinstance(step, CrossAttentionStep):
                weight = weights[step.value_weight]
                bias = weights.get(step.value_bias or "", np.zeros(len(weight), np.float32))
                self._projections[index] = _C.ValueProjection(weight, bias, step.num_heads)
                view_weight = np.ascontiguousarray(weights[step.view_weight].reshape(-1))
                self._view_logits[index] = (view_weight, float(weights[step.view_bias].item()))

    def run(
        self, inputs: dict[str, NDArray], outputs: dict[str, NDArray] | None = None
    ) -> dict[str, NDArray]:
        """Execute all steps.

        Args:
            inputs: The plan's inputs by name; C-contiguous.
            outputs: Arrays to write plan outputs into; those not given get new memory.

        Returns:
            The plan's outputs, in memory that no later run reuses.
        """
        tensors = dict(inputs)
        self._given = outputs or {}
        symbols = {"c2w": "views", "projection": "views", "anchors": "tokens"}
        dims = {symbols[name]: len(inputs[name]) for name in inputs if name in symbols}
        for index, step in enumerate(self._plan.steps):
            start = time.perf_counter()
            if isinstance(step, SegmentStep):
                feeds = {name: tensors[name] for name in step.inputs}
                results = {spec.name: self._allocate(spec, dims) for spec in step.outputs}
                self._sessions[index].run(feeds, results)
                tensors |= results
            elif isinstance(step, SelfAttentionStep):
                tensors[step.output.name] = self._attend(step, tensors, dims)
            else:
                tensors[step.output.name] = self._sample(index, step, tensors, dims)
            self._add_seconds(_kind(step), time.perf_counter() - start)
        return {name: tensors[name] for name in self._plan.outputs}

    def _add_seconds(self, kind: str, seconds: float) -> None:
        self.seconds[kind] = self.seconds.get(kind, 0.0) + seconds

    def _allocate(self, spec: TensorSpec, dims: dict[str, int]) -> NDArray:
        shape = tuple(size_of(dim, dims) for dim in spec.shape)
        if spec.name in self._given:
            return self._given[spec.name]
        if spec.name in self._plan.outputs:  # handed to the caller, so never reused
            return np.empty(shape, spec.dtype)
        return self._workspace.array(self._slots[spec.name], shape, spec.dtype)

    def _attend(
        self, step: SelfAttentionStep, tensors: dict[str, NDArray], dims: dict[str, int]
    ) -> NDArray:
        output = self._allocate(step.output, dims)
        q, k, v, out = (
            array.reshape(array.shape[-2:])
            for array in (tensors[step.query], tensors[step.key], tensors[step.value], output)
        )
        _C.self_attention(q, k, v, step.num_heads, out, threads=self._threads)
        return output

    def _sample(
        self,
        index: int,
        step: CrossAttentionStep,
        tensors: dict[str, NDArray],
        dims: dict[str, int],
    ) -> NDArray:
        features = tensors[step.features]  # [V, L, C]
        reference = tensors[step.reference_points]  # [V, N, 2]
        offsets = tensors[step.sampling_offsets]  # [N, h * levels * P * 2]
        output = self._allocate(step.output, dims)  # [N, d]
        views, pixels, _ = features.shape
        width = output.shape[1] // step.num_heads
        touched = self._workspace.array("touched", (views, pixels), "uint8")
        _C.mark_touched(
            self._level_shapes, reference, offsets, step.num_heads, step.num_points, touched,
            threads=self._threads,
        )  # fmt: skip
        start = time.perf_counter()
        shape = (views, step.num_heads, pixels, width)
        values = self._workspace.array("values", shape, self._value_dtype)
        self._projections[index](features, touched, values, threads=self._threads)
        projected = time.perf_counter() - start
        self._add_seconds("value projection", projected)
        self._add_seconds("sampling", -projected)  # the whole step is added as sampling
        view_weight, view_bias = self._view_logits[index]
        _C.deformable_cross_attention(
            values, self._level_shapes, reference, offsets, tensors[step.attention_logits],
            view_weight, view_bias, output, threads=self._threads,
        )  # fmt: skip
        return output


def _aligned(size: int, dtype: str) -> NDArray:
    """Uninitialised memory on a cache line: a vector load across two lines costs twice."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.empty(size * itemsize + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size * itemsize].view(dtype)


def _kind(step: SegmentStep | SelfAttentionStep | CrossAttentionStep) -> str:
    if isinstance(step, SegmentStep):
        return "graphs"
    return "self-attention" if isinstance(step, SelfAttentionStep) else "sampling"


def _buffer_slots(plan: Plan) -> dict[str, str]:
    """Which buffer each intermediate lives in: tensors whose lives do not overlap share one."""
    last_use: dict[str, int] = {}
    for index, step in enumerate(plan.steps):
        for name in _reads(step):
            last_use[name] = index
    slots: dict[str, str] = {}
    free: list[str] = []
    for index, step in enumerate(plan.steps):
        written = step.outputs if isinstance(step, SegmentStep) else [step.output]
        for spec in written:
            slots[spec.name] = free.pop() if free else f"slot{len(set(slots.values()))}"
        # A step's inputs are freed only after it ran: it may still read them while writing.
        free += [slots[n] for n, last in last_use.items() if last == index and n in slots]
    return slots


def _reads(step: SegmentStep | SelfAttentionStep | CrossAttentionStep) -> list[str]:
    if isinstance(step, SegmentStep):
        return step.inputs
    if isinstance(step, SelfAttentionStep):
        return [step.query, step.key, step.value]
    return [
        step.features,
        step.reference_points,
        step.sampling_offsets,
        step.attention_logits,
    ]
