"""Set the precision of a traced graph: strongly typed, with casts where the types meet.

Multiplications by weight matrices, convolutions and attention run in half precision, and so do the
element-wise steps between two of them. Everything else stays float32: norms, softmax outside
attention, projection, the offsets and points that are sampled, the residual streams and the
decoder heads.
"""

from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from geolrm.export.backend_choice import Precision
from geolrm.export.lowering import is_attention
from geolrm.export.onnx_operator import OPERATOR
from geolrm.export.trace import Graph
from geolrm.export.weights import is_stored_half

FLOAT = TensorProto.FLOAT
HALVES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
SUFFIXES: dict[int, str] = {
    FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
}

# Layers whose weights are multiplied in float32: decoder heads, and what places samples.
EXACT_LAYERS = (
    ".sampling_offsets.",
    ".upsample.",
    ".renderer.",
    ".refinement.head.",
    ".refinement.final_head.",
    ".read_volume.",
    ".pixel_colors.",
)
# What may stay in half precision between two half-precision layers.
FOLLOWERS = frozenset((
    "Add", "Concat", "Flatten", "Gather", "Gelu", "Identity", "MatMul", "Mul", "Reshape", "Sigmoid",
    "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze",
))  # fmt: skip
WEIGHTED = frozenset(["Gemm", "MatMul", "Conv", "ConvTranspose"])
SHARED_INPUTS = ("features",)  # of a stage, in half precision between the stages


@dataclass(frozen=True, slots=True)
class Policy:
    """The half precision of a graph, and the operators that a backend cannot run in it."""

    half: int  # an element type of TensorProto
    float32_only: frozenset[str] = frozenset()  # operators


# Without a kernel in bfloat16: ONNX Runtime's CUDA provider, and TensorRT's compiler.
NO_BFLOAT16 = {
    "cuda": frozenset(["Conv", "ConvTranspose", "Gelu"]),
    "tensorrt": frozenset(["ConvTranspose"]),
    "tensorrt-rtx": frozenset(["ConvTranspose"]),
}


def policy_of(precision: Precision, backend: str) -> Policy | None:
    """Return the policy of a precision; None where everything stays float32."""
    if precision == "fp32":
        return None
    missing = NO_BFLOAT16.get(backend, frozenset()) if precision == "bf16" else frozenset()
    return Policy(HALVES[precision], missing)


def stored_half(graph: Graph, parameters: set[str]) -> set[str]:
    """Name the initializers that a bundle of half precision stores as float16."""
    return {
        tensor.name
        for tensor in graph.model.graph.initializer
        if tensor.name in parameters
        and tensor.data_type == FLOAT
        and is_stored_half(tuple(tensor.dims))
    }


def set_precision(
    graph: Graph, policy: Policy | None, parameters: set[str], stored_half: set[str]
) -> Graph:
    """Copy a graph into the given precision, without the portable function.

    Args:
        graph: As traced, in float32 throughout.
        policy: None keeps float32 arithmetic.
        parameters: Names of the model's weights among the initializers.
        stored_half: Those of them that the bundle stores as float16; they are cast where used
            otherwise.
    """
    return _Typing(graph, policy, parameters, stored_half).rewrite()


