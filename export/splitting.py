"""Split a traced graph at the nodes that native kernels run, into segments with steps between.

Each node is placed as late as its consumers allow, so that little passes between segments.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx
from msgspec.structs import replace
from onnx import helper

from geolrm.engine.bundle.plan import AnyStep, Dim, ScratchBytes, SegmentStep, Stage, Tensor
from geolrm.export.onnx_operator import DOMAIN as OPERATOR_DOMAIN
from geolrm.export.trace import Graph

DTYPES = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.BFLOAT16: "bfloat16",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.INT32: "int32",
}
SYMBOLIC_DIM = re.compile(r"(\d+\*)?(views|anchors)")

Files = Callable[[str], dict[str, str]]  # the name of a segment to its file of each target
Values = Mapping[str, onnx.ValueInfoProto]
Estimate = Callable[[onnx.ModelProto, Values], ScratchBytes]
Steps = Callable[["Splitter", onnx.NodeProto], list[AnyStep]]


@dataclass(frozen=True, slots=True)
class Cut:
    """How a kind of node is cut out of the graph."""

    tensor_inputs: range  # of the node's inputs those that its steps read; others name weights
    steps: Steps  # that run it


Cuts = Mapping[tuple[str, str], Cut]  # by domain and name of the node's operator


def attributes(node: onnx.NodeProto) -> dict:
    """Return the attribute values of a node by name."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def node_reads(node: onnx.NodeProto) -> list[str]:
    """Return the names that a node reads, without the empty ones of optional inputs."""
    return [name for name in node.input if name]


def with_opset(model: onnx.ModelProto, domain: str, version: int) -> onnx.ModelProto:
    """Return the model, importing one more operator set where it does not yet."""
    if all(entry.domain != domain for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(domain, version))
    return model


@dataclass(frozen=True, slots=True)
class Lowered:
    """A stage, and the graphs of its segments by their names."""

    stage: Stage
    segments: dict[str, onnx.ModelProto]


