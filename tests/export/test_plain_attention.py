import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from geolrm.export.padding_mask import HIDDEN
from geolrm.export.plain_attention import decompose_attention, has_attention


def graph(heads, width, masked=False, **fields):
    """Attention between two other nodes."""

    def value(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "n", heads * width])

    nodes = [
        helper.make_node("Neg", ["q"], ["negative"]),
        helper.make_node(
            "Attention", ["negative", "k", "v", *["mask"] * masked], ["mixed"], name="attention",
            q_num_heads=heads, kv_num_heads=heads, **fields,
        ),
        helper.make_node("Neg", ["mixed"], ["out"]),
    ]  # fmt: skip
    given = [value(name) for name in "qkv"]
    if masked:
        given.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, 1, "n"]))
    made = helper.make_graph(nodes, "graph", given, [value("out")])
    opset = [helper.make_opsetid("", 23)]
    return helper.make_model(made, opset_imports=opset, ir_version=10)


@pytest.mark.parametrize(("heads", "width"), [(2, 24), (3, 48), (1, 5)])
@pytest.mark.parametrize("fields", [{}, {"scale": 0.3}], ids=["by width", "given"])
def test_plain_nodes_compute_the_softmax_over_scaled_products(heads, width, fields):
    model = graph(heads, width, **fields)
    plain = decompose_attention(model)
    onnx.checker.check_model(plain, full_check=True)
    assert has_attention(model) and not has_attention(plain)
    assert [plain.graph.node[0].op_type, plain.graph.node[-1].op_type] == ["Neg", "Neg"]
    rng = np.random.default_rng(0)
    feed = {name: rng.standard_normal((1, 7, heads * width), np.float32) for name in "qkv"}
    (got,) = onnxruntime.InferenceSession(plain.SerializeToString()).run(None, feed)
    q, k, v = (feed[name][0].reshape(7, heads, width).astype(np.float64) for name in "qkv")
    scores = np.einsum("nhe,mhe->hnm", -q, k) * fields.get("scale", width**-0.5)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    expected = -np.einsum("hnm,mhe->nhe", weights, v).reshape(1, 7, -1)
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


def test_a_mask_is_added_to_the_scores():
    """The one by which anchors are padded: what stands behind the fifth weighs nothing."""
    plain = decompose_attention(graph(2, 24, masked=True))
    onnx.checker.check_model(plain, full_check=True)
    rng = np.random.default_rng(1)
    feed = {name: rng.standard_normal((1, 7, 48), np.float32) for name in "qkv"}
    mask = np.where(np.arange(7) < 5, 0, HIDDEN).astype(np.float32)[None, None, None]
    session = onnxruntime.InferenceSession(plain.SerializeToString())
    (got,) = session.run(None, {**feed, "mask": mask})
    unmasked = onnxruntime.InferenceSession(decompose_attention(graph(2, 24)).SerializeToString())
    (expected,) = unmasked.run(None, {name: array[:, :5] for name, array in feed.items()})
    np.testing.assert_allclose(got[:, :5], expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("fields", [{"is_causal": 1}, {"kv_num_heads": 1}])
def test_other_attention_is_not_touched(fields):
    model = graph(2, 8)
    for name, number in fields.items():
        node = model.graph.node[1]
        kept = [each for each in node.attribute if each.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, number)])
    with pytest.raises(ValueError, match="attention is attention that the export does not make"):
        decompose_attention(model)
