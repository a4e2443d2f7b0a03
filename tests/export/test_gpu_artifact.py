"""The graphs for GPUs: what they compute, on the CPU, and that TensorRT for RTX builds them."""

import importlib.util
from dataclasses import dataclass, replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from reference.gpu_plan import PlanOnCpu

from geolrm import Engine
from geolrm.engine.anchors import select_anchors
from geolrm.engine.backends.cuda.spatial_order import grid_order
from geolrm.engine.bundle.manifest import GpuIdentity, Range
from geolrm.engine.geometry.voxel_grid import rope_indices
from geolrm.engine.views.preprocessing import prepare_views
from geolrm.export import bundle_writer, weights
from geolrm.export.backend_choice import Choice, Target
from geolrm.export.bundle_writer import _folded_biases
from geolrm.export.checkpoint import load_checkpoint
from geolrm.export.engine_builder import EngineBuilder, Profile, serialized
from geolrm.export.gpu_artifact import lower_for_gpu
from geolrm.export.model import GeoLRM, released
from geolrm.export.trace import Graph

PROFILE = Profile(Range(1, 6, 21), Range(1, 8192, 16384))
HALVES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}

# Largest difference from the float32 engine, of what comes out, about four times as measured.
TOLERANCES = {
    "fp32": {"features": 1e-5, "logits": 2e-3, "means": 2e-5, "opacities": 4e-4, "scales": 1e-5,
             "quats": 1e-3, "colors": 1e-3},
    "fp16": {"features": 1e-2, "logits": 1e-2, "means": 1e-4, "opacities": 8e-3, "scales": 6e-5,
             "quats": 8e-3, "colors": 1.2e-2},  # of one Gaussian; 1e-4 is their root mean square
    "bf16": {"features": 6e-2, "logits": 3e-2, "means": 2e-4, "opacities": 8e-3, "scales": 1e-4,
             "quats": 2e-2, "colors": 1e-2},
}  # fmt: skip
AT_OUTLINES = 2  # Gaussians of 4,800, at most, which a view shows or not by rounding


@dataclass(frozen=True)
class Traced:
    graphs: list[Graph]
    parameters: set[str]

    @classmethod
    def of(cls, model: GeoLRM) -> "Traced":
        graphs = bundle_writer.trace(model)  # once for all tests
        parameters = set(model.state_dict()) | _folded_biases(graphs)
        for graph in graphs:
            weights.qualify_constants(graph.name, graph.model, parameters)
        return cls(graphs, parameters)

    def lower(self, backend, precision, *names):
        targets = tuple(Target(name, GpuIdentity(name)) for name in names)
        choice = Choice(backend, precision, targets, "")
        return lower_for_gpu(self.graphs, choice, self.parameters)


@pytest.fixture(scope="module")
def mini() -> Traced:
    return Traced.of(load_checkpoint("mini")[0])


@pytest.fixture(scope="module")
def on_cpu(shoe):
    """Inputs of every stage, what the CPU's engine makes of them, and the levels' shapes."""
    engine = Engine("mini")
    chosen = shoe.subset(shoe.cameras.spread(3))
    views = prepare_views(chosen.images, chosen.cameras, engine.manifest.image_size)
    valid = np.ones(views.alpha.shape, np.float32)
    valid[:, :, :60] = 0  # the object's left side
    views = replace(views, valid=valid)
    features = engine.encode(views)
    proposal = engine.propose(features, views)
    anchors = select_anchors(proposal.logits, 300).positions
    made = engine.reconstruct(features, views, anchors, proposal.volume)
    rope = engine.manifest.rope
    inputs = {
        "images": views.images, "c2w": views.c2w, "intrinsics": views.intrinsics,
        "projection": views.projection, "foreground": views.foreground, "valid": valid,
        "anchors": anchors,
        "rope_index": rope_indices(anchors, rope.grid_size, rope.xyz_scale),
    }  # fmt: skip
    names = ("means", "opacities", "scales", "quats", "colors")
    expected = {"features": features.proposal, "logits": proposal.logits}
    expected |= {name: getattr(made, name) for name in names}
    return inputs, expected, engine.manifest.level_shapes


