"""Which steps native kernels run of a graph, on graphs of a few nodes."""

import math

import pytest
from onnx import TensorProto, helper

from geolrm.engine.bundle.plan import (
    DeformableCrossAttentionStep,
    GridSampleStep,
    QueryOrderStep,
    ScratchBytes,
    SelfAttentionStep,
    ValueProjectionStep,
)
from geolrm.export.native_steps import cpu_cuts, gpu_cuts, grid_sample_mode
from geolrm.export.onnx_operator import DOMAIN, OPERATOR
from geolrm.export.splitting import Splitter
from geolrm.export.trace import Graph

SAMPLING = {  # what the operator reads and writes beside its values
    "points": ["views", "anchors", 2],
    "offsets": ["anchors", 48],
    "logits": ["anchors", 24],
}


def split(cuts, nodes, inputs, outputs, made=(), weights=()):
    """The stage of a graph; values by name with their shapes, weights by name with their sizes."""
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (inputs | outputs | dict(made)).items()
    }
    initializers = [
        helper.make_tensor(name, TensorProto.FLOAT, shape, [0.0] * math.prod(shape))
        for name, shape in dict(weights).items()
    ]
    graph = helper.make_graph(
        nodes, "g", [values[n] for n in inputs], [values[n] for n in outputs], initializers,
        value_info=[values[n] for n in dict(made)],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    splitter = Splitter(Graph("g", model, "reconstruction"), cuts)
    return splitter.split(lambda name: {}, lambda *_: ScratchBytes(0, 0, 0, 0)).stage


def attend(values, out="out"):
    """The node of the operator, of 4 heads with 3 points."""
    inputs = [values, "sides", *SAMPLING, "view_weight", "view_bias"]
    return helper.make_node(OPERATOR, inputs, [out], domain=DOMAIN, num_heads=4, num_points=3)


def grid_sample(**mode):
    return helper.make_node("GridSample", ["x", "grid"], ["y"], **mode)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ({}, ("zeros", False)),
        ({"mode": "linear", "padding_mode": "border", "align_corners": 1}, ("border", True)),
    ],
)
def test_modes_that_the_kernel_knows(mode, expected):
    assert grid_sample_mode(grid_sample(**mode)) == expected


@pytest.mark.parametrize(
    ("mode", "name", "shown"),
    [
        ({"mode": "nearest"}, "", "a node: GridSample has mode 'nearest' and padding 'zeros'"),
        (
            {"padding_mode": "reflection"},
            "lift",
            "lift: GridSample has mode 'linear' and padding 'reflection'",
        ),
    ],
)
def test_modes_that_it_does_not_know(mode, name, shown):
    with pytest.raises(ValueError) as caught:
        grid_sample_mode(grid_sample(name=name, **mode))
    assert str(caught.value) == (
        f"{shown}; the CUDA kernel knows mode 'linear' with 'zeros' or 'border'"
    )


def test_self_attention_is_cut_out_on_the_cpu_alone():
    shape = [1, "anchors", 96]
    node = helper.make_node("Attention", ["q", "k", "v"], ["out"], q_num_heads=4, kv_num_heads=4)
    graph = [node], dict.fromkeys("qkv", shape), {"out": shape}
    (step,) = split(cpu_cuts(half=False), *graph).steps
    assert step == SelfAttentionStep(reads=["q", "k", "v"], writes=["out"], num_heads=4)
    (step,) = split(gpu_cuts(), *graph).steps
    assert step.operator == "segment"


def test_a_gpu_cuts_out_the_self_attention_that_is_named_for_it():
    """It reads values behind the views of what made them, and is written as it was."""
    rows, shape = ["anchors", 96], [1, "anchors", 96]
    nodes = [
        helper.make_node("Gemm", ["x", "weight"], ["rows"]),
        helper.make_node("Unsqueeze", ["rows", "axis"], ["v"]),
        helper.make_node("SelfAttention", ["q", "k", "v"], ["out"], domain="geolrm", num_heads=4),
    ]
    inputs = {"q": shape, "k": shape, "x": rows}
    stage = split(
        gpu_cuts(), nodes, inputs, {"out": shape}, {"rows": rows, "v": shape},
        {"weight": (96, 96), "axis": (1,)},
    )  # fmt: skip
    assert [step.operator for step in stage.steps] == ["segment", "self_attention"]
    expected = SelfAttentionStep(reads=["q", "k", "v.view"], writes=["out"], num_heads=4)
    assert stage.steps[1] == expected
    assert stage.named(["v.view"])[0].view_of == "rows"


