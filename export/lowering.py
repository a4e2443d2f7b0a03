"""Lower a traced graph for ONNX Runtime on the CPU: split it at the nodes that native kernels run.

A stage becomes a plan: graph segments with native steps between them.
"""

import onnx
from onnx import helper

from geolrm.engine.bundle.manifest import (
    CrossAttentionStep,
    Plan,
    SegmentStep,
    SelfAttentionStep,
    Step,
)
from geolrm.export.onnx_operator import OPERATOR
from geolrm.export.splitting import Lowered, Segment, Splitter, attributes, with_opset
from geolrm.export.trace import Graph

MICROSOFT_DOMAIN = "com.microsoft"


def is_attention(node: onnx.NodeProto) -> bool:
    """Whether this is ONNX's own self-attention."""
    return node.op_type == "Attention" and node.domain == ""


def lower_attention(model: onnx.ModelProto) -> onnx.ModelProto:
    """Attention to com.microsoft MultiHeadAttention, which never holds the score matrix."""
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    for node in lowered.graph.node:
        if is_attention(node):
            heads = attributes(node)["q_num_heads"]
            del node.attribute[:]
            del node.output[1:]
            node.op_type, node.domain = "MultiHeadAttention", MICROSOFT_DOMAIN
            node.attribute.append(helper.make_attribute("num_heads", heads))
            with_opset(lowered, MICROSOFT_DOMAIN, 1)
    return lowered


def lower(graph: Graph) -> Lowered[Plan]:
    """Plan of a stage: a transformer is split at its attention nodes, an encoder stays whole."""
    if not any(node.op_type == OPERATOR for node in graph.model.graph.node):
        graph = Graph(graph.name, lower_attention(graph.model))
    splitter = _CpuSplitter(graph)
    steps: list[Step] = []
    segments: dict[str, onnx.ModelProto] = {}
    for part in splitter.split():
        if isinstance(part, Segment):
            file = f"{part.name}.onnx"
            segments[file] = part.model
            outputs = [splitter.spec(name) for name in part.outputs]
            steps.append(SegmentStep(file, part.inputs, outputs))
        else:
            steps.append(part)
    return Lowered(Plan(splitter.graph_inputs, splitter.graph_outputs, steps), segments)


class _CpuSplitter(Splitter[SelfAttentionStep | CrossAttentionStep]):
    def is_cut(self, node: onnx.NodeProto) -> bool:
        return node.op_type == OPERATOR or is_attention(node)

    def tensor_inputs(self, node: onnx.NodeProto) -> range:
        return range(2, 5) if node.op_type == OPERATOR else range(3)

    def native_step(self, node: onnx.NodeProto) -> SelfAttentionStep | CrossAttentionStep:
        attribute = attributes(node)
        if node.op_type != OPERATOR:
            query, key, value = node.input[:3]
            output = self.spec(node.output[0])
            return SelfAttentionStep(query, key, value, output, attribute["q_num_heads"])
        value, _, reference, offsets, logits, view_weight, view_bias = node.input
        features, weight, bias = self.value_projection(value)
        return CrossAttentionStep(
            features, weight, bias, reference, offsets, logits, view_weight, view_bias,
            self.spec(node.output[0]), attribute["num_heads"], attribute["num_points"],
        )  # fmt: skip

    def step_reads(self, step: SelfAttentionStep | CrossAttentionStep) -> list[str]:
        if isinstance(step, SelfAttentionStep):
            return [step.query, step.key, step.value]
        return [step.features, step.reference_points, step.sampling_offsets, step.attention_logits]

    def value_projection(self, value: str) -> tuple[str, str, str | None]:
        """Features, weight and bias behind the operator's first input; a zero bias is None."""
        gemm = self.producer[value]
        while gemm.op_type == "Reshape":
            gemm = self.producer[gemm.input[0]]
        source = self.producer.get(gemm.input[0])
        features = source.input[0] if source and source.op_type == "Reshape" else gemm.input[0]
        if gemm.op_type != "Gemm" or features not in self.graph_inputs:
            raise ValueError(
                f"{self.name}: the values of {OPERATOR} come from {gemm.op_type} over "
                f"{features!r}; expected one Gemm over a graph input"
            )
        return features, gemm.input[1], (*gemm.input, None)[2]