@pytest.mark.parametrize(
    ("backend", "precision"),
    [
        ("cuda", "fp32"),
        ("cuda", "fp16"),
        ("cuda", "bf16"),
        ("tensorrt-rtx", "fp16"),
        ("tensorrt-rtx", "bf16"),
    ],
)
def test_graphs_for_gpus_compute_what_the_cpu_engine_does(
    mini, on_cpu, tmp_path, backend, precision
):
    inputs, expected, level_shapes = on_cpu
    lowered = mini.lower(backend, precision, "any")
    for file, model in lowered.files.items():
        (tmp_path / file).write_bytes(serialized(model))
    arrays = dict(inputs)
    for stage in lowered.stages.values():
        runner = PlanOnCpu(stage, tmp_path, view_weights(mini), level_shapes)
        arrays |= runner.run({tensor.name: arrays[tensor.name] for tensor in stage.inputs})
    for name, tolerance in TOLERANCES[precision].items():
        errors = np.abs(arrays[name].astype(np.float64) - expected[name])
        if (
            name == "colors" and precision == "bf16"
        ):  # at an outline, rounding decides whether a view shows a Gaussian
            errors = np.sort(errors.max(axis=1))[:-AT_OUTLINES]
        error = errors.max()
        assert error <= tolerance, name
        # Half precision is there at all: float32 throughout would be a hundred times closer.
        assert precision == "fp32" or name not in ("features", "logits") or error > tolerance / 50
    occupied = arrays["logits"] > 0, expected["logits"] > 0
    differing = np.count_nonzero(occupied[0] != occupied[1])
    assert differing <= 0.005 * np.count_nonzero(occupied[1])


def view_weights(traced):
    tensors = [tensor for graph in traced.graphs for tensor in graph.model.graph.initializer]
    floats = [tensor for tensor in tensors if tensor.data_type == TensorProto.FLOAT]
    return {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in floats}


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_is_where_it_belongs(mini, precision):
    """Matrices in half precision; norms, softmax, heads and what is sampled in float32."""
    half = HALVES[precision]
    lowered = mini.lower("tensorrt", precision, "sm_89")
    counts = dict.fromkeys(("MatMul", "Gemm", "Attention", "float32 layers"), 0)
    for model in lowered.segments.values():
        kinds = element_types(model)
        for node in model.graph.node:
            given = {kinds[name] for name in node.input if name}
            if node.op_type in ("LayerNormalization", "RMSNormalization", "Softmax"):
                assert given == {TensorProto.FLOAT}, node.name
            if node.op_type == "Attention":
                assert given == {half}
            if node.op_type == "DeformableCrossAttention":
                assert [kinds[name] for name in node.input] == [
                    half, TensorProto.INT64, *[1] * 5, TensorProto.INT32
                ]  # fmt: skip
                assert kinds[node.output[0]] == half
            if node.op_type == "GridSample":
                assert given == {TensorProto.FLOAT}
            layers = [name for name in node.input if name.endswith(".weight") or ".weight." in name]
            if node.op_type in ("MatMul", "Gemm") and layers:
                exact = any(part in layers[0] for part in ("sampling_offsets", "upsample", "head."))
                counts["float32 layers"] += exact
                assert not exact or given == {TensorProto.FLOAT}, layers
            if node.op_type in counts and half in given:
                counts[node.op_type] += 1
        assert not model.functions
    assert min(counts.values()) > 0, counts


def element_types(model):
    graph = model.graph
    values = [*graph.value_info, *graph.input, *graph.output]
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    return kinds | {tensor.name: tensor.data_type for tensor in graph.initializer}


