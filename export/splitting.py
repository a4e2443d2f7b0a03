"""Split a traced graph at the nodes that native kernels run, into segments with steps between.

Each node is placed as late as its consumers allow, so that little passes between segments.
"""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import onnx
from onnx import helper

from geolrm.engine.bundle.manifest import Dim, TensorSpec
from geolrm.export.onnx_operator import DOMAIN as OPERATOR_DOMAIN
from geolrm.export.trace import Graph

DTYPES = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.BFLOAT16: "bfloat16",
    onnx.TensorProto.INT64: "int64",
}
SYMBOLIC_DIM = re.compile(r"(\d+\*)?(views|tokens)")


def attributes(node: onnx.NodeProto) -> dict:
    """Attribute values of a node by name."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def node_reads(node: onnx.NodeProto) -> list[str]:
    """Names that a node reads, without the empty ones of optional inputs."""
    return [name for name in node.input if name]


def with_opset(model: onnx.ModelProto, domain: str, version: int) -> onnx.ModelProto:
    """The model, importing one more operator set where it does not yet."""
    if all(entry.domain != domain for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(domain, version))
    return model


@dataclass(frozen=True, slots=True)
class Segment:
    """Part of a graph as a model of its own."""

    name: str  # "proposal.segment03"
    model: onnx.ModelProto
    inputs: list[str]
    outputs: list[str]


S = TypeVar("S")  # the steps that stand for cut nodes
P = TypeVar("P")  # the plan of a stage, for a CPU or a GPU


@dataclass(frozen=True, slots=True)
class Lowered(Generic[P]):
    """A plan, and the graphs of its segments under the names by which its steps call them."""

    plan: P
    segments: dict[str, onnx.ModelProto]


class Splitter(ABC, Generic[S]):
    """One graph, its values, and where to cut it."""

    def __init__(self, graph: Graph):
        self.name, self.model = graph.name, graph.model
        onnx_graph = graph.model.graph
        self.initializers = {tensor.name: tensor for tensor in onnx_graph.initializer}
        values = [*onnx_graph.value_info, *onnx_graph.input, *onnx_graph.output]
        self.values = {value.name: value for value in values}
        self.graph_inputs = [value.name for value in onnx_graph.input]
        self.graph_outputs = [value.name for value in onnx_graph.output]
        self.nodes = self.produce_constants(list(onnx_graph.node))
        self.producer = {name: node for node in self.nodes for name in node.output if name}
        self.cuts = [node for node in self.nodes if self.is_cut(node)]
        self.repeated = self.repeated_nodes()

    @abstractmethod
    def is_cut(self, node: onnx.NodeProto) -> bool:
        """Whether a native kernel runs this node."""

    @abstractmethod
    def tensor_inputs(self, node: onnx.NodeProto) -> range:
        """Which inputs of a cut node its step reads as tensors; the others name weights."""

    @abstractmethod
    def native_step(self, node: onnx.NodeProto) -> S:
        """The step that runs a cut node."""

    @abstractmethod
    def step_reads(self, step: S) -> list[str]:
        """Tensors that a native step needs from the steps before it or from the inputs."""

    def repeated_nodes(self) -> dict[str, onnx.NodeProto]:
        """Nodes by output that each segment computes for itself rather than reads."""
        return {}

    def produce_constants(self, nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """Let an Identity yield what a native step reads, where constants were folded that far."""
        produced: list[onnx.NodeProto] = []
        for node in nodes:
            cut = onnx.NodeProto()
            cut.CopyFrom(node)
            if self.is_cut(node):
                for index in self.tensor_inputs(node):
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

    def split(self) -> list[Segment | S]:
        """Segments and native steps in the order to run them."""
        native = [self.native_step(node) for node in self.cuts]
        stages = self.place(native)
        parts: list[Segment | S] = []
        for index, nodes in enumerate(stages):
            if nodes:
                parts.append(self.segment(index, nodes, stages[index + 1 :], native))
            if index < len(native):
                parts.append(native[index])
        return parts

    def place(self, native: list[S]) -> list[list[onnx.NodeProto]]:
        """Nodes of each segment; a node goes where its earliest consumer is."""
        last = len(self.cuts)
        cut_index = {id(node): index for index, node in enumerate(self.cuts)}
        needed: dict[str, int] = {name: last for name in self.graph_outputs}
        placed: list[list[onnx.NodeProto]] = [[] for _ in range(last + 1)]
        for node in reversed(self.nodes):
            if any(name in self.repeated for name in node.output):
                continue
            if id(node) in cut_index:
                stage = cut_index[id(node)]
                reads = self.step_reads(native[stage])
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
        index: int,
        nodes: list[onnx.NodeProto],
        later: list[list[onnx.NodeProto]],
        native: list[S],
    ) -> Segment:
        """The nodes of one segment as a model."""
        name = f"{self.name}.segment{index:02d}"
        nodes = [*self.repetitions(nodes), *nodes]
        made = [name for node in nodes for name in node.output if name]
        reads = dict.fromkeys(name for node in nodes for name in node_reads(node))
        used_later = {name for stage in later for node in stage for name in node_reads(node)}
        used_later |= {name for step in native for name in self.step_reads(step)}
        used_later |= set(self.graph_outputs)
        outputs = [name for name in made if name in used_later and name not in self.repeated]
        inputs = [n for n in reads if n not in made and n not in self.initializers]
        graph = helper.make_graph(
            nodes,
            name,
            [self.values[name] for name in inputs],
            [self.values[name] for name in outputs],
            [self.initializers[name] for name in reads if name in self.initializers],
        )
        opsets = [o for o in self.model.opset_import if o.domain != OPERATOR_DOMAIN]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=self.model.ir_version)
        return Segment(name, model, inputs, outputs)

    def repetitions(self, nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """The repeated nodes that these nodes need, in order."""
        wanted = {name for node in nodes for name in node_reads(node)}
        found = []
        for node in reversed(self.nodes):
            if any(name in self.repeated and name in wanted for name in node.output):
                found.append(node)
                wanted |= set(node_reads(node))
        return list(reversed(found))

    def spec(self, name: str) -> TensorSpec:
        """Type and shape of a tensor as a manifest states them."""
        tensor = self.values[name].type.tensor_type
        shape: list[Dim] = []
        for dim in tensor.shape.dim:
            if dim.dim_param and not SYMBOLIC_DIM.fullmatch(dim.dim_param):
                raise ValueError(f"{self.name}: {name} has the unknown dimension {dim.dim_param!r}")
            shape.append(dim.dim_param or dim.dim_value)
        return TensorSpec(name, DTYPES[tensor.elem_type], shape)  # pyright: ignore
