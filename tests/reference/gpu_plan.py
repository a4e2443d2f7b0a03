"""A GPU's plan on the CPU: ONNX Runtime for the segments, torch for the kernels between them."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import TensorProto, helper

from geolrm.engine.bundle.plan import Stage, Tensor
from geolrm.export.onnx_operator import deformable_cross_attention

Arrays = dict[str, NDArray]


class PlanOnCpu:
    """Runs one stage; every array that passes is checked against the plan.

    bfloat16 arrays are held as float32 that was rounded to bfloat16.
    """

    def __init__(self, stage: Stage, folder: Path, weights: Arrays, level_shapes: list):
        self.stage, self.weights = stage, weights
        self.tensors = {tensor.name: tensor for tensor in stage.tensors}
        self.sides = [side for shape in level_shapes for side in shape]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.sessions = {
            step.name: onnxruntime.InferenceSession(
                _without_bfloat16(folder / step.files["any"]), options
            )
            for step in stage.segments
        }
        self.operators = {
            "segment": self.segment,
            "query_order": lambda step, anchors: [np.arange(len(anchors), dtype=np.int32)],
            "self_attention": self_attention,
            "grid_sample": grid_sample,
            "deformable_cross_attention": self.attend,
        }

    def run(self, inputs: Arrays) -> Arrays:
        """All steps in order."""
        dims: dict[str, int] = {}
        arrays = {t.name: checked(t, inputs[t.name], dims) for t in self.stage.inputs}
        for step in self.stage.steps:
            read = [self.read(name, arrays, dims) for name in step.reads]
            made = self.operators[step.operator](step, *read)
            for name, array in zip(step.writes, made, strict=True):
                arrays[name] = checked(self.tensors[name], array, dims)
        return {tensor.name: arrays[tensor.name] for tensor in self.stage.outputs}

    def read(self, name: str, arrays: Arrays, dims: dict[str, int]) -> NDArray:
        tensor = self.tensors[name]
        if tensor.view_of is not None:
            return checked(tensor, arrays[tensor.view_of].reshape(tensor.shape_at(dims)), dims)
        return checked(tensor, arrays[name], dims)

    def segment(self, step, *arrays: NDArray) -> list[NDArray]:
        session = self.sessions[step.name]
        assert {value.name for value in session.get_inputs()} == set(step.reads)
        return session.run(step.writes, dict(zip(step.reads, arrays, strict=True)))

    def attend(self, step, value: NDArray, *placed: NDArray) -> list[NDArray]:
        stored = value.dtype
        weight, bias, *value_bias = (self.weights[name] for name in step.weights)
        value = value.astype(np.float32) + sum(value_bias)
        read = [value, *placed[:3], weight.reshape(-1), bias]
        tensors = [torch.from_numpy(np.ascontiguousarray(a, np.float32)) for a in read]
        out = deformable_cross_attention(*tensors, self.sides, step.num_heads, step.num_points)
        if self.tensors[step.writes[0]].dtype == "bfloat16":
            out = out.bfloat16().float()
        return [out.numpy().astype(stored)]


def self_attention(step, *arrays: NDArray) -> list[NDArray]:
    heads = [
        torch.from_numpy(array.astype(np.float32))
        .unflatten(2, (step.num_heads, -1))
        .transpose(1, 2)
        for array in arrays
    ]
    out = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    return [out.numpy().astype(arrays[0].dtype)]


def grid_sample(step, data: NDArray, grid: NDArray) -> list[NDArray]:
    sampled = F.grid_sample(
        torch.from_numpy(data),
        torch.from_numpy(grid),
        mode="bilinear",
        padding_mode=step.padding_mode,
        align_corners=step.align_corners,
    )
    return [sampled.numpy()]


def checked(tensor: Tensor, array: NDArray, dims: dict[str, int]) -> NDArray:
    """The array, if type and shape are as stated; symbols get their sizes at first sight."""
    dtype = "float32" if tensor.dtype == "bfloat16" else tensor.dtype
    assert array.dtype == dtype, f"{tensor} is {array.dtype}"
    assert array.ndim == len(tensor.shape), f"{tensor} has shape {array.shape}"
    for dim, size in zip(tensor.shape, array.shape, strict=True):
        if isinstance(dim, str):
            *factor, symbol = dim.split("*")
            expected = dims.setdefault(symbol, size) * (int(factor[0]) if factor else 1)
        else:
            expected = dim
        assert size == expected, f"{tensor} has shape {array.shape} where {dims}"
    return np.ascontiguousarray(array)


def _without_bfloat16(file: Path) -> bytes | str:
    """ONNX Runtime's CPU provider has no bfloat16: compute in float32 and round what comes out."""
    model = onnx.load(file, load_external_data=False)
    if all(c.op_type != "Cast" or _to(c) != TensorProto.BFLOAT16 for c in model.graph.node):
        return str(file)
    model = onnx.load(file)
    graph = model.graph
    infos = [*graph.value_info, *graph.input, *graph.output]
    narrow = {v.name for v in infos if v.type.tensor_type.elem_type == TensorProto.BFLOAT16}
    nodes = []
    for node in graph.node:
        if node.op_type == "Cast" and _to(node) == TensorProto.BFLOAT16:
            node.attribute[0].i = TensorProto.FLOAT
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in narrow:
                node.output[index] = f"{name}.wide"
                nodes.append(helper.make_node(
                    "Cast", [f"{name}.wide"], [f"{name}.narrow"], to=TensorProto.BFLOAT16
                ))  # fmt: skip
                nodes.append(
                    helper.make_node("Cast", [f"{name}.narrow"], [name], to=TensorProto.FLOAT)
                )
    for info in infos:
        if info.name in narrow:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
    ordered = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(ordered)
    return model.SerializeToString()


def _to(node: onnx.NodeProto) -> int:
    return next(a.i for a in node.attribute if a.name == "to")
