"""SwiGLU layers whose values float16 does not hold are computed divided, and come out the same."""

import json

import numpy as np
import onnx
import pytest
import torch
from doubles.device import use_gpu_double
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from samples.gpu_bundles import write_gpu_bundle
from samples.tiny_models import one_layer, tiny_config, tiny_model

from geolrm import VerificationError
from geolrm.engine.bundle.manifest import Range, Source
from geolrm.export import command, half_range, verification
from geolrm.export.backend_choice import Choice, Target
from geolrm.export.gpu_artifact import lower_for_gpu
from geolrm.export.half_range import LayerRange, divisors, measure, report
from geolrm.export.trace import trace

HERE = Choice("cuda", "fp16", (Target("any", present=True),), "a test")
LAYER = "lrm_generator.transformer.layers.0.feed_forward"


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(verification, "NUM_VIEWS", 2)
    monkeypatch.setattr(verification, "MAX_ANCHORS", 12)


def overflowing():
    """The factor of one layer beyond float16 by its weights alone; the layer's sum stays small."""
    model = tiny_model(one_layer(tiny_config()))
    layer = model.lrm_generator.transformer.blocks[0].feed_forward
    layer.w3.weight *= 2.0**16
    layer.w2.weight *= 2.0**-12
    return model


@pytest.fixture(scope="module")
def large():
    return overflowing()


@pytest.fixture(scope="module")
def graphs(large):
    return trace(large)


@pytest.fixture
def views(few, shoe):
    return verification.choose_views(shoe, Range(1, 2, 21), 56)


def test_magnitudes_are_those_of_a_plain_pass(large, views):
    """Against the formula of SwiGLU, on what the layer is given."""
    given = []
    layer = large.lrm_generator.transformer.blocks[0].feed_forward
    hook = layer.register_forward_pre_hook(lambda part, inputs: given.append(inputs[0]))
    found = {one.layer: one for one in measure(large, views)}
    hook.remove()
    assert set(found) == {LAYER, "serializer.transformer.layers.0.feed_forward"}
    x = given[0].double()
    gate, factor = (x @ part.weight.double().T for part in (layer.w1, layer.w3))
    product = gate / (1 + torch.exp(-gate)) * factor
    result = product @ layer.w2.weight.double().T
    for name, expected in (
        ("gate", gate), ("factor", factor), ("product", product), ("result", result)
    ):  # fmt: skip
        magnitude = getattr(found[LAYER], name)
        assert magnitude == pytest.approx(float(expected.abs().max()), rel=1e-5)
    largest, divisor = float(max(factor.abs().max(), product.abs().max())), found[LAYER].divided_by
    assert 65504 / 8 < largest / divisor <= 65504 / 4 and divisor > 1


@pytest.mark.parametrize(
    ("largest", "divisor"),
    [(0.0, 1), (16376.0, 1), (16377.0, 2), (65504.0, 4), (65505.0, 8), (16376.0 * 256, 256)],
)
def test_the_margin_is_a_factor_of_four(largest, divisor):
    for name in ("factor", "product", "result"):
        values = {"gate": 1.0, "factor": 1.0, "product": 1.0, "result": 1.0} | {name: largest}
        assert half_range._divisor("a", **values) == divisor


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((16377.0, 1.0, 1.0, 1.0), "1.64e+04"),
        ((1.0, 1.0, 16376.0 * 257, 1.0), "4.21e+06"),
        ((1.0, 1.0, float("nan"), 1.0), "inf"),
    ],
)
def test_what_cannot_be_divided_is_refused(values, told):
    with pytest.raises(VerificationError) as refusal:
        half_range._divisor("a.feed_forward", *values)
    assert str(refusal.value) == (
        f"a.feed_forward reaches {told} on the bundled capture, too near to the end of float16 "
        "(65504) to be scaled; export with --bf16"
    )


def test_the_report_notes_what_is_divided():
    ranges = [
        LayerRange("a", 1.0, 2.0, 30000.0, 4.0, 2),
        LayerRange("b", 1.0, 2.0, 3.0, 4.0, 1),
    ]
    told = report(ranges)
    assert told["notes"] == [
        "a reaches 30000, and float16 holds 65504: it is computed divided by 2"
    ]
    assert told["layers"][1] == {
        "layer": "b", "gate": 1.0, "factor": 2.0, "product": 3.0, "result": 4.0, "divided_by": 1,
    }  # fmt: skip
    assert divisors(ranges) == {"a": 2}


def test_what_overflows_comes_out_the_same_when_it_is_divided(large, graphs, views):
    """In NumPy, which rounds every value to its type; a CPU's runtime computes on in float32."""
    parameters = set(large.state_dict())
    by = divisors(measure(large, views))
    rng = np.random.default_rng(0)
    inputs: dict[str, np.ndarray] = {}

    def run(precision, divided):
        choice = Choice("tensorrt-rtx", precision, (Target("sm_89"),), "a test")  # standard nodes
        lowered = lower_for_gpu(graphs, choice, parameters, divided)
        name = max(name for name in lowered.segments if name.startswith("reconstruction"))
        model = lowered.segments[name]
        feeds = {}
        for value in model.graph.input:
            kind = value.type.tensor_type
            shape = [dim.dim_value or 7 for dim in kind.shape.dim]
            array = inputs.setdefault(value.name, rng.standard_normal(shape))
            feeds[value.name] = array.astype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
        with np.errstate(over="ignore", invalid="ignore"):
            results = ReferenceEvaluator(model).run(None, feeds)
        return dict(zip([value.name for value in model.graph.output], results, strict=True))

    truth, plain, divided = run("fp32", {}), run("fp16", {}), run("fp16", by)
    assert LAYER in by and set(truth) == set(plain) == set(divided)
    assert not all(np.isfinite(array).all() for array in plain.values())
    for name, array in divided.items():
        np.testing.assert_allclose(array, truth[name], atol=0.02)


