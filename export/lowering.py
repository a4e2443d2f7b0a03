"""Lower a traced stage for a backend: split it at the nodes that native kernels run, or leave it.

A stage becomes steps: segments, which are graphs or TensorRT engines, with native steps between.
"""

from dataclasses import replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from geolrm.engine.backends.cuda.spatial_order import grid_order
from geolrm.engine.bundle.plan import ANCHOR_COUNT, CPU, QueryOrderStep, SegmentStep, Tensor
from geolrm.export.native_steps import ANCHORS, QUERY_ORDER, cpu_cuts, gpu_cuts, grid_sample_mode
from geolrm.export.onnx_operator import DOMAIN as OPERATOR_DOMAIN
from geolrm.export.onnx_operator import DOMAIN_VERSION, OPERATOR
from geolrm.export.scratch import scratch_bytes
from geolrm.export.shapes import derive_shapes_from_inputs, free_nodes
from geolrm.export.splitting import Files, Lowered, Splitter, attributes, with_opset
from geolrm.export.trace import Graph

MICROSOFT_DOMAIN = "com.microsoft"
PLUGIN_VERSION = "1"  # of every quick-deployable plugin


def is_attention(node: onnx.NodeProto) -> bool:
    """Return whether this is ONNX's own self-attention."""
    return node.op_type == "Attention" and node.domain == ""


def is_grid_sample(node: onnx.NodeProto) -> bool:
    """Return whether this is ONNX's own grid sampling."""
    return node.op_type == "GridSample" and node.domain == ""


def lower_for_cpu(graph: Graph, *, half: bool) -> Lowered:
    """Split a transformer at its attention nodes; an encoder stays whole.

    ``half`` keeps projected values as float16.
    """
    if graph.role == "encoder":
        graph = replace(graph, model=lower_attention(graph.model))
    return Splitter(graph, cpu_cuts(half=half)).split(
        lambda name: {CPU: f"{name}.onnx"}, scratch_bytes
    )


def lower_split(graph: Graph, files: Files) -> Lowered:
    """Cut out every node that a CUDA kernel of ours runs."""
    graph = derive_shapes_from_inputs(graph)
    return Splitter(graph, gpu_cuts(), free_nodes(graph)).split(files, scratch_bytes)


def lower_whole(graph: Graph, files: Files) -> Lowered:
    """Leave a stage one segment, whose custom nodes are left for TensorRT plugins.

    Cross-attention reads the order of its queries too: that of anchors is made before the segment.
    """
    splitter = Splitter(graph, {})
    model = name_plugins(graph.model)
    steps, reads = [], [*splitter.graph_inputs]
    for node in model.graph.node:
        if node.op_type != OPERATOR:
            continue
        queries = splitter.tensor(node.output[0]).shape[0]
        if queries != ANCHORS:
            node.input.append(_grid_order(model, int(queries)))
            continue
        node.input.append(QUERY_ORDER)
        if QUERY_ORDER not in reads:
            order = splitter.add(Tensor(QUERY_ORDER, "int32", [ANCHORS]))
            steps.append(QueryOrderStep(reads=[ANCHORS], writes=[order]))
            reads.append(order)
            kind = onnx.TensorProto.INT32
            model.graph.input.append(helper.make_tensor_value_info(order, kind, [ANCHORS]))
    steps.append(
        SegmentStep(
            name=graph.name, files=files(graph.name), reads=reads, writes=splitter.graph_outputs
        )
    )
    return Lowered(splitter.stage(steps), {graph.name: model})


def _grid_order(model: onnx.ModelProto, queries: int) -> str:
    """Give a graph the order of the voxels of a grid, once; return its name."""
    name = f"{QUERY_ORDER}_{queries}"
    if all(tensor.name != name for tensor in model.graph.initializer):
        order = grid_order(queries)
        order = np.arange(queries, dtype=np.int32) if order is None else order
        model.graph.initializer.append(numpy_helper.from_array(order, name))
    return name


def lower_attention(model: onnx.ModelProto) -> onnx.ModelProto:
    """Turn Attention into com.microsoft MultiHeadAttention, which never holds the score matrix."""
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    for node in lowered.graph.node:
        if is_attention(node):
            heads = attributes(node)["q_num_heads"]
            del node.attribute[:]
            del node.output[1:]
            if len(node.input) > 3:  # a mask of padded anchors, which here is their number
                node.input[3:] = ["", ANCHOR_COUNT]
            node.op_type, node.domain = "MultiHeadAttention", MICROSOFT_DOMAIN
            node.attribute.append(helper.make_attribute("num_heads", heads))
            with_opset(lowered, MICROSOFT_DOMAIN, 1)
    return lowered


def name_plugins(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose custom nodes, GridSample among them, carry what names a plugin.

    ``aot`` asks for the kernel that is compiled into the engine. TensorRT hands the attributes to a
    plugin by place: here and there they are in alphabetical order.
    """
    named = onnx.ModelProto()
    named.CopyFrom(model)
    for node in named.graph.node:
        if is_grid_sample(node):
            padding, align = grid_sample_mode(node)
            del node.attribute[:]
            node.domain = OPERATOR_DOMAIN
            fields = {"border": int(padding == "border"), "align_corners": int(align)}
            node.attribute.extend(helper.make_attribute(k, v) for k, v in fields.items())
            with_opset(named, OPERATOR_DOMAIN, DOMAIN_VERSION)
        elif node.op_type != OPERATOR:
            continue
        fields = {"plugin_namespace": OPERATOR_DOMAIN, "plugin_version": PLUGIN_VERSION, "aot": 1}
        node.attribute.extend(helper.make_attribute(k, v) for k, v in fields.items())
        node.attribute.sort(key=lambda attribute: attribute.name)
    return named