class _Typing:
    def __init__(
        self, graph: Graph, policy: Policy | None, parameters: set[str], stored_half: set[str]
    ):
        self.graph, self.policy, self.parameters = graph, policy, parameters
        self.model = onnx.ModelProto()
        self.model.CopyFrom(graph.model)
        del self.model.functions[:]
        self.stored_half = stored_half
        proto = self.model.graph
        self.infos = {v.name: v for v in [*proto.value_info, *proto.input, *proto.output]}
        self.floats = {t.name: t for t in proto.initializer if t.data_type == FLOAT}
        self.kinds: dict[str, int] = {}  # element type now, of float tensors that nodes yield
        self.nodes: list[onnx.NodeProto] = []
        self.casts: set[str] = set()

    def rewrite(self) -> Graph:
        proto = self.model.graph
        for tensor in self.floats.values():
            if tensor.name in self.stored_half:
                half = numpy_helper.to_array(tensor).astype(np.float16)
                tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
        for value in proto.input:
            if self.elem_type(value.name) == FLOAT:
                shared = self.policy is not None and value.name in SHARED_INPUTS
                self.set_kind(value.name, self.policy.half if self.policy and shared else FLOAT)
        outputs = {value.name for value in proto.output}
        for node in list(proto.node):
            self.retype(node, outputs)
        del proto.node[:]
        proto.node.extend(self.nodes)
        return replace(self.graph, model=self.model)

    def retype(self, node: onnx.NodeProto, graph_outputs: set[str]) -> None:
        """Append a node with its inputs and outputs in the types it is to have."""
        typed = onnx.NodeProto()
        typed.CopyFrom(node)
        kind = self.compute_type(node)
        made = kind
        wanted = [kind] * len(node.input)
        if node.op_type == OPERATOR and self.policy:
            made = self.policy.half
            wanted = [made, *[FLOAT] * 6]
        for index, name in enumerate(node.input):
            if name in self.floats or name in self.kinds:
                typed.input[index] = self.cast(name, wanted[index])
        self.nodes.append(typed)
        for index, name in enumerate(node.output):
            if not name or self.elem_type(name) != FLOAT:
                continue
            final = FLOAT
            if self.policy and name in SHARED_INPUTS:
                final = self.policy.half
            if name in graph_outputs and made != final:
                inner = f"{name}.{SUFFIXES[made]}"
                typed.output[index] = inner
                self.declare(inner, name, made)
                self.nodes.append(helper.make_node("Cast", [inner], [name], to=final))
                self.kinds[inner] = made
                self.set_kind(name, final)
            else:
                self.set_kind(name, made)

    def compute_type(self, node: onnx.NodeProto) -> int:
        """Choose the float type that a node computes in."""
        if self.policy is None or node.op_type == OPERATOR:
            return FLOAT
        half = self.policy.half
        if node.op_type == "Cast":
            return FLOAT
        if is_attention(node):
            return half
        if node.op_type in self.policy.float32_only:
            return FLOAT
        layers = [name for name in node.input if name in self.parameters]
        if node.op_type in WEIGHTED and layers:
            exact = any(name in f".{layer}" for layer in layers for name in EXACT_LAYERS)
            return FLOAT if exact else half
        variable = [self.kinds[name] for name in node.input if name in self.kinds]
        follows = node.op_type in FOLLOWERS and variable and all(k == half for k in variable)
        return half if follows else FLOAT

    def cast(self, name: str, wanted: int) -> str:
        """Return the name of a tensor in a type; add the cast to it where there is none."""
        if name in self.kinds:
            kind = self.kinds[name]
        else:
            kind = TensorProto.FLOAT16 if name in self.stored_half else FLOAT
        if kind == wanted:
            return name
        other = f"{name}.{SUFFIXES[wanted]}"
        if other not in self.casts:
            self.casts.add(other)
            self.nodes.append(helper.make_node("Cast", [name], [other], to=wanted))
            self.declare(other, name, wanted)
        return other

    def elem_type(self, name: str) -> int:
        if name not in self.infos:
            raise ValueError(
                f"{self.graph.name}: the traced graph does not state the type of {name!r}"
            )
        return self.infos[name].type.tensor_type.elem_type

    def set_kind(self, name: str, kind: int) -> None:
        self.kinds[name] = kind
        self.infos[name].type.tensor_type.elem_type = kind

    def declare(self, name: str, like: str, kind: int) -> None:
        """State type and shape of a new tensor."""
        if like in self.floats:
            info = helper.make_tensor_value_info(name, kind, list(self.floats[like].dims))
        else:
            info = onnx.ValueInfoProto()
            info.CopyFrom(self.infos[like])
            info.name = name
            info.type.tensor_type.elem_type = kind
        self.model.graph.value_info.append(info)
        self.infos[name] = info