def test_an_export_with_a_divided_layer_passes(monkeypatch, few, large, shoe, views, tmp_path):
    use_gpu_double(monkeypatch, packages=("onnxruntime-gpu",))
    by = divisors(measure(large, views))
    bundle = write_gpu_bundle(large, tmp_path / "divided", "fp16", divided=by)
    results = verification.verify(bundle, large, shoe, backend="cuda", precision="fp16")
    assert all(one.passed for one in results)
    weights = [t.name for file in bundle.glob("*.onnx")
               for t in onnx.load(file, load_external_data=False).graph.initializer]  # fmt: skip
    assert not [name for name in weights if name.endswith((".divided", ".typed"))]  # stored once


@pytest.mark.parametrize("backend", ["cuda", "tensorrt-rtx", "tensorrt"])
@pytest.mark.parametrize("stored_half", [True, False])
def test_the_nodes_of_a_divided_layer(large, graphs, backend, stored_half):
    """Whatever stores the weight, it is divided in float32; and one product alone is added."""
    choice = Choice(backend, "fp16", (Target("sm_89"),), "a test")
    kept = choice if stored_half else _stores_float32(choice)
    parameters = set(large.state_dict())
    plain = _nodes(lower_for_gpu(graphs, kept, parameters))
    nodes = _nodes(lower_for_gpu(graphs, kept, parameters, {LAYER: 64}))
    products = [sum(node.op_type == "Mul" for node in each) for each in (plain, nodes)]
    assert products[1] - products[0] == 2
    made = {name: node for node in nodes for name in node.output}
    typed = made[f"{LAYER}.w3.weight.divided.typed"]
    division = made[typed.input[0]]
    assert (typed.op_type, division.op_type) == ("Cast", "Mul")
    assert division.input[0] == f"{LAYER}.w3.weight" + (".full" if stored_half else "")
    (multiplied,) = [n for n in nodes if n.op_type == "Mul" and "times_64" in n.input[1]]
    cast = made[multiplied.input[0]]
    assert cast.op_type == "Cast" and cast.attribute[0].i == TensorProto.FLOAT
    product = made[cast.input[0]]
    assert product.op_type == "Gemm" and ".w2.weight" in product.input[1]


class _StoresFloat32(Choice):
    stored_half = False


def _stores_float32(choice):
    return _StoresFloat32(choice.backend, choice.precision, choice.targets, choice.reason)


def _nodes(lowered):
    return [node for model in lowered.segments.values() for node in model.graph.node]


def test_division_by_a_power_of_two_is_exact_in_half():
    """But for weights that become subnormal, whose error is below what was rounded off before."""
    weights = np.random.default_rng(0).uniform(-0.5, 0.5, 100_000).astype(np.float16)
    divisor = 1 << half_range.MAX_HALVINGS
    divided = (weights.astype(np.float32) / divisor).astype(np.float16)
    error = np.abs(divided.astype(np.float64) * divisor - weights)
    normal = np.abs(weights.astype(np.float64)) / divisor >= 2.0**-14
    assert not error[normal].any() and normal.mean() > 0.9
    assert error.max() <= 2.0**-25 * divisor


def test_the_command_measures_and_notes(monkeypatch, few, large, tmp_path, capsys):
    """One export: the ranges reach ``verify.json`` and the note is printed."""
    import importlib

    def load(checkpoint):
        return large, Source("tiny", "", trained=False), True

    export = importlib.import_module("geolrm.commands.export").export
    monkeypatch.setattr(command, "load_checkpoint", load)
    export("tiny", tmp_path / "b", backend="cuda", fp16=True)
    written = json.loads((tmp_path / "b" / "verify.json").read_text())["float16"]
    assert (written["largest"], written["margin"], len(written["layers"])) == (65504, 4, 2)
    (note,) = written["notes"]
    assert note.startswith(f"{LAYER} reaches ") and f"note: {note}" in capsys.readouterr().out
    model = onnx.load(tmp_path / "b" / "reconstruction.segment01.cuda.onnx")
    times = [t for t in model.graph.initializer if "times_" in t.name]
    values = sorted(float(numpy_helper.to_array(t)) for t in times)
    divisor = next(x["divided_by"] for x in written["layers"] if x["layer"] == LAYER)
    assert values == [1 / divisor, divisor]


def test_other_precisions_are_not_measured(monkeypatch, few, large, tmp_path):
    import importlib

    def load(checkpoint):
        return large, Source("tiny", "", trained=False), True

    export = importlib.import_module("geolrm.commands.export").export
    monkeypatch.setattr(command, "load_checkpoint", load)
    monkeypatch.setattr(half_range, "measure", None)
    export("tiny", tmp_path / "b", backend="cuda", bf16=True)
    assert "float16" not in json.loads((tmp_path / "b" / "verify.json").read_text())
