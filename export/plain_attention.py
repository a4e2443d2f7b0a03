"""Self-attention of matrix products and a softmax, for a builder that refuses the fused node."""

from typing import Any

import onnx
from onnx import helper

from geolrm.export.lowering import is_attention
from geolrm.export.splitting import attributes


def has_attention(model: onnx.ModelProto) -> bool:
    """Return whether a node of the graph is ONNX's Attention."""
    return any(is_attention(node) for node in model.graph.node)


def decompose_attention(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph with each Attention as plain nodes, which store the score of every pair.

    For the nodes that the export makes: query, key and value [B, N, h*e] of as many heads, perhaps
    with a mask that is added to the scores, without a cache.
    """
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    nodes: list[onnx.NodeProto] = []
    for index, node in enumerate(plain.graph.node):
        nodes += _plain_nodes(node, f"plain_attention_{index}") if is_attention(node) else [node]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del plain.graph.node[:]
    plain.graph.node.extend(kept)
    return plain


def _plain_nodes(node: onnx.NodeProto, prefix: str) -> list[onnx.NodeProto]:
    given = attributes(node)
    heads = given["q_num_heads"]
    if given["kv_num_heads"] != heads or any(node.input[4:]) or given.get("is_causal"):
        raise ValueError(f"{node.name} is attention that the export does not make")
    nodes: list[onnx.NodeProto] = []

    def add(kind: str, *inputs: str, output: str = "", **fields: Any) -> str:
        output = output or f"{prefix}_{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **fields))
        return output

    split = add("Constant", value_ints=[0, 0, heads, -1])
    merged = add("Constant", value_ints=[0, 0, -1])
    by_head = [add("Reshape", name, split) for name in node.input[:3]]
    query, value = (add("Transpose", by_head[i], perm=[0, 2, 1, 3]) for i in (0, 2))
    key = add("Transpose", by_head[1], perm=[0, 2, 3, 1])
    if "scale" in given:
        scale = add("Constant", value_float=given["scale"])
    else:  # one over the root of e
        width = add("Cast", add("Shape", query, start=3), to=onnx.TensorProto.FLOAT)
        scale = add("Reciprocal", add("Sqrt", width))
    scaled = add("Mul", query, add("CastLike", scale, query))
    products = add("MatMul", scaled, key)
    if len(node.input) > 3 and node.input[3]:
        products = add("Add", products, node.input[3])
    scores = add("Softmax", products, axis=-1)
    mixed = add("Transpose", add("MatMul", scores, value), perm=[0, 2, 1, 3])
    add("Reshape", mixed, merged, output=node.output[0])
    return nodes
