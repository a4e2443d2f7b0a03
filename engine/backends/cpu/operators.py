"""The operators of a plan on the CPU: ONNX Runtime for segments, and the native kernels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geolrm import _C
from geolrm.engine.backends.cpu.onnxruntime_segment import OnnxRuntimeSegment
from geolrm.engine.bundle.bundle import Bundle
from geolrm.engine.bundle.plan import (
    CPU,
    DeformableCrossAttentionStep,
    SegmentStep,
    SelfAttentionStep,
    ValueProjectionStep,
)

Arrays = Sequence[NDArray]


@dataclass(frozen=True, slots=True)
class Context:
    """What operators are bound with."""

    bundle: Bundle
    weights: Mapping[str, NDArray[np.float32]]
    threads: int

    @property
    def level_shapes(self) -> NDArray[np.int64]:
        """Return the shapes of the feature levels, [levels, 2] (H, W)."""
        return np.array(self.bundle.manifest.level_shapes, dtype=np.int64)


class Operator(Protocol):
    """A step bound to what executes it."""

    def run(self, reads: Arrays, writes: Arrays) -> None:
        """Read and write the step's tensors, in its order."""
        ...


class Segment:
    """Run a graph."""

    def __init__(self, step: SegmentStep, context: Context):
        self._reads, self._writes = step.reads, step.writes
        self._segment = OnnxRuntimeSegment(context.bundle.segment(step.files[CPU]), context.threads)

    def run(self, reads: Arrays, writes: Arrays) -> None:
        """Run it once."""
        self._segment.run(
            dict(zip(self._reads, reads, strict=True)), dict(zip(self._writes, writes, strict=True))
        )


class SelfAttention:
    """Attend over all queries, without holding their scores."""

    def __init__(self, step: SelfAttentionStep, context: Context):
        self._num_heads, self._threads = step.num_heads, context.threads

    def run(self, reads: Arrays, writes: Arrays) -> None:
        """Attend from query [1, N, d] to key and value; the kernel knows no batch."""
        query, key, value, out = (array.reshape(array.shape[-2:]) for array in (*reads, *writes))
        _C.self_attention(query, key, value, self._num_heads, out, threads=self._threads)


class ValueProjection:
    """Project those rows of features that some sample reads."""

    def __init__(self, step: ValueProjectionStep, context: Context):
        self._step, self._threads = step, context.threads
        self._level_shapes = context.level_shapes
        weight, *bias = (context.weights[name] for name in step.weights)
        none = np.zeros(len(weight), np.float32)
        self._project = _C.ValueProjection(weight, bias[0] if bias else none, step.num_heads)

    def run(self, reads: Arrays, writes: Arrays) -> None:
        """Mark the rows, then project them; the values of other rows stay undefined."""
        features, reference_points, sampling_offsets = reads
        values, touched = writes
        _C.mark_touched(
            self._level_shapes, reference_points, sampling_offsets, self._step.num_heads,
            self._step.num_points, touched, threads=self._threads,
        )  # fmt: skip
        self._project(features, touched, values, threads=self._threads)


class DeformableCrossAttention:
    """Sample values and fuse samples and views."""

    def __init__(self, step: DeformableCrossAttentionStep, context: Context):
        self._threads, self._level_shapes = context.threads, context.level_shapes
        weight, bias = (context.weights[name] for name in step.weights)
        self._view_weight = np.ascontiguousarray(weight.reshape(-1))
        self._view_bias = float(bias.item())

    def run(self, reads: Arrays, writes: Arrays) -> None:
        """Sample once."""
        values, reference_points, sampling_offsets, attention_logits = reads
        (out,) = writes
        _C.deformable_cross_attention(
            values, self._level_shapes, reference_points, sampling_offsets, attention_logits,
            self._view_weight, self._view_bias, out, threads=self._threads,
        )  # fmt: skip


OPERATORS: Mapping[str, Callable[..., Operator]] = {
    "segment": Segment,
    "self_attention": SelfAttention,
    "value_projection": ValueProjection,
    "deformable_cross_attention": DeformableCrossAttention,
}
