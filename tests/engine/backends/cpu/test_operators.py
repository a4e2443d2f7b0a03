"""Steps bound to the CPU's kernels, against the references of the kernels."""

from types import SimpleNamespace

import numpy as np
import onnx
from csrc.test_self_attention import truth as attention_truth
from onnx import TensorProto, helper
from reference import deformable_cross_attention as reference

from geolrm.engine.backends.cpu.operators import OPERATORS, Context
from geolrm.engine.bundle.bundle import Bundle, StoredSegment
from geolrm.engine.bundle.plan import (
    DeformableCrossAttentionStep,
    SegmentStep,
    SelfAttentionStep,
    ValueProjectionStep,
)

LEVELS = [(5, 4), (2, 3)]
VIEWS, QUERIES, HEADS, HEAD_DIM, POINTS, CHANNELS = 2, 6, 2, 3, 2, 7
PIXELS, DIM = 26, HEADS * HEAD_DIM
RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def context(folder=None, **weights):
    manifest = SimpleNamespace(level_shapes=LEVELS)
    read = lambda name: StoredSegment(folder / name, (folder / name).read_bytes())  # noqa: E731
    bundle = SimpleNamespace(manifest=manifest, segment=read)
    return Context(bundle, weights, threads=2)


def run(step, bound_with, *reads, writes):
    OPERATORS[step.operator](step, bound_with).run(reads, writes)


def sampled():
    """Reference points inside the images, offsets and logits."""
    samples = HEADS * len(LEVELS) * POINTS
    points = RNG.uniform(0, 1, (VIEWS, QUERIES, 2)).astype(np.float32)
    return points, random(QUERIES, samples * 2), random(QUERIES, samples)


def test_every_operator_of_the_bundled_model_is_bound():
    artifact = Bundle.open("mini").manifest.artifact("onnxruntime")
    used = {step.operator for stage in artifact.stages.values() for step in stage.steps}
    assert used == set(OPERATORS)


def test_a_segment_binds_tensors_in_the_steps_order(tmp_path):
    """Which need not be that of the graph."""
    a, b, c = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["views"]) for name in "abc")
    graph = helper.make_graph([helper.make_node("Sub", ["a", "b"], ["c"])], "g", [a, b], [c])
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "g.onnx")
    step = SegmentStep(name="g", files={"cpu": "g.onnx"}, reads=["b", "a"], writes=["c"])
    out = np.full(2, np.nan, np.float32)
    run(step, context(tmp_path), np.float32([1, 2]), np.float32([10, 20]), writes=[out])
    np.testing.assert_array_equal(out, [9, 18])


def test_self_attention_drops_the_batch():
    query, key, value = random(3, 1, QUERIES, DIM)
    out = np.full_like(query, np.nan)
    step = SelfAttentionStep(reads=["q", "k", "v"], writes=["out"], num_heads=HEADS)
    run(step, context(), query, key, value, writes=[out])
    expected = attention_truth(query[0], key[0], value[0], HEADS)
    np.testing.assert_allclose(out[0], expected, rtol=1e-5, atol=1e-5)


def test_a_value_projection_marks_what_is_read_and_projects_it():
    features, weight, bias = random(VIEWS, PIXELS, CHANNELS), random(DIM, CHANNELS), random(DIM)
    points, offsets, _ = sampled()
    points, offsets = points * np.float32(0.3), offsets * np.float32(0.2)  # in a corner
    projected = (features.astype("f8") @ weight.T).reshape(VIEWS, PIXELS, HEADS, HEAD_DIM)
    needed, near = reference.touched_pixels(LEVELS, points, offsets, HEADS)
    assert needed.any() and not near.all()
    for names, moved in ((["w", "b"], bias.reshape(HEADS, HEAD_DIM)), (["w"], 0)):
        values = np.full((VIEWS, HEADS, PIXELS, HEAD_DIM), 7, np.float32)
        touched = np.full((VIEWS, PIXELS), 7, np.uint8)
        step = ValueProjectionStep(
            reads=["features", "points", "offsets"], writes=["values", "touched"],
            weights=names, num_heads=HEADS, num_points=POINTS,
        )  # fmt: skip
        given = features, points, offsets
        run(step, context(w=weight, b=bias), *given, writes=[values, touched])
        read = touched != 0
        assert read[needed].all() and not read[~near].any()
        expected = (projected + moved)[read]
        np.testing.assert_allclose(values.transpose(0, 2, 1, 3)[read], expected, atol=1e-5)


def test_deformable_cross_attention_fuses_with_the_weights_of_the_step():
    values, view_weight, view_bias = random(VIEWS, HEADS, PIXELS, HEAD_DIM), random(DIM), random(1)
    points, offsets, logits = sampled()
    out = np.full((QUERIES, DIM), np.nan, np.float32)
    step = DeformableCrossAttentionStep(
        reads=["values", "points", "offsets", "logits"], writes=["out"], weights=["w", "b"],
        num_heads=HEADS, num_points=POINTS,
    )  # fmt: skip
    weights = {"w": view_weight.reshape(DIM, 1), "b": view_bias}  # stored as columns, too
    run(step, context(**weights), values, points, offsets, logits, writes=[out])
    expected = reference.deformable_cross_attention(
        values, LEVELS, points, offsets, logits, view_weight, view_bias
    )
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
