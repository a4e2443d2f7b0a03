"""The exported files: portable, dynamic, lowered into a plan."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from samples.tiny_models import one_layer, tiny_config, tiny_model, write_tiny

from geolrm import Cameras, Engine
from geolrm.engine.geometry.voxel_grid import rope_indices
from geolrm.engine.views.preprocessing import make_views
from geolrm.export.model.geometry import projection_matrices


def random_views(count, size=56):
    rng = np.random.default_rng(count)
    cameras = Cameras.orbit(rng.uniform(0, 360, count), rng.uniform(-30, 60, count), 1.7, 50)
    images = rng.random((count, 3, size, size), dtype=np.float32)
    return make_views(images, cameras.c2w, cameras.intrinsics)


def tensors(views):
    return [torch.from_numpy(a) for a in (views.images, views.c2w, views.intrinsics)]


@pytest.mark.parametrize("variant", ["token", "head"])
@pytest.mark.parametrize(("views", "tokens"), [(1, 1), (4, 100), (21, 33)])
def test_plain_onnx_runtime_runs_the_files_without_this_project(
    bundles, models, variant, views, tokens
):
    """No custom operator, no native kernel: the model-local function stands in."""
    model, posed = models[variant], random_views(views)
    images, c2w, intrinsics = tensors(posed)
    projection = projection_matrices(intrinsics, c2w)
    anchors = np.random.default_rng(0).uniform(-0.5, 0.5, (tokens, 3)).astype(np.float32)
    with torch.inference_mode():
        proposal, features = model.encode(images, c2w, intrinsics)
        logits = model.propose(proposal, projection).logits
        truth = model.reconstruct(features, projection, torch.from_numpy(anchors))

    def run(name, **inputs):
        session = onnxruntime.InferenceSession(
            bundles[variant] / f"{name}.onnx", providers=["CPUExecutionProvider"]
        )
        return session.run(None, {k: np.asarray(v) for k, v in inputs.items()})

    (encoded,) = run("encoder_reconstruction", images=images, c2w=c2w, intrinsics=intrinsics)
    np.testing.assert_allclose(encoded, features, atol=2e-5)
    (proposed,) = run("proposal", features=proposal, projection=projection)
    np.testing.assert_allclose(proposed, logits, atol=1e-4)
    config = model.config.reconstruction
    outputs = run(
        "reconstruction",
        features=features,
        projection=projection,
        anchors=anchors,
        rope_index=rope_indices(anchors, config.grid_size, config.xyz_scale),
    )
    for output, expected in zip(outputs, truth, strict=True):
        np.testing.assert_allclose(output, expected, atol=5e-5)


@pytest.mark.parametrize(("views", "tokens"), [(1, 1), (4, 100), (21, 333)])
def test_engine_equals_torch_for_any_number_of_views_and_tokens(bundles, models, views, tokens):
    engine, model, posed = Engine(bundles["token"]), models["token"], random_views(views)
    anchors = np.random.default_rng(0).uniform(-0.5, 0.5, (tokens, 3)).astype(np.float32)
    features = engine.encode(posed)
    gaussians = engine.reconstruct(features, posed, anchors)
    images, c2w, intrinsics = tensors(posed)
    with torch.inference_mode():
        _, truth_features = model.encode(images, c2w, intrinsics)
        truth = model.reconstruct(
            truth_features, projection_matrices(intrinsics, c2w), torch.from_numpy(anchors)
        )
    for name in truth._fields:
        np.testing.assert_allclose(getattr(gaussians, name), getattr(truth, name), atol=5e-5)


def test_graphs_hold_one_node_per_block_and_a_function(bundles):
    for name in ("proposal", "reconstruction"):
        model = onnx.load(bundles["token"] / f"{name}.onnx", load_external_data=False)
        nodes = [n for n in model.graph.node if n.op_type == "DeformableCrossAttention"]
        assert len(nodes) == 2 and {n.domain for n in nodes} == {"geolrm"}
        assert [f.name for f in model.functions] == ["DeformableCrossAttention"]
        assert {o.domain: o.version for o in model.opset_import}[""] == 23
        onnx.checker.check_model(str(bundles["token"] / f"{name}.onnx"))


def test_batch_norm_is_folded_and_nothing_of_the_machine_is_left(bundles):
    for file in bundles["token"].glob("*.onnx"):
        raw = file.read_bytes()
        assert b"BatchNormalization" not in raw
        assert b"site-packages" not in raw and b".py" not in raw


def test_offsets_and_weights_are_computed_once_per_token(bundles):
    model = onnx.load(bundles["token"] / "reconstruction.onnx", load_external_data=False)
    gemms = [n for n in model.graph.node if any("sampling_offsets.weight" in i for i in n.input)]
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
              for v in model.graph.value_info}  # fmt: skip
    assert len(gemms) == 2
    for gemm in gemms:
        assert shapes[gemm.output[0]] == ["anchors", 16]


def test_plan_alternates_segments_and_native_steps(bundles):
    artifact = Engine(bundles["token"]).manifest.artifact("onnxruntime")
    operators = [step.operator for step in artifact.stages["reconstruction"].steps]
    sampling = ["value_projection", "deformable_cross_attention"]
    block = ["segment", "self_attention", "segment", *sampling]
    assert operators == [*block, *block, "segment"]


def test_each_weight_is_stored_once(bundles):
    with safe_open(bundles["token"] / "weights.safetensors", framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    large = [(name, a.tobytes()) for name, a in arrays.items() if a.size > 200]
    assert len({content for _, content in large}) == len(large)
    stored = sum(a.nbytes for a in arrays.values())
    assert (bundles["token"] / "weights.safetensors").stat().st_size < stored + 40_000
    graphs = sum(file.stat().st_size for file in bundles["token"].glob("*.onnx"))
    assert graphs < 400_000


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(
    "fields",
    [
        {"batch_norm": False, "rays": "unit"},
        {"use_low_level": False},
        {"use_high_level": False},
    ],
    ids=str,
)
def test_switches_export(tmp_path, fields, precision):
    from dataclasses import replace

    config = one_layer(tiny_config(**fields))
    reconstruction = replace(config.reconstruction, use_sh=True, centred_offsets=True)
    config = replace(config, shared_encoder=True, reconstruction=reconstruction)
    model = tiny_model(config)
    engine, posed = Engine(write_tiny(model, tmp_path / "b", precision)), random_views(2)
    features = engine.encode(posed)
    anchors = np.random.default_rng(0).uniform(-0.5, 0.5, (9, 3)).astype(np.float32)
    gaussians = engine.reconstruct(features, posed, anchors)
    images, c2w, intrinsics = tensors(posed)
    with torch.inference_mode():
        truth_features, _ = model.encode(images, c2w, intrinsics)
        projection = projection_matrices(intrinsics, c2w)
        truth = model.reconstruct(truth_features, projection, torch.from_numpy(anchors))
        logits = model.propose(truth_features, projection).logits
    tolerance = 5e-5 if precision == "fp32" else 0.05
    np.testing.assert_allclose(engine.propose(features, posed).logits, logits, atol=4 * tolerance)
    np.testing.assert_allclose(gaussians.sh, truth.colors, atol=tolerance)
    np.testing.assert_allclose(gaussians.means, truth.means, atol=tolerance)


def test_fp16_halves_the_weights(models, bundles, tmp_path):
    folder = write_tiny(models["token"], tmp_path / "half", "fp16")
    half, full = ((f / "weights.safetensors").stat().st_size for f in (folder, bundles["token"]))
    assert half < 0.7 * full
    assert json.loads((folder / "manifest.json").read_text())["precision"] == "fp16"
