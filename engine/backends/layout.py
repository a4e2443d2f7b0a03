"""Where the intermediate tensors of a plan lie in one arena: shared where lives do not overlap."""

from collections.abc import Mapping
from dataclasses import dataclass

from geolrm.engine.bundle.manifest import (
    GpuCrossAttentionStep,
    GpuPlan,
    GpuSegmentStep,
    GpuStep,
    GridSampleStep,
    TensorSpec,
    size_of,
)
from geolrm.engine.cuda.array import nbytes

ALIGNMENT = 256  # bytes; what TensorRT and cudaMalloc align to


@dataclass(frozen=True, slots=True)
class Layout:
    """Offsets of a plan's intermediates for one number of views and of tokens."""

    offsets: Mapping[str, int]
    nbytes: int


def shape_of(spec: TensorSpec, dims: Mapping[str, int]) -> tuple[int, ...]:
    """A tensor's shape for these numbers of views and tokens."""
    return tuple(size_of(dim, dims) for dim in spec.shape)


def step_inputs(step: GpuStep) -> list[TensorSpec]:
    """Tensors that a step reads."""
    if isinstance(step, GpuSegmentStep):
        return step.inputs
    if isinstance(step, GridSampleStep):
        return [step.input, step.grid]
    assert isinstance(step, GpuCrossAttentionStep)
    return [
        step.value, step.reference_points, step.sampling_offsets, step.attention_logits
    ]  # fmt: skip


def step_outputs(step: GpuStep) -> list[TensorSpec]:
    """Tensors that a step writes."""
    return step.outputs if isinstance(step, GpuSegmentStep) else [step.output]


def bytes_of(specs: list[TensorSpec], dims: Mapping[str, int]) -> int:
    """Their sizes, each aligned."""
    return sum(_aligned(nbytes(shape_of(spec, dims), spec.dtype)) for spec in specs)


def lay_out(plan: GpuPlan, dims: Mapping[str, int]) -> Layout:
    """Offsets by size, the largest first, each as low as what lives at the same time allows.

    The plan's own inputs and outputs lie elsewhere.
    """
    outside = {spec.name for spec in [*plan.inputs, *plan.outputs]}
    lives: dict[str, tuple[int, int, int]] = {}  # first step, last step, bytes
    for index, step in enumerate(plan.steps):
        for spec in step_outputs(step):
            if spec.name not in outside:
                size = _aligned(nbytes(shape_of(spec, dims), spec.dtype))
                lives[spec.name] = (index, index, size)
        for spec in step_inputs(step):
            if spec.name in lives:
                first, _, size = lives[spec.name]
                lives[spec.name] = (first, index, size)
    offsets: dict[str, int] = {}
    total = 0
    for name in sorted(lives, key=lambda name: (-lives[name][2], lives[name][0], name)):
        first, last, size = lives[name]
        taken = sorted(
            (offsets[other], offsets[other] + lives[other][2])
            for other in offsets
            if lives[other][0] <= last and first <= lives[other][1]
        )
        start = 0
        for begin, end in taken:
            if start + size <= begin:
                break
            start = max(start, end)
        offsets[name] = start
        total = max(total, start + size)
    return Layout(offsets, total)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
