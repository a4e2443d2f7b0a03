import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from geolrm.export.plain_attention import decompose_attention, has_attention


def graph(heads, width, **fields):
    """Attention between two other nodes."""

    def value(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "n", heads * width])

    nodes = [
        helper.make_node("Neg", ["q"], ["negative"]),
        helper.make_node(
            "Attention", ["negative", "k", "v"], ["mixed"], name="attention",
            q_num_heads=heads, kv_num_heads=heads, **fields,
        ),
        helper.make_node("Neg", ["mixed"], ["out"]),
    ]  # fmt: skip
    made = helper.make_graph(nodes, "graph", [value(name) for name in "qkv"], [value("out")])
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
