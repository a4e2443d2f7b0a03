"""How much memory a segment needs inside, estimated from the shapes of its tensors.

A runtime that runs node by node, as ONNX Runtime does, holds every tensor from the node that makes
it to the last that reads it.
"""

import math
from collections import Counter
from collections.abc import Mapping

import onnx

from geolrm.engine.bundle.plan import ITEMSIZE, ScratchBytes
from geolrm.export.shapes import VIEWS
from geolrm.export.splitting import DTYPES, node_reads

LARGE = {"views": 21, "anchors": 16384}  # where the fullest moment is looked for

# Bytes by the powers of views and of anchors that multiply them.
_Size = Counter[tuple[int, int]]


def scratch_bytes(
    model: onnx.ModelProto, values: Mapping[str, onnx.ValueInfoProto]
) -> ScratchBytes:
    """Of the moment with the most intermediates.

    Args:
        model: The segment; its inputs, outputs and weights lie elsewhere.
        values: Types and shapes by name; tensors without are small integers, and count nothing.
    """
    graph = model.graph
    elsewhere = {v.name for v in [*graph.input, *graph.output]} | {
        tensor.name for tensor in graph.initializer
    }
    owner: dict[str, str] = {}  # of a view
    lives: dict[str, tuple[int, int]] = {}
    for index, node in enumerate(graph.node):
        for name in node_reads(node):
            name = owner.get(name, name)
            if name in lives:
                lives[name] = lives[name][0], index
        for name in node.output:
            if node.op_type in VIEWS:
                owner[name] = owner.get(node.input[0], node.input[0])
            elif name and name not in elsewhere:
                lives[name] = index, index
    sizes = {name: _size(values[name]) for name in lives if name in values}
    fullest: _Size = Counter()
    for index in range(len(graph.node)):
        moment: _Size = Counter()
        for name, size in sizes.items():
            first, last = lives[name]
            if first <= index <= last:
                moment.update(size)
        fullest = max(fullest, moment, key=_at_large)
    return ScratchBytes(fullest[0, 0], fullest[1, 0], fullest[0, 1], fullest[1, 1])


def _size(value: onnx.ValueInfoProto) -> _Size:
    tensor = value.type.tensor_type
    kind: str = DTYPES.get(tensor.elem_type, "")  # pyright: ignore
    amount, powers = ITEMSIZE.get(kind, 1), [0, 0]
    for dim in tensor.shape.dim:
        *factors, symbol = dim.dim_param.split("*")
        amount *= math.prod(map(int, factors)) if symbol else dim.dim_value
        for axis, name in enumerate(LARGE):
            powers[axis] += symbol == name
    return Counter({(powers[0], powers[1]): amount})


def _at_large(size: _Size) -> int:
    views, anchors = LARGE.values()
    return sum(amount * views**v * anchors**n for (v, n), amount in size.items())
