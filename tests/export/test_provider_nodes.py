"""The provider's nodes compute what the traced ones do; whole graphs are tested elsewhere."""

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from doubles.device import use_gpu_double
from onnx import TensorProto, helper, numpy_helper
from samples.gpu_bundles import write_gpu_bundle
from samples.tiny_models import one_layer, tiny_config, tiny_model

from geolrm.engine.engine import Engine
from geolrm.export import verification
from geolrm.export.backend_choice import Choice, Target
from geolrm.export.gpu_artifact import lower_for_gpu
from geolrm.export.model.attention import SelfAttention, rope_table
from geolrm.export.model.config import TransformerConfig
from geolrm.export.provider_nodes import for_provider, rotary_order
from geolrm.export.shapes import VIEWS
from geolrm.export.trace import Graph, trace


def make_graph(nodes, inputs, outputs, constants, values=()):
    def info(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    graph = helper.make_graph(
        nodes, "g", [info(*one) for one in inputs], [info(*one) for one in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
        value_info=[info(*one) for one in values],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    return Graph("stage", model, "reconstruction")


def run(graph, feeds):
    session = ort.InferenceSession(
        graph.model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


def kinds(graph):
    return [node.op_type for node in graph.model.graph.node]


def test_the_order_puts_halves_of_heads_beside_each_other():
    order = rotary_order(12, 1)  # x: 0 1 | 2 3, y: 4 5 | 6 7, z: 8 9 | 10 11
    assert order.tolist() == [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11]
    two = rotary_order(24, 2)
    assert two.tolist() == [*order, *(12 + order)]


def test_scores_do_not_depend_on_the_order():
    """Standard rotary embedding in the new order, against 3D RoPE in the model's, in float64."""
    heads, head_dim, count = 3, 12, 7
    rng = np.random.default_rng(0)
    q, k = rng.standard_normal((2, count, heads, head_dim))
    index = torch.from_numpy(rng.integers(0, 128, (count, 3)))
    cosine, sine = (table.double().numpy() for table in rope_table(index, head_dim))

    def by_axes(x):
        u, v = np.moveaxis(x.reshape(count, heads, 3, 2, -1), 3, 0)
        c, s = cosine[:, None], sine[:, None]
        return np.stack([u * c - v * s, v * c + u * s], 3).reshape(count, heads, head_dim)

    def standard(x):
        x = x.reshape(count, -1)[:, rotary_order(heads * head_dim, heads)]
        first, second = np.split(x.reshape(count, heads, head_dim), 2, axis=2)
        c, s = (table.reshape(count, 1, -1) for table in (cosine, sine))
        return np.concatenate([first * c - second * s, second * c + first * s], axis=2)

    expected = np.einsum("nhe,mhe->hnm", by_axes(q), by_axes(k))
    np.testing.assert_allclose(np.einsum("nhe,mhe->hnm", standard(q), standard(k)), expected,
                               atol=1e-12)  # fmt: skip


@pytest.fixture(scope="module")
def traced():
    model = tiny_model(tiny_config("token"))
    return trace(model), set(model.state_dict())


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_a_layer_has_two_launches_for_its_rotation(traced, precision):
    graphs, parameters = traced
    choice = Choice("cuda", precision, (Target("any"),), "a test")
    lowered = lower_for_gpu(graphs, choice, parameters)
    nodes = [node for model in lowered.segments.values() for node in model.graph.node]
    attention = [node for node in nodes if node.op_type == "MultiHeadAttention"]
    rotated = [node for node in nodes if node.op_type == "RotaryEmbedding"]
    attended = {name for node in attention for name in node.input[:2]}
    assert all(node.output[0] in attended for node in rotated)
    maker = {name: node for node in nodes for name in node.output}
    for node in rotated:  # between the product with the weights and attention there is nothing else
        rows = maker[node.input[0]]
        product = maker[rows.input[0]]
        assert (rows.op_type, product.op_type) == ("Unsqueeze", "Gemm")
        assert product.input[1].endswith(".rotary") and ".self_attention.w" in product.input[1]
        assert node.input[2].endswith(".rotary") and node.input[3].endswith(".rotary")
    # The first layer of queries that are the same for every input is a constant in a small model.
    read = [name for g in graphs for node in g.model.graph.node for name in node.input]
    layers = {name for name in read if name.endswith(".wq.weight")}
    assert len(rotated) == 2 * len(layers) and len(layers) >= 3
    weights = [t.name for m in lowered.segments.values() for t in m.graph.initializer]
    assert not [name for name in weights if name.endswith(".rotary")]  # stored once, as ever


def test_the_graphs_of_other_backends_are_as_traced(traced):
    graphs, parameters = traced
    choice = Choice("tensorrt-rtx", "fp16", (Target("sm_89"),), "a test")
    lowered = lower_for_gpu(graphs, choice, parameters)
    assert not [n for m in lowered.segments.values() for n in m.graph.node
                if n.op_type == "RotaryEmbedding"]  # fmt: skip


def test_self_attention_is_what_it_was():
    """One layer, traced by itself: with RoPE, in float32."""
    torch.manual_seed(0)
    config = TransformerConfig(dim=48, num_layers=1, num_heads=4, self_attention="token")
    layer = SelfAttention(config)

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.self_attention = layer

        def forward(self, queries, index):
            return self.self_attention(queries, rope_table(index, 12))

    queries, index = torch.randn(9, 48), torch.randint(0, 128, (9, 3))
    program = torch.onnx.export(
        Layer().eval(), (queries, index), dynamo=True, opset_version=23, verbose=False
    )
    from geolrm.export.lowering import lower_attention

    before = Graph("stage", lower_attention(program.model_proto), "reconstruction")
    after = for_provider(before)
    names = [value.name for value in before.model.graph.input]
    feeds = dict(zip(names, (queries.numpy(), index.numpy()), strict=True))
    np.testing.assert_allclose(run(after, feeds)[0], run(before, feeds)[0], atol=2e-6)
    assert kinds(after).count("RotaryEmbedding") == 2
    assert len(kinds(after)) < len(kinds(before)) - 15


def test_a_rotated_projection_that_is_unknown_is_refused(traced):
    graphs, _ = traced
    from geolrm.export.lowering import lower_attention

    stage = next(graph for graph in graphs if graph.name == "reconstruction")
    model = onnx.ModelProto()
    model.CopyFrom(stage.model)
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.replace(".wq.", ".query.")
    for node in model.graph.node:
        node.input[:] = [name.replace(".wq.", ".query.") for name in node.input]
    with pytest.raises(ValueError, match=r"query\.weight is rotated, and not known to be a proj"):
        for_provider(replace(stage, model=lower_attention(model)))


@pytest.mark.parametrize("index", [0, 1])
def test_the_only_entry_of_an_axis_is_a_view(index):
    sides = [1 + index, 3]
    graph = make_graph(
        [helper.make_node("Identity", ["x"], ["i"]),
         helper.make_node("Gather", ["i", "at"], ["y"], axis=0)],
        [("x", TensorProto.FLOAT, sides)], [("y", TensorProto.FLOAT, [3])],
        {"at": np.array(index, np.int64)}, [("i", TensorProto.FLOAT, sides)],
    )  # fmt: skip
    x = np.arange(3 * sides[0], dtype=np.float32).reshape(sides)
    rewritten = for_provider(graph)
    assert kinds(rewritten)[-1] == ("Gather" if index else "Squeeze")
    np.testing.assert_array_equal(run(rewritten, {"x": x})[0], x[index])


def test_lengths_are_squares_sums_and_roots():
    shape = ["anchors", 4]
    graph = make_graph(
        [helper.make_node("ReduceL2", ["x", "axes"], ["y"], keepdims=1)],
        [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, ["anchors", 1])],
        {"axes": np.array([1], np.int64)},
    )  # fmt: skip
    x = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    rewritten = for_provider(graph)
    assert kinds(rewritten) == ["Mul", "ReduceSum", "Sqrt"]
    np.testing.assert_allclose(
        run(rewritten, {"x": x})[0], np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True),
        rtol=3e-7,
    )  # fmt: skip
    assert kinds(graph) == ["ReduceL2"]  # the CPU's stays


RNG = np.random.default_rng(0)
STREAM = ["anchors", 48]


def norm_graph(nodes, outputs=("n", "z"), kind=TensorProto.FLOAT16):
    """A half product of ``x`` with a bias, cast as ``a``, and the stream ``s``; then the nodes."""
    float32 = TensorProto.FLOAT
    return make_graph(
        [helper.make_node("Gemm", ["x", "w", "b.half"], ["p"], transB=1),
         helper.make_node("Cast", ["p"], ["a"], to=float32), *nodes],
        [("x", kind, ["anchors", 24]), ("s", float32, STREAM)],
        [(name, float32, STREAM) for name in outputs],
        {"w": RNG.standard_normal((48, 24)).astype(np.float16),
         "b": np.linspace(-3, 3, 48, dtype=np.float32), "g": np.linspace(1, 2, 48, dtype="f")},
        [("p", kind, STREAM), ("a", float32, STREAM), ("y", float32, STREAM)],
    )  # fmt: skip


def with_bias(graph):
    cast = helper.make_node("Cast", ["b"], ["b.half"], to=TensorProto.FLOAT16)
    graph.model.graph.node.insert(0, cast)
    return graph


NORM = helper.make_node("RMSNormalization", ["y", "g"], ["n"], axis=-1, epsilon=1e-5)
TWICE = helper.make_node("Add", ["y", "n"], ["z"])


@pytest.mark.parametrize("sides", [("s", "a"), ("a", "s")])
@pytest.mark.parametrize("summed", [True, False])
def test_a_sum_and_its_norm_are_one_node(sides, summed):
    """The sum comes out where somebody reads it; the bias is added in float32."""
    add = helper.make_node("Add", list(sides), ["y"])
    nodes = [add, NORM, TWICE] if summed else [add, NORM]
    graph = with_bias(norm_graph(nodes, ("n", "z") if summed else ("n",)))
    rewritten = for_provider(graph)
    fused = next(n for n in rewritten.model.graph.node if n.domain == "com.microsoft")
    assert kinds(rewritten) == ["Gemm", "Cast", "SkipSimplifiedLayerNormalization",
                                *(["Add"] if summed else [])]  # fmt: skip
    assert list(fused.input) == ["a", "s", "g", "b"] and len(fused.output) == (4 if summed else 1)
    x, s = RNG.standard_normal((7, 24)).astype(np.float16), RNG.standard_normal((7, 48))
    s = s.astype(np.float32)
    w, b, g = (numpy_helper.to_array(t).astype(float) for t in graph.model.graph.initializer)
    product = (x.astype(float) @ w.T).astype(np.float16).astype(float)  # as the product yields it
    y = s + product + b
    n = y / np.sqrt((y**2).mean(1, keepdims=True) + 1e-5) * g
    results = run(rewritten, {"x": x, "s": s})
    for found, expected in zip(results, [n, y + n], strict=False):
        np.testing.assert_allclose(found, expected, atol=2e-2)  # a rounding of 16 in half
    assert kinds(graph)[-1] == ("Add" if summed else "RMSNormalization")  # the CPU's stays


def test_a_bias_that_others_read_stays_in_the_product():
    add = helper.make_node("Add", ["s", "a"], ["y"])
    other = helper.make_node("Add", ["a", "n"], ["z"])
    rewritten = for_provider(with_bias(norm_graph([add, NORM, other])))
    gemm = next(n for n in rewritten.model.graph.node if n.op_type == "Gemm")
    fused = next(n for n in rewritten.model.graph.node if n.domain == "com.microsoft")
    assert list(gemm.input) == ["x", "w", "b.half"] and list(fused.input) == ["a", "s", "g"]


def test_a_norm_of_something_else_stays():
    """Of a sum with a row that is broadcast, which the provider's node does not take."""
    add = helper.make_node("Add", ["a", "g"], ["y"])
    rewritten = for_provider(with_bias(norm_graph([add, NORM], ("n",))))
    assert kinds(rewritten)[-2:] == ["Add", "RMSNormalization"]


LAYER = {  # nodes between two cross-attentions, without views and what is folded when it is loaded
    "Gemm": 11, "Cast": 7, "SkipSimplifiedLayerNormalization": 3, "RotaryEmbedding": 2,
    "Sigmoid": 1, "Mul": 2,
}  # fmt: skip


def test_the_nodes_of_a_layer_whose_heads_others_pad(monkeypatch, shoe, tmp_path):
    """Its attention is a step, the rest two segments; and a bundle of it computes what torch does.

    The provider takes Sigmoid and one Mul as one launch, and a biased product as two.
    """
    monkeypatch.setattr(verification, "NUM_VIEWS", 1)
    monkeypatch.setattr(verification, "MAX_ANCHORS", 70)
    config = tiny_config("token")
    part = replace(config.reconstruction, transformer=replace(
        config.reconstruction.transformer, dim=96, num_heads=2, num_layers=3))  # fmt: skip
    model = tiny_model(replace(one_layer(config), reconstruction=part))
    choice = Choice("cuda", "fp16", (Target("any", present=True),), "a test")
    bundle = write_gpu_bundle(model, tmp_path / "b", "fp16", choice)
    use_gpu_double(monkeypatch, packages=("onnxruntime-gpu",))
    results = verification.verify(bundle, model, shoe, backend="cuda", precision="fp16")
    assert all(one.passed for one in results)
    stage = Engine(bundle, backend="onnxruntime").manifest.artifact("cuda").stages["reconstruction"]
    steps = stage.steps
    crossings = [i for i, one in enumerate(steps) if one.operator == "deformable_cross_attention"]
    between = steps[crossings[0] + 1 : crossings[1]]
    assert [one.operator for one in between] == ["segment", "self_attention", "segment"]
    counted: Counter[str] = Counter()
    biased = 0
    for step in (between[0], between[2]):
        graph = onnx.load(bundle / step.files["any"], load_external_data=False).graph
        known = {tensor.name for tensor in graph.initializer}
        for node in graph.node:
            if set(node.input) <= known:
                known |= set(node.output)
            elif node.op_type not in VIEWS:
                counted[node.op_type] += 1
                biased += node.op_type == "Gemm" and len(node.input) > 2
    assert counted == LAYER
    launches = counted.total() - counted["Gemm"] + biased - counted["Sigmoid"]
    assert launches + 1 == 17  # with self-attention; products are cuBLAS's


def test_other_attention_stays_in_the_provider(traced):
    """In float32, in bfloat16, of 12 channels a head, and of every view for itself."""
    graphs, parameters = traced
    for precision in ("fp32", "fp16", "bf16"):
        choice = Choice("cuda", precision, (Target("any"),), "a test")
        lowered = lower_for_gpu(graphs, choice, parameters)
        steps = [step.operator for stage in lowered.stages.values() for step in stage.steps]
        assert "self_attention" not in steps


def test_why_the_product_of_sampling_offsets_stays_float32():
    """Split into halves it needs a result in float32, which no node of ONNX gives of halves."""
    queries = RNG.standard_normal((512, 768)).astype(np.float32)
    weights = (RNG.standard_normal((512, 768)) * 0.1).astype(np.float16).astype(np.float32)
    truth = queries.astype(np.float64) @ weights.T.astype(np.float64)
    high = queries.astype(np.float16).astype(np.float32)
    low = (queries - high).astype(np.float16).astype(np.float32)
    products = [part @ weights.T for part in (high, low)]
    rounded = [part.astype(np.float16).astype(np.float32) for part in products]

    def error(found):
        return np.abs(found - truth).max()

    single = error(queries @ weights.T)
    assert single < 3e-5 and error(sum(products)) < 2 * single
    assert error(products[0]) > 1e-3  # pixels
    assert error(sum(rounded)) > 1e-3
