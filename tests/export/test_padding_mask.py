"""A mask of padded anchors: what a graph computes of the others does not change."""

import importlib.util

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from geolrm.engine.bundle.manifest import GpuIdentity, Range
from geolrm.engine.bundle.plan import ANCHOR_COUNT
from geolrm.export import bundle_writer
from geolrm.export.backend_choice import Choice, Target
from geolrm.export.engine_builder import EngineBuilder, Profile, serialized
from geolrm.export.gpu_artifact import lower_for_gpu
from geolrm.export.lowering import lower_attention
from geolrm.export.padding_mask import MASK, mask_padding
from geolrm.export.trace import Graph

HEADS, DIM = 2, 12


def attention(rows="anchors", kind=TensorProto.FLOAT, layers=2):
    """Layers of attention among rows, and nothing else."""

    def value(name):
        return helper.make_tensor_value_info(name, kind, [1, rows, DIM])

    nodes = [
        helper.make_node(
            "Attention", [f"x{i}"] * 3, [f"x{i + 1}"], q_num_heads=HEADS, kv_num_heads=HEADS
        )
        for i in range(layers)
    ]
    anchors = helper.make_tensor_value_info("anchors", TensorProto.FLOAT, [rows, 3])
    middle = [value(f"x{i}") for i in range(1, layers)]
    graph = helper.make_graph(
        nodes, "g", [anchors, value("x0")], [value(f"x{layers}")], value_info=middle
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    return Graph("reconstruction", model, "reconstruction")


def run(graph, feeds, layers=2):
    names = {value.name for value in graph.model.graph.input}
    evaluator = ReferenceEvaluator(graph.model)
    return evaluator.run([f"x{layers}"], {n: a for n, a in feeds.items() if n in names})[0]


@pytest.mark.parametrize(
    ("kind", "dtype", "tolerance"),
    [(TensorProto.FLOAT, np.float32, 1e-6), (TensorProto.FLOAT16, np.float16, 2e-3)],
)
@pytest.mark.parametrize("count", [1, 7, 13])
def test_rows_before_the_number_are_those_without_padding(kind, dtype, tolerance, count):
    rng = np.random.default_rng(count)
    rows = rng.standard_normal((1, 13, DIM)).astype(dtype)
    anchors = np.zeros((13, 3), np.float32)
    plain = attention(kind=kind)
    expected = run(plain, {"anchors": anchors[:count], "x0": rows[:, :count]})
    masked = mask_padding(plain)
    onnx.checker.check_model(masked.model, full_check=True)
    number = np.array([count], np.int32)
    got = run(masked, {"anchors": anchors, "x0": rows, ANCHOR_COUNT: number})
    np.testing.assert_allclose(got[:, :count], expected, atol=tolerance)
    other = rows.copy()
    other[:, count:] = 9
    again = run(masked, {"anchors": anchors, "x0": other, ANCHOR_COUNT: number})
    np.testing.assert_array_equal(again[:, :count], got[:, :count])


def test_the_mask_is_made_once_and_the_graph_as_traced_stays():
    plain = attention()
    before = plain.model.SerializeToString()
    masked = mask_padding(plain)
    assert plain.model.SerializeToString() == before
    nodes = list(masked.model.graph.node)
    assert [node.op_type for node in nodes].count("Range") == 1
    assert [list(node.input)[3:] for node in nodes if node.op_type == "Attention"] == [[MASK]] * 2


def test_a_grid_is_not_padded():
    grid = attention(rows=512)
    assert mask_padding(grid) is grid


def test_the_provider_reads_the_number_itself():
    lowered = lower_attention(mask_padding(attention()).model)
    nodes = [node for node in lowered.graph.node if node.op_type == "MultiHeadAttention"]
    assert [list(node.input)[3:] for node in nodes] == [["", ANCHOR_COUNT]] * 2


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None,
    reason="tensorrt-rtx is not installed: pip install 'geolrm[rtx]'",
)
def test_tensorrt_for_rtx_builds_it_without_a_gpu(models):
    import tensorrt_rtx  # pyright: ignore[reportMissingImports]

    model = models["token"]
    graphs = [graph for graph in bundle_writer.trace(model) if graph.role == "reconstruction"]
    target = Target("sm_89", GpuIdentity("sm_89"))
    choice = Choice("tensorrt-rtx", "fp16", (target,), "a test", buckets=True)
    lowered = lower_for_gpu(graphs, choice, set(model.state_dict()))
    (stage,) = lowered.stages.values()
    assert stage.reads(ANCHOR_COUNT)
    profile = Profile(Range(1, 3, 21), Range(1, 64, 512))
    builder = EngineBuilder(tensorrt_rtx, "tensorrt-rtx", target, profile, "fp16")
    masked = [step for step in stage.segments if {MASK, ANCHOR_COUNT} & set(step.reads)]
    assert masked
    for step in masked:
        model = serialized(lowered.segments[step.name])
        assert len(builder.build(step.name, stage.named(step.reads), model)) > 1000
