"""A GPU's plan on the CPU: ONNX Runtime for the segments, torch for the kernels between them."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import TensorProto, helper

from geolrm.engine.backends.layout import shape_of
from geolrm.engine.bundle.manifest import (
    GpuCrossAttentionStep,
    GpuPlan,
    GpuSegmentStep,
    GridSampleStep,
    TensorSpec,
)
from geolrm.export.onnx_operator import deformable_cross_attention

Arrays = dict[str, NDArray]


class PlanOnCpu:
    """Runs one stage; every array that passes is checked against its spec.

    bfloat16 arrays are held as float32 that was rounded to bfloat16.
    """

    def __init__(self, plan: GpuPlan, folder: Path, weights: Arrays, level_shapes: list):
        self.plan, self.weights = plan, weights
        self.sides = [side for shape in level_shapes for side in shape]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.sessions = {
            step.name: onnxruntime.InferenceSession(
                _without_bfloat16(folder / step.files["any"]), options
            )
            for step in plan.steps
            if isinstance(step, GpuSegmentStep)
        }

    def run(self, inputs: Arrays) -> Arrays:
        """All steps in order."""
        dims: dict[str, int] = {}
        arrays = {spec.name: checked(spec, inputs[spec.name], dims) for spec in self.plan.inputs}
        for step in self.plan.steps:
            if isinstance(step, GpuSegmentStep):
                wanted = {value.name for value in self.sessions[step.name].get_inputs()}
                feeds = {s.name: checked(s, arrays[s.name], dims) for s in step.inputs}
                assert wanted == set(feeds)
                made = self.sessions[step.name].run([s.name for s in step.outputs], feeds)
                specs = step.outputs
            elif isinstance(step, GridSampleStep):
                pair = (viewed(s, arrays[s.name], dims) for s in (step.input, step.grid))
                made, specs = [grid_sample(step, *pair)], [step.output]
            else:
                made, specs = [self.attend(step, arrays, dims)], [step.output]
            for spec, array in zip(specs, made, strict=True):
                arrays[spec.name] = checked(spec, array, dims)
        return {spec.name: arrays[spec.name] for spec in self.plan.outputs}

    def attend(self, step: GpuCrossAttentionStep, arrays: Arrays, dims: dict[str, int]) -> NDArray:
        specs = (
            step.value, step.reference_points, step.sampling_offsets, step.attention_logits
        )  # fmt: skip
        value, *rest = (viewed(s, arrays[s.name], dims) for s in specs)
        read = [value.astype(np.float32), *rest]
        read += [self.weights[step.view_weight].reshape(-1), self.weights[step.view_bias]]
        tensors = [torch.from_numpy(np.ascontiguousarray(a, np.float32)) for a in read]
        out = deformable_cross_attention(*tensors, self.sides, step.num_heads, step.num_points)
        if step.output.dtype == "bfloat16":
            out = out.bfloat16().float()
        return out.numpy().astype(value.dtype)


def grid_sample(step: GridSampleStep, data: NDArray, grid: NDArray) -> NDArray:
    return F.grid_sample(
        torch.from_numpy(data),
        torch.from_numpy(grid),
        mode="bilinear",
        padding_mode=step.padding_mode,
        align_corners=step.align_corners,
    ).numpy()


def viewed(spec: TensorSpec, array: NDArray, dims: dict[str, int]) -> NDArray:
    """As a kernel reads it, in a shape of its own."""
    return checked(spec, array.reshape(shape_of(spec, dims)), dims)


def checked(spec: TensorSpec, array: NDArray, dims: dict[str, int]) -> NDArray:
    """The array, if type and shape are as stated; symbols get their sizes at first sight."""
    dtype = "float32" if spec.dtype == "bfloat16" else spec.dtype
    assert array.dtype == dtype, f"{spec} is {array.dtype}"
    assert array.ndim == len(spec.shape), f"{spec} has shape {array.shape}"
    for dim, size in zip(spec.shape, array.shape, strict=True):
        if isinstance(dim, str):
            *factor, symbol = dim.split("*")
            expected = dims.setdefault(symbol, size) * (int(factor[0]) if factor else 1)
        else:
            expected = dim
        assert size == expected, f"{spec} has shape {array.shape} where {dims}"
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