class Splitter:
    """One graph, its values, and where to cut it.

    Args:
        graph: A traced stage; left unchanged.
        cuts: What native kernels run.
        free: Nodes that a segment may compute for itself rather than read.
    """

    def __init__(self, graph: Graph, cuts: Cuts, free: Sequence[onnx.NodeProto] = ()):
        self.graph, self.name, self.model = graph, graph.name, graph.model
        onnx_graph = graph.model.graph
        self.initializers = {tensor.name: tensor for tensor in onnx_graph.initializer}
        values = [*onnx_graph.value_info, *onnx_graph.input, *onnx_graph.output]
        self.values = {value.name: value for value in values}
        self.graph_inputs = [value.name for value in onnx_graph.input]
        self.graph_outputs = [value.name for value in onnx_graph.output]
        self.added: dict[str, Tensor] = {}  # to the graph's values, by native steps
        self._cuts = cuts
        self.nodes = self._produce_constants(list(onnx_graph.node))
        self.producer = {name: node for node in self.nodes for name in node.output if name}
        self.cut_nodes = [node for node in self.nodes if self._cut(node)]
        kept = {name for node in self.cut_nodes for name in node.input} | set(self.graph_outputs)
        self.repeated = {name for node in free for name in node.output} - kept

    def tensor(self, name: str) -> Tensor:
        """Return a value of the graph, or what was added, as a tensor of the stage."""
        if name in self.added:
            return self.added[name]
        kind = self.values[name].type.tensor_type
        shape: list[Dim] = []
        for dim in kind.shape.dim:
            if dim.dim_param and not SYMBOLIC_DIM.fullmatch(dim.dim_param):
                raise ValueError(f"{self.name}: {name} has the unknown dimension {dim.dim_param!r}")
            shape.append(dim.dim_param or dim.dim_value)
        return Tensor(name, DTYPES[kind.elem_type], shape)  # pyright: ignore

    def add(self, tensor: Tensor) -> str:
        """Add a tensor that is no value of the graph, and return its name."""
        self.added[tensor.name] = tensor
        return tensor.name

    def split(self, files: Files, estimate: Estimate) -> Lowered:
        """Return the steps in the order to run them.

        Args:
            files: The name of a segment to its file of each target.
            estimate: The scratch memory of a segment, from its graph and the types of values.
        """
        native = [self._cuts[_kind(node)].steps(self, node) for node in self.cut_nodes]
        reads = [self._reads(steps) for steps in native]
        placed = self._place(reads)
        steps: list[AnyStep] = []
        segments: dict[str, onnx.ModelProto] = {}
        for index, nodes in enumerate(placed):
            if nodes:
                name = f"{self.name}.segment{index:02d}"
                needed = {name for later in reads for name in later} | set(self.graph_outputs)
                needed |= {n for later in placed[index + 1 :] for x in later for n in node_reads(x)}
                segments[name] = model = self._model(name, nodes, needed)
                steps.append(
                    SegmentStep(
                        name=name,
                        files=files(name),
                        reads=[value.name for value in model.graph.input],
                        writes=[value.name for value in model.graph.output],
                        scratch=estimate(model, self.values),
                    )
                )
            if index < len(native):
                steps += native[index]
        return Lowered(self.stage(steps), segments)

    def stage(self, steps: list[AnyStep]) -> Stage:
        """Return the stage that these steps are."""
        inputs = [replace(self.tensor(name), lifetime="input") for name in self.graph_inputs]
        written = [self.tensor(name) for step in steps for name in step.writes]
        outputs = set(self.graph_outputs)
        made = [replace(t, lifetime="output") if t.name in outputs else t for t in written]
        views = [tensor for tensor in self.added.values() if tensor.view_of is not None]
        role, features_for = self.graph.role, list(self.graph.features_for)
        return Stage(role, [*inputs, *made, *views], steps, features_for)

    def _cut(self, node: onnx.NodeProto) -> Cut | None:
        return self._cuts.get(_kind(node))

    def _reads(self, steps: list[AnyStep]) -> list[str]:
        """List what the steps of a cut node need from the steps before them, or from the inputs."""
        made = {name for step in steps for name in step.writes}
        names = [name for step in steps for name in step.reads if name not in made]
        return [self.tensor(name).view_of or name for name in names]

    def _produce_constants(self, nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """Let an Identity yield what a native step reads, where constants were folded that far."""
        produced: list[onnx.NodeProto] = []
        for node in nodes:
            copied = onnx.NodeProto()
            copied.CopyFrom(node)
            cut = self._cut(node)
            for index in cut.tensor_inputs if cut else ():
                name = node.input[index]
                if name not in self.initializers:
                    continue
                tensor, copied.input[index] = self.initializers[name], f"{name}.produced"
                if copied.input[index] not in self.values:
                    produced.append(helper.make_node("Identity", [name], [copied.input[index]]))
                    self.values[copied.input[index]] = helper.make_tensor_value_info(
                        copied.input[index], tensor.data_type, list(tensor.dims)
                    )
            produced.append(copied)
        return produced

    def _place(self, reads: list[list[str]]) -> list[list[onnx.NodeProto]]:
        """Nodes of each segment; a node goes where its earliest consumer is."""
        last = len(self.cut_nodes)
        cut_index = {id(node): index for index, node in enumerate(self.cut_nodes)}
        needed: dict[str, int] = {name: last for name in self.graph_outputs}
        placed: list[list[onnx.NodeProto]] = [[] for _ in range(last + 1)]
        for node in reversed(self.nodes):
            if any(name in self.repeated for name in node.output):
                continue
            if id(node) in cut_index:
                index = cut_index[id(node)]
                names = reads[index]
            else:
                indices = [needed[name] for name in node.output if name in needed]
                if not indices:
                    continue  # only fed what a native step replaced
                index = min(indices)
                placed[index].append(node)
                names = node_reads(node)
            for name in names:
                needed[name] = min(needed.get(name, last), index)
        return [list(reversed(nodes)) for nodes in placed]

    def _model(self, name: str, nodes: list[onnx.NodeProto], needed: set[str]) -> onnx.ModelProto:
        """Make a model of the nodes of one segment, which yields what is needed of it."""
        nodes = [*self._repetitions(nodes), *nodes]
        made = [name for node in nodes for name in node.output if name]
        reads = dict.fromkeys(name for node in nodes for name in node_reads(node))
        outputs = [name for name in made if name in needed and name not in self.repeated]
        inputs = [n for n in reads if n not in made and n not in self.initializers]
        graph = helper.make_graph(
            nodes,
            name,
            [self.values[name] for name in inputs],
            [self.values[name] for name in outputs],
            [self.initializers[name] for name in reads if name in self.initializers],
        )
        opsets = [o for o in self.model.opset_import if o.domain != OPERATOR_DOMAIN]
        return helper.make_model(graph, opset_imports=opsets, ir_version=self.model.ir_version)

    def _repetitions(self, nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """List the repeated nodes that these nodes need, in order."""
        wanted = {name for node in nodes for name in node_reads(node)}
        found = []
        for node in reversed(self.nodes):
            if any(name in self.repeated and name in wanted for name in node.output):
                found.append(node)
                wanted |= set(node_reads(node))
        return list(reversed(found))


def _kind(node: onnx.NodeProto) -> tuple[str, str]:
    return node.domain, node.op_type