def test_tensorrt_gets_each_stage_whole_with_plugins_where_others_have_steps(mini):
    whole = mini.lower("tensorrt", "fp16", "sm_89")
    split = mini.lower("tensorrt-rtx", "fp16", "sm_86", "sm_89")
    assert set(whole.stages) == {"encoder", "proposal", "reconstruction"}
    for name, stage in whole.stages.items():
        *before, step = stage.steps
        ordered = stage.role == "reconstruction"  # its queries are the anchors of a run
        assert [each.operator for each in before] == ["query_order"] * ordered
        assert step.reads[-1:] == ["query_order"] * ordered or not ordered
        assert step.files == {"sm_89": f"{name}.sm_89.plan"}
        nodes = whole.segments[name].graph.node
        assert all(node.op_type != "GridSample" or node.domain == "geolrm" for node in nodes)
        plugins = [node for node in nodes if node.domain == "geolrm"]
        operators = [step.operator for step in split.stages[name].steps]
        counted = {
            "deformable_cross_attention": "DeformableCrossAttention", "grid_sample": "GridSample"
        }  # fmt: skip
        for operator, kind in counted.items():
            count = operators.count(operator)
            assert count == sum(node.op_type == kind for node in plugins)
            assert count > 0 or stage.role == "encoder"
        assert operators.count("query_order") == (stage.role == "reconstruction")
        attention = [node for node in plugins if node.op_type == "DeformableCrossAttention"]
        orders = {node.input[7] for node in attention}
        if stage.role == "proposal":
            (given,) = orders
            (order,) = [t for t in whole.segments[name].graph.initializer
                        if t.name == given]  # fmt: skip
            np.testing.assert_array_equal(numpy_helper.to_array(order), grid_order(order.dims[0]))
        elif ordered:
            assert orders == {"query_order"}
        for node in plugins:
            fields = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            assert list(fields) == sorted(fields)  # the order in which the plugins take them
            assert (fields["aot"], fields["plugin_namespace"]) == (1, b"geolrm")
            assert fields["plugin_version"] == b"1"
        for segment in split.stages[name].segments:
            model = split.segments[segment.name]
            assert all(node.op_type != "GridSample" for node in model.graph.node)
            assert all(node.domain == "" for node in model.graph.node)
            names = {sm: f"{segment.name}.{sm}.plan" for sm in ("sm_86", "sm_89")}
            assert segment.files == names


@pytest.mark.parametrize("backend", ["cuda", "tensorrt-rtx"])
def test_kernels_read_what_no_segment_has_to_copy_into_another_shape(mini, backend):
    lowered = mini.lower(backend, "fp16", "sm_89")
    values = 0
    steps = [step for stage in lowered.stages.values() for step in stage.steps]
    for stage in lowered.stages.values():
        kernels = [step for step in stage.steps if step not in stage.segments]
        tensors = stage.named([name for step in kernels for name in step.reads])
        read = {tensor.view_of or tensor.name: tensor for tensor in tensors}
        for step in stage.segments:
            for node in lowered.segments[step.name].graph.node:
                if node.op_type in ("Reshape", "Unsqueeze", "Squeeze"):
                    assert read.keys().isdisjoint(node.output), node.name
            for tensor in stage.named(step.writes):
                if isinstance(tensor.shape[0], str) and tensor.shape[0].startswith("4160*"):
                    assert read[tensor.name].shape == ["views", 4160, tensor.shape[1]]
                    values += 1
    assert values == [step.operator for step in steps].count("deformable_cross_attention")


