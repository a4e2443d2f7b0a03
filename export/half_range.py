"""Keep the feed-forward layers of a float16 export within float16, on real features.

SwiGLU multiplies two products of a layer with each other, so its values are the largest that half
precision holds. Where they come near its end, the weights of one factor are divided by a power of
two, and what the layer adds to the float32 residual stream is multiplied by it again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from geolrm.engine.anchors import select_anchors
from geolrm.engine.errors import VerificationError
from geolrm.engine.views.preprocessing import Views
from geolrm.export.model import GeoLRM
from geolrm.export.model.geometry import projection_matrices
from geolrm.export.model.transformer import FeedForward
from geolrm.export.trace import Graph

LARGEST = 65504.0  # of float16
MARGIN = 4.0  # other views may bring larger values than those looked at
MAX_HALVINGS = 8  # beyond it small weights would lose more digits than float16 rounds off
MAX_ANCHORS = 1024
FACTOR, OUTPUT = "w3", "w2"  # of which one is divided, and what its layer adds
MAGNITUDES = ("gate", "factor", "product", "result")


@dataclass(frozen=True, slots=True)
class LayerRange:
    """The largest magnitudes that one SwiGLU layer reached, and what it is divided by for them."""

    layer: str
    gate: float  # w1 x
    factor: float  # w3 x
    product: float  # silu(w1 x) * w3 x
    result: float  # w2 of the product
    divided_by: int  # a power of two


def measure(model: GeoLRM, views: Views) -> list[LayerRange]:
    """Run the model in torch on real views, and choose the divisor of each layer.

    Args:
        model: In float32, with its weights.
        views: Prepared for it.

    Raises:
        VerificationError: A layer's values do not fit float16, divided or not; it names the layer.
    """
    layers = {name: part for name, part in model.named_modules() if isinstance(part, FeedForward)}
    peaks: dict[str, dict[str, float]] = {name: dict.fromkeys(MAGNITUDES, 0.0) for name in layers}
    hooks = [hook for name, layer in layers.items() for hook in _watch(layer, peaks[name])]
    try:
        _run(model, views)
    finally:
        for hook in hooks:
            hook.remove()
    return [LayerRange(name, **found, divided_by=_divisor(name, **found))
            for name, found in peaks.items()]  # fmt: skip


def divisors(ranges: Sequence[LayerRange]) -> dict[str, int]:
    """Return what layers are divided by, by their names: those alone that need it."""
    return {one.layer: one.divided_by for one in ranges if one.divided_by != 1}


def report(ranges: Sequence[LayerRange]) -> dict:
    """Return what ``verify.json`` holds of the ranges: every layer, and a note for each divided."""
    return {
        "largest": LARGEST,
        "margin": MARGIN,
        "layers": [asdict(one) for one in ranges],
        "notes": [
            f"{one.layer} reaches {max(one.factor, one.product, one.result):.0f}, and float16 "
            f"holds {LARGEST:.0f}: it is computed divided by {one.divided_by}"
            for one in ranges
            if one.divided_by != 1
        ],
    }


def divide(graph: Graph, by: Mapping[str, int]) -> Graph:
    """Copy a typed graph in which the given layers are computed divided by powers of two.

    The weights stay as they are stored: their division is a node that a runtime folds when it
    loads the graph, in float32, for which all of them have a kernel on the host.

    Args:
        graph: In float16, as :func:`geolrm.export.precision.set_precision` makes it.
        by: Divisors by the names of layers; of other stages as well.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    division = _Division(graph.name, model.graph)
    for layer, divisor in by.items():
        division.divide(layer, divisor)
    return replace(graph, model=model)


