"""Lower a traced graph for ONNX Runtime: split it at the nodes that native kernels run.

A stage becomes a plan: graph segments with native steps between them. Each node is placed as late
as its consumers allow, so that little passes between segments.
"""

import re
from dataclasses import dataclass

import onnx
from onnx import helper

from geolrm.engine.manifest import (
    CrossAttentionStep,
    Dim,
    Plan,
    SegmentStep,
    SelfAttentionStep,
    Step,
    TensorSpec,
)
from geolrm.export.onnx_operator import DOMAIN as OPERATOR_DOMAIN
from geolrm.export.onnx_operator import OPERATOR
from geolrm.export.trace import Graph

DTYPES = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.INT64: "int64"}
MICROSOFT_DOMAIN = "com.microsoft"
SYMBOLIC_DIM = re.compile(r"(\d+\*)?(views|tokens)")


@dataclass(frozen=True, slots=True)
class Lowered:
    """A plan and the graphs of its segments by file name."""

    plan: Plan
    segments: dict[str, onnx.ModelProto]


def attributes(node: onnx.NodeProto) -> dict:
    """Attribute values of a node by name."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def lower_attention(model: onnx.ModelProto) -> onnx.ModelProto:
    """Attention to com.microsoft MultiHeadAttention, which never holds the score matrix."""
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    rewritten = False
    for node in lowered.graph.node:
        if node.op_type == "Attention" and node.domain == "":
            heads = attributes(node)["q_num_heads"]
            del node.attribute[:]
            del node.output[1:]
            node.op_type, node.domain = "MultiHeadAttention", MICROSOFT_DOMAIN
            node.attribute.append(helper.make_attribute("num_heads", heads))
            rewritten = True
    if rewritten:
        lowered.opset_import.append(helper.make_opsetid(MICROSOFT_DOMAIN, 1))
    return lowered


def lower(graph: Graph) -> Lowered:
    """Plan of a stage: a transformer is split at its attention nodes, an encoder stays whole."""
    if not any(node.op_type == OPERATOR for node in graph.model.graph.node):
        graph = Graph(graph.name, lower_attention(graph.model))
    return _Splitter(graph).lower()


class _Splitter:
    def __init__(self, graph: Graph):
        self.name, self.model = graph.name, graph.model
        onnx_graph = graph.model.graph
        self.initializers = {tensor.name: tensor for tensor in onnx_graph.initializer}
        self.values: dict[str, onnx.ValueInfoProto] = {}
        self.nodes = self.produce_constants(list(onnx_graph.node))
        self.producer = {name: node for node in self.nodes for name in node.output if name}
        self.graph_inputs = [value.name for value in onnx_graph.input]
        self.graph_outputs = [value.name for value in onnx_graph.output]
        values = [*onnx_graph.value_info, *onnx_graph.input, *onnx_graph.output]
        self.values |= {value.name: value for value in values}
        self.cuts = [node for node in self.nodes if is_cut(node)]
        self.cut_index = {id(node): index for index, node in enumerate(self.cuts)}

    def produce_constants(self, nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """Let an Identity yield what a native step reads, where constants were folded that far."""
        produced: list[onnx.NodeProto] = []
        for node in nodes:
            cut = onnx.NodeProto()
            cut.CopyFrom(node)
            if is_cut(node):
                first, last = (2, 5) if node.op_type == OPERATOR else (0, 3)
                for index in range(first, last):
                    name = node.input[index]
                    if name not in self.initializers:
                        continue
                    tensor, cut.input[index] = self.initializers[name], f"{name}.produced"
                    if cut.input[index] not in self.values:
                        produced.append(helper.make_node("Identity", [name], [cut.input[index]]))
                        self.values[cut.input[index]] = helper.make_tensor_value_info(
                            cut.input[index], tensor.data_type, list(tensor.dims)
                        )
            produced.append(cut)
        return produced

    def lower(self) -> Lowered:
        native: list[Step] = [self.native_step(node) for node in self.cuts]
        stages = self.place(native)
        steps: list[Step] = []
        segments: dict[str, onnx.ModelProto] = {}
        for index, nodes in enumerate(stages):
            if nodes:
                file = f"{self.name}.segment{index:02d}.onnx"
                step, segments[file] = self.segment(file, nodes, stages[index + 1 :], native)
                steps.append(step)
            if index < len(native):
                steps.append(native[index])
        return Lowered(Plan(self.graph_inputs, self.graph_outputs, steps), segments)

    def native_step(self, node: onnx.NodeProto) -> Step:
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

    def place(self, native: list[Step]) -> list[list[onnx.NodeProto]]:
        """Nodes of each segment; a node goes where its earliest consumer is."""
        last = len(self.cuts)
        needed: dict[str, int] = {name: last for name in self.graph_outputs}
        placed: list[list[onnx.NodeProto]] = [[] for _ in range(last + 1)]
        for node in reversed(self.nodes):
            if id(node) in self.cut_index:
                stage = self.cut_index[id(node)]
                reads = step_reads(native[stage])
            else:
                stages = [needed[name] for name in node.output if name in needed]
                if not stages:
                    continue  # only fed what a native step replaced
                stage = min(stages)
                placed[stage].append(node)
                reads = node_reads(node)
            for name in reads:
                needed[name] = min(needed.get(name, last), stage)
        return [list(reversed(nodes)) for nodes in placed]

    def segment(
        self,
        file: str,
        nodes: list[onnx.NodeProto],
        later: list[list[onnx.NodeProto]],
        native: list[Step],
    ) -> tuple[SegmentStep, onnx.ModelProto]:
        made = [name for node in nodes for name in node.output if name]
        reads = dict.fromkeys(name for node in nodes for name in node_reads(node))
        used_later = {name for stage in later for node in stage for name in node_reads(node)}
        used_later |= {name for step in native for name in step_reads(step)}
        used_later |= set(self.graph_outputs)
        outputs = [self.spec(name) for name in made if name in used_later]
        inputs = [n for n in reads if n not in made and n not in self.initializers]
        graph = helper.make_graph(
            nodes,
            file.removesuffix(".onnx"),
            [self.values[name] for name in inputs],
            [self.values[spec.name] for spec in outputs],
            [self.initializers[name] for name in reads if name in self.initializers],
        )
        opsets = [o for o in self.model.opset_import if o.domain != OPERATOR_DOMAIN]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=self.model.ir_version)
        return SegmentStep(file, inputs, outputs), model

    def spec(self, name: str) -> TensorSpec:
        tensor = self.values[name].type.tensor_type
        shape: list[Dim] = []
        for dim in tensor.shape.dim:
            if dim.dim_param and not SYMBOLIC_DIM.fullmatch(dim.dim_param):
                raise ValueError(f"{self.name}: {name} has the unknown dimension {dim.dim_param!r}")
            shape.append(dim.dim_param or dim.dim_value)
        return TensorSpec(name, DTYPES[tensor.elem_type], shape)


def is_cut(node: onnx.NodeProto) -> bool:
    """Whether a native kernel runs this node."""
    return node.op_type == OPERATOR or (node.op_type == "Attention" and node.domain == "")


def node_reads(node: onnx.NodeProto) -> list[str]:
    """Names that a node reads, without the empty ones of optional inputs."""
    return [name for name in node.input if name]


def step_reads(step: Step) -> list[str]:
    """Tensors that a step needs from the steps before it or from the plan's inputs."""
    if isinstance(step, SegmentStep):
        return step.inputs
    if isinstance(step, SelfAttentionStep):
        return [step.query, step.key, step.value]
    return [step.features, step.reference_points, step.sampling_offsets, step.attention_logits]
