"""The graphs whose kernels a carried ONNX Runtime must hold, shallow: a layer is like the next.

Convolutions are cut out: cuDNN runs them, with kernels of its own.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import TensorProto

from geolrm.bench.gpu.engine import make_model
from geolrm.engine.bundle.plan import ANY_GPU
from geolrm.export.backend_choice import Choice, Precision, Target
from geolrm.export.gpu_artifact import lower_for_gpu
from geolrm.export.model import GeoLRMConfig, mini, released
from geolrm.export.trace import Graph, trace

CONVOLUTIONS = frozenset(["Conv", "ConvTranspose"])
LAYERS = 2
KINDS: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.INT64: "int64",
}


def configurations() -> Iterator[tuple[str, GeoLRMConfig, tuple[Precision, ...]]]:
    """Yield what the benchmark and the GPU tests run: the released model, and one with cues."""
    yield "released", shallow(released("token")), ("fp16",)
    yield "mini", shallow(mini()), ("fp16", "fp32")


def shallow(config: GeoLRMConfig, layers: int = LAYERS) -> GeoLRMConfig:
    """Leave so many layers of each transformer."""

    def cut(part):
        transformer = replace(part.transformer, num_layers=layers)
        return replace(part, transformer=transformer)

    return replace(
        config,
        encoder=replace(config.encoder, num_layers=min(layers, config.encoder.num_layers)),
        proposal=cut(config.proposal),
        reconstruction=cut(config.reconstruction),
    )


def write_graphs(
    folder: Path, configs: Iterable[tuple[str, GeoLRMConfig, tuple[Precision, ...]]] | None = None
) -> list[Path]:
    """Write every segment that ONNX Runtime runs on a GPU; return the files."""
    written = []
    for name, config, precisions in configurations() if configs is None else configs:
        model = make_model(config)
        graphs = [without_convolutions(graph) for graph in trace(model)]
        for precision in precisions:
            choice = Choice("cuda", precision, (Target(ANY_GPU),), "a log of launches")
            lowered = lower_for_gpu(graphs, choice, set(model.state_dict()))
            for segment, graph in lowered.segments.items():
                path = folder / f"{name}.{precision}.{segment}.onnx"
                onnx.save(graph, path)
                written.append(path)
    return written


def without_convolutions(graph: Graph) -> Graph:
    """Turn what convolutions yield into inputs of the graph, and what they read into outputs."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    proto = model.graph
    values = {v.name: v for v in [*proto.value_info, *proto.input, *proto.output]}
    given = {value.name for value in proto.input} | {t.name for t in proto.initializer}
    kept: list[onnx.NodeProto] = []
    ends = {value.name for value in proto.output}
    for node in proto.node:
        if node.op_type not in CONVOLUTIONS:
            kept.append(node)
            continue
        proto.input.append(values[node.output[0]])
        given.add(node.output[0])
        if node.input[0] not in given | ends:
            proto.output.append(values[node.input[0]])
            ends.add(node.input[0])
    del proto.node[:]
    proto.node.extend(kept)
    return replace(graph, model=model)


def feeds(model: onnx.ModelProto, views: int, anchors: int) -> dict[str, tuple[str, list[int]]]:
    """Return the type and the shape of each input of a segment, for NumPy."""
    sizes = {"views": views, "anchors": anchors}
    found = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = []
        for dim in tensor.shape.dim:
            factor, _, symbol = dim.dim_param.rpartition("*")
            shape.append(int(factor or 1) * sizes[symbol] if dim.dim_param else dim.dim_value)
        found[value.name] = (KINDS[tensor.elem_type], shape)
    return found
