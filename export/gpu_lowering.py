"""Lower a traced graph for GPUs: segments for a builder or for ONNX Runtime, and CUDA kernels.

Attention and the value projection stay in the segments. Every GridSample is cut out as well:
TensorRT is reported to miscompile it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from geolrm.engine.manifest import (
    GpuCrossAttentionStep,
    GpuPlan,
    GpuSegmentStep,
    GpuStep,
    GridSampleStep,
)
from geolrm.export.onnx_operator import OPERATOR
from geolrm.export.shapes import derive_shapes_from_inputs, free_nodes
from geolrm.export.splitting import Segment, Splitter, attributes
from geolrm.export.trace import Graph

Files = Callable[[str], dict[str, str]]  # the name of a segment to its file of each target


@dataclass(frozen=True, slots=True)
class GpuLowered:
    """A plan and the graphs of its segments by name."""

    plan: GpuPlan
    segments: dict[str, onnx.ModelProto]


def is_grid_sample(node: onnx.NodeProto) -> bool:
    """Whether this is ONNX's own grid sampling."""
    return node.op_type == "GridSample" and node.domain == ""


def lower_split(graph: Graph, files: Files) -> GpuLowered:
    """A stage with every node that a CUDA kernel of ours runs cut out."""
    splitter = _GpuSplitter(derive_shapes_from_inputs(graph))
    steps: list[GpuStep] = []
    segments: dict[str, onnx.ModelProto] = {}
    for part in splitter.split():
        if isinstance(part, Segment):
            segments[part.name] = part.model
            inputs = [splitter.spec(name) for name in part.inputs]
            outputs = [splitter.spec(name) for name in part.outputs]
            steps.append(GpuSegmentStep(part.name, files(part.name), inputs, outputs))
        else:
            steps.append(part)
    return GpuLowered(_plan(splitter, steps), segments)


def lower_whole(graph: Graph, files: Files) -> GpuLowered:
    """A stage as one segment, its custom nodes left for plugins."""
    splitter = _GpuSplitter(graph)
    plan = _plan(splitter, [])
    step = GpuSegmentStep(graph.name, files(graph.name), plan.inputs, plan.outputs)
    return GpuLowered(GpuPlan(plan.inputs, plan.outputs, [step]), {graph.name: graph.model})


def _plan(splitter: "_GpuSplitter", steps: list[GpuStep]) -> GpuPlan:
    inputs = [splitter.spec(name) for name in splitter.graph_inputs]
    return GpuPlan(inputs, [splitter.spec(name) for name in splitter.graph_outputs], steps)


class _GpuSplitter(Splitter[GpuCrossAttentionStep | GridSampleStep]):
    def is_cut(self, node: onnx.NodeProto) -> bool:
        return node.op_type == OPERATOR or is_grid_sample(node)

    def tensor_inputs(self, node: onnx.NodeProto) -> range:
        return range(2, 5) if node.op_type == OPERATOR else range(2)

    def repeated_nodes(self) -> dict[str, onnx.NodeProto]:
        read = {name for cut in self.cuts for name in cut.input} | set(self.graph_outputs)
        return {
            name: node
            for node in free_nodes(Graph(self.name, self.model))
            for name in node.output
            if name not in read
        }

    def native_step(self, node: onnx.NodeProto) -> GpuCrossAttentionStep | GridSampleStep:
        attribute = attributes(node)
        output = self.spec(node.output[0])
        if node.op_type != OPERATOR:
            data, grid = (self.spec(name) for name in node.input)
            mode, padding = attribute["mode"].decode(), attribute["padding_mode"].decode()
            if mode != "linear" or padding not in ("zeros", "border"):
                raise ValueError(
                    f"{self.name}: GridSample has mode {mode!r} and padding {padding!r}; the CUDA "
                    "kernel knows mode 'linear' with 'zeros' or 'border'"
                )
            align = bool(attribute["align_corners"])
            return GridSampleStep(data, grid, output, padding, align)  # pyright: ignore
        value, _, reference, offsets, logits, view_weight, view_bias = node.input
        tensors = [self.spec(name) for name in (value, reference, offsets, logits)]
        return GpuCrossAttentionStep(
            *tensors, view_weight, view_bias, output, attribute["num_heads"],
            attribute["num_points"],
        )  # fmt: skip

    def step_reads(self, step: GpuCrossAttentionStep | GridSampleStep) -> list[str]:
        if isinstance(step, GridSampleStep):
            return [step.input.name, step.grid.name]
        return [
            step.value.name,
            step.reference_points.name,
            step.sampling_offsets.name,
            step.attention_logits.name,
        ]
