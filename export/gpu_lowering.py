"""Lower a traced graph for GPUs: segments for a builder or for ONNX Runtime, and CUDA kernels.

Attention and the value projection stay in the segments. Every GridSample is cut out as well:
TensorRT is reported to miscompile it.
"""

from collections.abc import Callable

import onnx
from onnx import helper

from geolrm.engine.bundle.manifest import (
    GpuCrossAttentionStep,
    GpuPlan,
    GpuSegmentStep,
    GpuStep,
    GridSampleStep,
    TensorSpec,
)
from geolrm.export.onnx_operator import DOMAIN as OPERATOR_DOMAIN
from geolrm.export.onnx_operator import DOMAIN_VERSION, OPERATOR
from geolrm.export.scratch import scratch_bytes
from geolrm.export.shapes import VIEWS, derive_shapes_from_inputs, free_nodes
from geolrm.export.splitting import Lowered, Segment, Splitter, attributes, with_opset
from geolrm.export.trace import Graph

PLUGIN_VERSION = "1"  # of every quick-deployable plugin

Files = Callable[[str], dict[str, str]]  # the name of a segment to its file of each target


def is_grid_sample(node: onnx.NodeProto) -> bool:
    """Whether this is ONNX's own grid sampling."""
    return node.op_type == "GridSample" and node.domain == ""


def lower_split(graph: Graph, files: Files) -> Lowered[GpuPlan]:
    """A stage with every node that a CUDA kernel of ours runs cut out."""
    splitter = _GpuSplitter(derive_shapes_from_inputs(graph))
    steps: list[GpuStep] = []
    segments: dict[str, onnx.ModelProto] = {}
    for part in splitter.split():
        if isinstance(part, Segment):
            segments[part.name] = part.model
            inputs = [splitter.spec(name) for name in part.inputs]
            outputs = [splitter.spec(name) for name in part.outputs]
            scratch = scratch_bytes(part.model, splitter.values)
            steps.append(GpuSegmentStep(part.name, files(part.name), inputs, outputs, scratch))
        else:
            steps.append(part)
    return Lowered(_plan(splitter, steps), segments)


def lower_whole(graph: Graph, files: Files) -> Lowered[GpuPlan]:
    """A stage as one segment, whose cut nodes are left for TensorRT plugins."""
    splitter = _GpuSplitter(graph)
    plan = _plan(splitter, [])
    step = GpuSegmentStep(graph.name, files(graph.name), plan.inputs, plan.outputs)
    model = name_plugins(graph.model)
    return Lowered(GpuPlan(plan.inputs, plan.outputs, [step]), {graph.name: model})


def name_plugins(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose custom nodes, GridSample among them, carry what names a plugin.

    ``aot`` asks for the kernel that is compiled into the engine. TensorRT hands the attributes to a
    plugin by place: here and there they are in alphabetical order.
    """
    named = onnx.ModelProto()
    named.CopyFrom(model)
    for node in named.graph.node:
        if is_grid_sample(node):
            padding, align = grid_sample_mode(node)
            del node.attribute[:]
            node.domain = OPERATOR_DOMAIN
            fields = {"border": int(padding == "border"), "align_corners": int(align)}
            node.attribute.extend(helper.make_attribute(k, v) for k, v in fields.items())
            with_opset(named, OPERATOR_DOMAIN, DOMAIN_VERSION)
        elif node.op_type != OPERATOR:
            continue
        fields = {"plugin_namespace": OPERATOR_DOMAIN, "plugin_version": PLUGIN_VERSION, "aot": 1}
        node.attribute.extend(helper.make_attribute(k, v) for k, v in fields.items())
        node.attribute.sort(key=lambda attribute: attribute.name)
    return named


def grid_sample_mode(node: onnx.NodeProto) -> tuple[str, bool]:
    """Padding mode and align_corners of a GridSample that the CUDA kernel can run."""
    attribute = attributes(node)
    mode = attribute.get("mode", b"linear").decode()
    padding = attribute.get("padding_mode", b"zeros").decode()
    if mode != "linear" or padding not in ("zeros", "border"):
        raise ValueError(
            f"{node.name or 'a node'}: GridSample has mode {mode!r} and padding {padding!r}; the "
            "CUDA kernel knows mode 'linear' with 'zeros' or 'border'"
        )
    return padding, bool(attribute.get("align_corners", 0))


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
        output = self.spec(node.output[0])
        if node.op_type != OPERATOR:
            data, grid = (self.read(name) for name in node.input)
            padding, align = grid_sample_mode(node)
            return GridSampleStep(data, grid, output, padding, align)  # pyright: ignore
        value, _, reference, offsets, logits, view_weight, view_bias = node.input
        attribute = attributes(node)
        tensors = [self.read(name) for name in (value, reference, offsets, logits)]
        return GpuCrossAttentionStep(
            *tensors, view_weight, view_bias, output, attribute["num_heads"],
            attribute["num_points"],
        )  # fmt: skip

    def read(self, name: str) -> TensorSpec:
        """What a kernel reads: the tensor behind its views, in the shape of the last of them.

        ONNX Runtime copies a view that is an output, and the values of a layer are half a gigabyte.
        """
        spec, source = self.spec(name), name
        while (node := self.producer.get(source)) and node.op_type in VIEWS:
            if node.input[0] not in self.producer or node.input[0] in self.repeated:
                break
            source = node.input[0]
        return TensorSpec(source, spec.dtype, spec.shape)

    def step_reads(self, step: GpuCrossAttentionStep | GridSampleStep) -> list[str]:
        if isinstance(step, GridSampleStep):
            return [step.input.name, step.grid.name]
        return [
            step.value.name,
            step.reference_points.name,
            step.sampling_offsets.name,
            step.attention_logits.name,
        ]
