"""Let every shape in a graph be computed from the graph's own inputs.

A segment can then compute the shapes it needs by itself, and no shape passes between segments.
"""

import math
from dataclasses import replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from geolrm.engine.bundle.plan import split_dim
from geolrm.export.splitting import attributes
from geolrm.export.trace import Graph

# Cheap operators through which shapes and constants flow.
TRIVIAL = frozenset((
    "Add", "Cast", "Concat", "ConstantOfShape", "Div", "Expand", "Gather", "Identity", "Mul",
    "Reshape", "Shape", "Slice", "Squeeze", "Sub", "Unsqueeze",
))  # fmt: skip
VIEWS = frozenset(["Identity", "Reshape", "Squeeze", "Unsqueeze"])


def derive_shapes_from_inputs(graph: Graph) -> Graph:
    """Copy a graph so that its Shape nodes read graph inputs alone."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    proto = model.graph
    shapes = {v.name: _dims(v) for v in [*proto.value_info, *proto.input, *proto.output]}
    sources: dict[str, tuple[str, int]] = {}
    for value in sorted(proto.input, key=lambda value: _size(shapes[value.name])):
        for axis, dim in enumerate(shapes[value.name]):
            if isinstance(dim, str):
                sources.setdefault(dim, (value.name, axis))
    nodes: list[onnx.NodeProto] = []
    for node in proto.node:
        if node.op_type != "Shape" or node.input[0] not in shapes:
            nodes.append(node)
            continue
        attribute = attributes(node)
        dims = shapes[node.input[0]][attribute.get("start", 0) : attribute.get("end", None)]
        sides = []
        for index, dim in enumerate(dims):
            side = f"{node.output[0]}.dim{index}"
            sides.append(side)
            if isinstance(dim, int):
                _constant(proto, side, dim)
                continue
            factor, symbol = split_dim(dim)
            source, axis = sources[symbol]
            name = side if factor == 1 else f"{side}.{symbol}"
            read = helper.make_node("Shape", [source], [name], start=axis, end=axis + 1)
            nodes.append(read)
            if factor != 1:
                _constant(proto, f"{side}.factor", factor)
                nodes.append(helper.make_node("Mul", [name, f"{side}.factor"], [side]))
        nodes.append(helper.make_node("Concat", sides, [node.output[0]], axis=0))
    del proto.node[:]
    proto.node.extend(nodes)
    return replace(graph, model=model)


def free_nodes(graph: Graph) -> list[onnx.NodeProto]:
    """List the nodes that cost a segment nothing to repeat.

    They depend on constants and on the sizes of inputs, never on their content; or they only view
    an input in another shape.
    """
    known = {tensor.name for tensor in graph.model.graph.initializer}
    viewed = {value.name for value in graph.model.graph.input}
    found = []
    for node in graph.model.graph.node:
        reads = {name for name in node.input if name}
        if node.op_type == "Shape" or (node.op_type in TRIVIAL and reads <= known):
            known |= set(node.output)
        elif node.op_type in VIEWS and reads <= known | viewed:
            viewed |= set(node.output)
        else:
            continue
        found.append(node)
    return found


def _dims(value: onnx.ValueInfoProto) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _size(dims: list[int | str]) -> int:
    """Elements for one view or anchor: shapes are read from small tensors."""
    return math.prod(dim for dim in dims if isinstance(dim, int))


def _constant(proto: onnx.GraphProto, name: str, value: int) -> None:
    proto.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