@pytest.mark.parametrize("backend", ["cuda", "tensorrt-rtx"])
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_kernels_add_the_bias_of_the_values(mini, backend, precision):
    """A product with a bias writes it over all of its result first, 0.5 GB a layer."""
    lowered = mini.lower(backend, precision, "sm_89")
    steps = [step for stage in lowered.stages.values() for step in stage.steps]
    attentions = [step for step in steps if step.operator == "deformable_cross_attention"]
    taken = [step.weights[2] for step in attentions]
    assert len(attentions) == len(set(taken)) > 2
    assert all(name.endswith("deformable_attention.value_proj.bias") for name in taken)
    nodes = [node for model in lowered.segments.values() for node in model.graph.node]
    products = [n for n in nodes if any("value_proj.weight" in name for name in n.input)]
    products = [n for n in products if n.op_type == "Gemm"]
    assert len(products) == len(taken) and all(len(n.input) == 2 for n in products)
    assert not any("value_proj.bias" in name for node in nodes for name in node.input)


needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None,
    reason="tensorrt-rtx is not installed: pip install 'geolrm[rtx]'",
)


def build_all(traced: Traced, sms: list[str], precision: str = "fp16") -> dict[str, bytes]:
    """Engines of all segments by file, as the export builds them."""
    import tensorrt_rtx  # pyright: ignore[reportMissingImports]

    lowered = traced.lower("tensorrt-rtx", precision, *sms)
    engines = {}
    for sm in sms:
        target = Target(sm, GpuIdentity(sm))
        builder = EngineBuilder(tensorrt_rtx, "tensorrt-rtx", target, PROFILE, precision)
        for stage in lowered.stages.values():
            for step in stage.segments:
                model = serialized(lowered.segments[step.name])
                inputs = stage.named(step.reads)
                engines[step.files[sm]] = builder.build(step.name, inputs, model)
    return engines


@needs_rtx
@pytest.mark.parametrize(
    ("precision", "sms"),
    [
        pytest.param("fp16", ["sm_86", "sm_89", "sm_120"], marks=pytest.mark.long),
        ("bf16", ["sm_89"]),
    ],
)
def test_tensorrt_for_rtx_builds_mini_without_a_gpu(mini, precision, sms):
    engines = build_all(mini, sms, precision)
    assert len(engines) == len(sms) * 19
    assert min(map(len, engines.values())) > 1000
    encoders = {engines[f"encoder.segment00.{sm}.plan"] for sm in sms}
    assert len(encoders) > 1 or len(sms) == 1


@pytest.mark.long
@needs_rtx
def test_tensorrt_for_rtx_builds_the_released_architecture():
    """Its widths and its image size; few layers, as each is like the next."""
    config = released("token")

    def shallow(part, layers):
        return replace(part, transformer=replace(part.transformer, num_layers=layers))

    config = replace(
        config,
        encoder=replace(config.encoder, num_layers=1),
        proposal=shallow(config.proposal, 1),
        reconstruction=shallow(config.reconstruction, 2),
    )
    sms = ["sm_86", "sm_89", "sm_120"]
    engines = build_all(Traced.of(GeoLRM(config).eval()), sms)
    assert len(engines) == len(sms) * (2 + 2 + 3)


@needs_rtx
def test_tensorrt_for_rtx_builds_the_head_variant_in_bfloat16(models):
    engines = build_all(Traced.of(models["head"]), ["sm_89"], "bf16")
    assert len(engines) == 2 + 3 + 3


@needs_rtx
def test_a_refused_graph_is_one_sentence(mini):
    import tensorrt_rtx  # pyright: ignore[reportMissingImports]

    from geolrm import GeoLRMError

    lowered = mini.lower("tensorrt-rtx", "fp16", "sm_89")
    stage = lowered.stages["encoder"]
    (step,) = stage.segments
    model = onnx.ModelProto()
    model.CopyFrom(lowered.segments[step.name])
    model.graph.node[0].op_type = "NonZero"
    target = Target("sm_89", GpuIdentity("sm_89"))
    builder = EngineBuilder(tensorrt_rtx, "tensorrt-rtx", target, PROFILE, "fp16")
    with pytest.raises(GeoLRMError, match=r"^tensorrt-rtx 1\.\S+ cannot read encoder\.segment00: "):
        builder.build(step.name, stage.named(step.reads), serialized(model))