class _Division:
    def __init__(self, name: str, proto: onnx.GraphProto):
        self.name, self.proto = name, proto
        values = [*proto.value_info, *proto.input, *proto.output]
        self.values = {value.name: value for value in values}
        self.stored = {tensor.name: tensor for tensor in proto.initializer}

    def divide(self, layer: str, divisor: int) -> None:
        """Divide one layer, where this is its stage."""
        weight = f"{layer}.{FACTOR}.weight"
        if weight not in self.stored:
            return
        self._divide_weight(self._product_with(weight), weight, divisor)
        self._multiply_result(self._product_with(f"{layer}.{OUTPUT}.weight"), layer, divisor)

    def _divide_weight(self, product: onnx.NodeProto, weight: str, divisor: int) -> None:
        kind = self.values[product.output[0]].type.tensor_type.elem_type
        dims = list(self.stored[weight].dims)
        nodes, full = [], weight
        if self.stored[weight].data_type != TensorProto.FLOAT:
            full = self._declare(f"{weight}.full", TensorProto.FLOAT, dims)
            nodes.append(helper.make_node("Cast", [weight], [full], to=TensorProto.FLOAT))
        divided = self._declare(f"{weight}.divided", TensorProto.FLOAT, dims)
        typed = self._declare(f"{divided}.typed", kind, dims)
        nodes += [
            helper.make_node("Mul", [full, self._constant(1 / divisor)], [divided]),
            helper.make_node("Cast", [divided], [typed], to=kind),
        ]
        product.input[1] = typed
        self._insert(product, nodes)

    def _multiply_result(self, product: onnx.NodeProto, layer: str, divisor: int) -> None:
        readers = [node for node in self.proto.node if product.output[0] in node.input]
        if [node.op_type for node in readers] != ["Cast"]:
            kinds = ", ".join(node.op_type for node in readers)
            raise ValueError(f"{self.name}: {layer} is read by {kinds}; expected one Cast")
        (cast,) = readers
        result = cast.output[0]
        small = f"{result}.divided"
        info = onnx.ValueInfoProto()
        info.CopyFrom(self.values[result])
        info.name = small
        self.values[small] = self.proto.value_info.add()
        self.values[small].CopyFrom(info)
        cast.output[0] = small
        self._insert(cast, [
            helper.make_node("Mul", [small, self._constant(divisor)], [result])
        ], after=1)  # fmt: skip

    def _product_with(self, weight: str) -> onnx.NodeProto:
        names = {weight}
        for node in self.proto.node:
            if node.op_type == "Cast" and node.input[0] == weight:
                names.add(node.output[0])
        (product,) = [n for n in self.proto.node
                      if n.op_type == "Gemm" and n.input[1] in names]  # fmt: skip
        return product

    def _insert(self, node: onnx.NodeProto, nodes: list[onnx.NodeProto], after: int = 0) -> None:
        place = next(i for i, one in enumerate(self.proto.node) if one is node) + after
        for offset, one in enumerate(nodes):
            self.proto.node.insert(place + offset, one)

    def _constant(self, value: float) -> str:
        name = f"{self.name}.times_{value:g}"
        if name not in self.stored:
            tensor = numpy_helper.from_array(np.array(value, np.float32), name)
            self.proto.initializer.append(tensor)
            self.stored[name] = tensor
        return name

    def _declare(self, name: str, kind: int, dims: list[int]) -> str:
        self.values[name] = self.proto.value_info.add()
        self.values[name].CopyFrom(helper.make_tensor_value_info(name, kind, dims))
        return name


def _watch(layer: FeedForward, peaks: dict[str, float]) -> list:
    """Note the largest magnitudes in a layer; return the hooks."""

    def note(name: str, values: torch.Tensor) -> None:
        largest = float(values.abs().amax()) if values.numel() else 0.0
        peaks[name] = math.nan if math.isnan(largest) else max(peaks[name], largest)

    def output_of(name: str):
        return lambda part, given, made: note(name, made)

    def both(part: nn.Module, given: tuple[torch.Tensor], made: torch.Tensor) -> None:
        note("product", given[0])
        note("result", made)

    parts = ((layer.w1, output_of("gate")), (layer.w3, output_of("factor")), (layer.w2, both))
    return [part.register_forward_hook(hook) for part, hook in parts]


def _run(model: GeoLRM, views: Views) -> None:
    """Propose and reconstruct, at some of the anchors that are proposed, or of all where none."""
    arrays = (views.images, views.c2w, views.intrinsics, views.foreground)
    images, c2w, intrinsics, foreground = map(torch.from_numpy, arrays)
    with torch.inference_mode():
        projection = projection_matrices(intrinsics, c2w)
        for_proposal, features = model.encode(images, c2w, intrinsics)
        logits, volume, _ = model.propose(for_proposal, projection, foreground)
        anchors = select_anchors(logits.numpy(), MAX_ANCHORS).positions
        if len(anchors) == 0:
            anchors = select_anchors(np.ones_like(logits.numpy()), MAX_ANCHORS).positions
        model.reconstruct(features, projection, torch.from_numpy(anchors), foreground, volume)


def _divisor(layer: str, gate: float, factor: float, product: float, result: float) -> int:
    """Return the smallest power of two that leaves the margin."""
    room = LARGEST / MARGIN
    largest = max(factor, product, result)
    finite = all(map(math.isfinite, (gate, factor, product, result)))
    halvings = max(0, math.ceil(math.log2(max(largest, 1) / room))) if finite else 0
    if not finite or gate > room or halvings > MAX_HALVINGS:
        found = math.inf if not finite else gate if gate > room else largest
        raise VerificationError(
            f"{layer} reaches {found:.3g} on the bundled capture, too near to the end of float16 "
            f"({LARGEST:.0f}) to be scaled; export with --bf16"
        )
    return 1 << halvings