@pytest.mark.parametrize(("half", "dtype"), [(False, "float32"), (True, "float16")])
def test_the_cpu_projects_values_itself(half, dtype):
    """From the features, whatever views a graph needs around its Gemm."""
    nodes = [
        helper.make_node("Reshape", ["features", "rows"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["projected"], transB=1),
        helper.make_node("Reshape", ["projected", "rows"], ["values"]),
        attend("values"),
    ]
    stage = split(
        cpu_cuts(half=half), nodes, {"features": ["views", 50, 8], **SAMPLING},
        {"out": ["anchors", 96]}, {"flat": ["views", 8], "values": ["views", 50, 96]},
        {"weight": (96, 8), "bias": (96,), "view_weight": (96,), "view_bias": (1,)},
    )  # fmt: skip
    assert stage.steps == [
        ValueProjectionStep(
            reads=["features", "points", "offsets"], writes=["out.values", "out.touched"],
            weights=["weight", "bias"], num_heads=4, num_points=3,
        ),
        DeformableCrossAttentionStep(
            reads=["out.values", "points", "offsets", "logits"], writes=["out"],
            weights=["view_weight", "view_bias"], num_heads=4, num_points=3,
        ),
    ]  # fmt: skip
    values, touched = stage.named(["out.values", "out.touched"])
    assert (values.dtype, values.shape) == (dtype, ["views", 4, 50, 24])
    assert (touched.dtype, touched.shape) == ("uint8", ["views", 50])


def test_values_that_no_gemm_over_the_features_yields_are_refused():
    nodes = [helper.make_node("Relu", ["features"], ["values"]), attend("values")]
    values = {"values": ["views", 50, 96]}
    with pytest.raises(ValueError) as caught:
        split(
            cpu_cuts(half=False), nodes, {"features": ["views", 50, 96], **SAMPLING},
            {"out": ["anchors", 96]}, values,
        )  # fmt: skip
    assert str(caught.value) == (
        "g: the values of DeformableCrossAttention come from Relu over 'features'; expected one "
        "Gemm over a graph input"
    )


def test_a_gpu_sorts_anchors_once_for_all_layers():
    outs = {name: ["anchors", 96] for name in ("first", "second")}
    inputs = {"anchors": ["anchors", 3], "values": ["views", 50, 96], **SAMPLING}
    nodes = [attend("values", name) for name in outs]
    order, first, second = split(gpu_cuts(), nodes, inputs, outs).steps
    assert order == QueryOrderStep(reads=["anchors"], writes=["query_order"])
    assert first.reads == second.reads == ["values", *SAMPLING, "query_order"]
    assert first.weights == ["view_weight", "view_bias"] and first.writes == ["first"]


def test_a_gpu_needs_no_order_for_the_voxels_of_a_grid():
    sampling = {"points": ["views", 64, 2], "offsets": [64, 48], "logits": [64, 24]}
    inputs = {"values": ["views", 50, 96], **sampling}
    (step,) = split(gpu_cuts(), [attend("values")], inputs, {"out": [64, 96]}).steps
    assert step.reads == ["values", *SAMPLING]


def test_a_gpu_reads_the_tensor_behind_a_view():
    nodes = [
        helper.make_node("Relu", ["volume"], ["made"]),
        helper.make_node("Unsqueeze", ["made", "axes"], ["x"]),
        grid_sample(padding_mode="border", align_corners=1),
    ]
    stage = split(
        gpu_cuts(), nodes, {"volume": [4, 8, 8], "grid": [1, "anchors", 1, 2]},
        {"y": [1, 4, "anchors", 1]}, {"made": [4, 8, 8], "x": [1, 4, 8, 8]},
    )  # fmt: skip
    relu, sample = stage.steps
    assert relu.operator == "segment" and relu.writes == ["made"]
    assert sample == GridSampleStep(
        reads=["x.view", "grid"], writes=["y"], padding_mode="border", align_corners=True
    )
    (view,) = stage.named(["x.view"])
    assert (view.view_of, view.shape) == ("made", [1, 4, 8, 8])
