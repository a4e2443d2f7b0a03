"""Let anchors be padded: attention leaves out what stands behind a number of them.

A replay of captured work, and what TensorRT for RTX compiles, are for one number of anchors. With
a mask the engine rounds that number up to one of few. Nothing but self-attention makes an anchor
depend on the others.
"""

from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from geolrm.engine.bundle.plan import ANCHOR_COUNT
from geolrm.export.lowering import is_attention
from geolrm.export.native_steps import ANCHORS
from geolrm.export.trace import Graph

MASK = "padding_mask"
HIDDEN = -60000.0  # added to a score; within float16, and far below what exp tells from 0


def mask_padding(graph: Graph) -> Graph:
    """Copy a typed graph whose attention among anchors sees the first ``anchor_count`` alone.

    Graphs without such attention are returned as they are. The mask, [1, 1, 1, N] in the type of
    attention, is made once for all layers.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    proto = model.graph
    values = {v.name: v for v in [*proto.value_info, *proto.input, *proto.output]}
    nodes = [n for n in proto.node if is_attention(n) and _is_among_anchors(values, n.input[0])]
    if not nodes:
        return graph
    kinds = {values[node.input[0]].type.tensor_type.elem_type for node in nodes}
    assert len(kinds) == 1, "attention runs in one type"
    (kind,) = kinds
    for node in nodes:
        node.input.append(MASK)
    made = _mask(kind)
    kept = list(proto.node)
    del proto.node[:]
    proto.node.extend([*made, *kept])
    proto.initializer.extend(_constants(kind))
    proto.input.append(helper.make_tensor_value_info(ANCHOR_COUNT, TensorProto.INT32, [1]))
    proto.value_info.append(helper.make_tensor_value_info(MASK, kind, [1, 1, 1, ANCHORS]))
    return replace(graph, model=model)


def _is_among_anchors(values: dict[str, onnx.ValueInfoProto], query: str) -> bool:
    if query not in values:  # a constant, of a grid
        return False
    return any(dim.dim_param == ANCHORS for dim in values[query].type.tensor_type.shape.dim)


def _mask(kind: int) -> list[onnx.NodeProto]:
    """Return the nodes from the number to the mask: 0 before it, and ``HIDDEN`` behind."""
    at = f"{MASK}."
    return [
        helper.make_node("Shape", [ANCHORS], [f"{at}shape"], start=0, end=1),
        helper.make_node("Squeeze", [f"{at}shape", f"{at}axis0"], [f"{at}size"]),
        helper.make_node("Range", [f"{at}zero", f"{at}size", f"{at}one"], [f"{at}places"]),
        helper.make_node("Cast", [ANCHOR_COUNT], [f"{at}count"], to=TensorProto.INT64),
        helper.make_node("Less", [f"{at}places", f"{at}count"], [f"{at}real"]),
        helper.make_node("Where", [f"{at}real", f"{at}shown", f"{at}hidden"], [f"{at}row"]),
        helper.make_node("Unsqueeze", [f"{at}row", f"{at}axes"], [MASK]),
    ]


def _constants(kind: int) -> list[onnx.TensorProto]:
    whole = {"axis0": [0], "axes": [0, 1, 2]}
    made = [
        numpy_helper.from_array(np.array(value, np.int64), f"{MASK}.{name}")
        for name, value in {**whole, "zero": 0, "one": 1}.items()
    ]
    for name, value in (("shown", 0.0), ("hidden", HIDDEN)):
        made.append(helper.make_tensor(f"{MASK}.{name}", kind, [], [value]))
    return made
