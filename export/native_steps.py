"""What each backend's native kernels run of a graph, and as which steps.

On the CPU that is self-attention and deformable cross-attention, whose values are projected by a
kernel of its own. On GPUs the value projection stays in the segments, self-attention as well but
where ONNX Runtime would pad its heads, and every GridSample is cut out: TensorRT is reported to
miscompile it.
"""

import onnx

from geolrm.engine.bundle.plan import (
    AnyStep,
    DeformableCrossAttentionStep,
    GridSampleStep,
    QueryOrderStep,
    SelfAttentionStep,
    Tensor,
    ValueProjectionStep,
)
from geolrm.export.onnx_operator import DOMAIN, OPERATOR, SELF_ATTENTION
from geolrm.export.shapes import VIEWS
from geolrm.export.splitting import Cut, Cuts, Splitter, attributes

ANCHORS = "anchors"  # the stage's input, and how many of them there are
QUERY_ORDER = "query_order"


def grid_sample_mode(node: onnx.NodeProto) -> tuple[str, bool]:
    """Return padding mode and align_corners of a GridSample that the CUDA kernel can run."""
    attribute = attributes(node)
    mode = attribute.get("mode", b"linear").decode()
    padding = attribute.get("padding_mode", b"zeros").decode()
    if mode != "linear" or padding not in ("zeros", "border"):
        raise ValueError(
            f"{node.name or 'a node'}: GridSample has mode {mode!r} and padding {padding!r}; the "
            "CUDA kernel knows mode 'linear' with 'zeros' or 'border'"
        )
    return padding, bool(attribute.get("align_corners", 0))


def cpu_cuts(*, half: bool) -> Cuts:
    """Return what the CPU's kernels run; ``half`` keeps projected values as float16."""
    values = "float16" if half else "float32"

    def cross_attention(splitter: Splitter, node: onnx.NodeProto) -> list[AnyStep]:
        return _cpu_cross_attention(splitter, node, values)

    return {
        ("", "Attention"): Cut(range(3), _self_attention),
        (DOMAIN, OPERATOR): Cut(range(2, 5), cross_attention),
    }


def gpu_cuts() -> Cuts:
    """Return what the CUDA kernels run."""
    return {
        (DOMAIN, OPERATOR): Cut(range(2, 5), _gpu_cross_attention),
        (DOMAIN, SELF_ATTENTION): Cut(range(3), _gpu_self_attention),
        ("", "GridSample"): Cut(range(2), _grid_sample),
    }


def _self_attention(splitter: Splitter, node: onnx.NodeProto) -> list[AnyStep]:
    reads, writes = list(node.input[:3]), [node.output[0]]
    num_heads = attributes(node)["q_num_heads"]
    return [SelfAttentionStep(reads=reads, writes=writes, num_heads=num_heads)]


def _cpu_cross_attention(splitter: Splitter, node: onnx.NodeProto, dtype: str) -> list[AnyStep]:
    projected, _, reference, offsets, logits, *view_weights = node.input
    heads, points = (attributes(node)[name] for name in ("num_heads", "num_points"))
    features, weights = _value_projection(splitter, projected)
    out = splitter.tensor(node.output[0])
    views, pixels, _ = splitter.tensor(features).shape
    shape = [views, heads, pixels, int(out.shape[1]) // heads]
    values = splitter.add(Tensor(f"{out.name}.values", dtype, shape))  # pyright: ignore
    touched = splitter.add(Tensor(f"{out.name}.touched", "uint8", [views, pixels]))
    return [
        ValueProjectionStep(
            reads=[features, reference, offsets],
            writes=[values, touched],
            weights=weights,
            num_heads=heads,
            num_points=points,
        ),
        DeformableCrossAttentionStep(
            reads=[values, reference, offsets, logits],
            writes=[out.name],
            weights=view_weights,
            num_heads=heads,
            num_points=points,
        ),
    ]


def _value_projection(splitter: Splitter, value: str) -> tuple[str, list[str]]:
    """Features, and the weight and the bias, behind the operator's first input."""
    gemm = splitter.producer[value]
    while gemm.op_type == "Reshape":
        gemm = splitter.producer[gemm.input[0]]
    source = splitter.producer.get(gemm.input[0])
    features = source.input[0] if source and source.op_type == "Reshape" else gemm.input[0]
    if gemm.op_type != "Gemm" or features not in splitter.graph_inputs:
        raise ValueError(
            f"{splitter.name}: the values of {OPERATOR} come from {gemm.op_type} over "
            f"{features!r}; expected one Gemm over a graph input"
        )
    return features, list(gemm.input[1:])


def _gpu_cross_attention(splitter: Splitter, node: onnx.NodeProto) -> list[AnyStep]:
    values, _, reference, offsets, logits, *weights = node.input
    weights += _take_bias(splitter, values)
    reads = [_behind_views(splitter, name) for name in (values, reference, offsets, logits)]
    steps: list[AnyStep] = []
    # Anchors are sorted once for all layers; the voxels of a grid have an order known beforehand.
    if splitter.tensor(node.output[0]).shape[0] == ANCHORS:
        if QUERY_ORDER not in splitter.added:
            order = splitter.add(Tensor(QUERY_ORDER, "int32", [ANCHORS]))
            steps.append(QueryOrderStep(reads=[ANCHORS], writes=[order]))
        reads.append(QUERY_ORDER)
    steps.append(
        DeformableCrossAttentionStep(
            reads=reads,
            writes=[node.output[0]],
            weights=weights,
            num_heads=attributes(node)["num_heads"],
            num_points=attributes(node)["num_points"],
        )
    )
    return steps


def _gpu_self_attention(splitter: Splitter, node: onnx.NodeProto) -> list[AnyStep]:
    reads = [_behind_views(splitter, name) for name in node.input]
    num_heads = attributes(node)["num_heads"]
    return [SelfAttentionStep(reads=reads, writes=list(node.output), num_heads=num_heads)]


def _take_bias(splitter: Splitter, value: str) -> list[str]:
    """Take the bias off the product that makes the values, for the kernel to add to its samples.

    A provider writes the bias over all of the product's result first, and reads that again.
    """
    product = splitter.producer.get(value)
    while product and product.op_type in VIEWS and product.input[0] in splitter.producer:
        product = splitter.producer[product.input[0]]
    if product is None or product.op_type != "Gemm" or len(product.input) < 3:
        return []
    bias = product.input[2]
    while bias in splitter.producer and splitter.producer[bias].op_type == "Cast":
        bias = splitter.producer[bias].input[0]
    if bias not in splitter.initializers:
        return []
    del product.input[2:]
    return [bias]


def _grid_sample(splitter: Splitter, node: onnx.NodeProto) -> list[AnyStep]:
    padding, align = grid_sample_mode(node)
    return [
        GridSampleStep(
            reads=[_behind_views(splitter, name) for name in node.input],
            writes=[node.output[0]],
            padding_mode=padding,  # pyright: ignore
            align_corners=align,
        )
    ]


def _behind_views(splitter: Splitter, name: str) -> str:
    """Find what a kernel reads: the tensor behind a value's views, shaped like the last.

    ONNX Runtime copies a view that is an output, and the values of a layer are half a gigabyte.
    """
    source = name
    while (node := splitter.producer.get(source)) and node.op_type in VIEWS:
        if node.input[0] not in splitter.producer or node.input[0] in splitter.repeated:
            break
        source = node.input[0]
    if source == name:
        return name
    seen = splitter.tensor(name)
    return splitter.add(Tensor(f"{name}.view", seen.dtype, seen.shape, view_of=source))
