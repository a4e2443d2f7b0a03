"""Verification, choice of the variant, and whole exports."""

import importlib.metadata
import json

import pytest
import torch
from samples.tiny_models import tiny_config, tiny_model

from geolrm import Engine, InputError, VerificationError
from geolrm.engine.bundle.manifest import Range, Source
from geolrm.export import backend_choice, verification
from geolrm.export.bundle_writer import ExportOptions, write_bundle
from geolrm.export.command import check_padding, export_checkpoint, resize
from geolrm.export.model import released


@pytest.mark.parametrize("variant", ["token", "head"])
def test_verification_passes_on_the_same_weights(bundles, models, shoe, variant):
    results = verification.verify(bundles[variant], models[variant], shoe)
    assert {r.stage for r in results} == {
        "features (proposal)", "features (reconstruction)", "occupancy logits", "means",
        "opacities", "scales", "quats", "colors", "occupancy",
    }  # fmt: skip
    by_stage = {r.stage: r for r in results}
    assert by_stage["means"].gate == "max abs <= 0.0001"
    assert by_stage["means"].max_abs <= 1e-4
    assert by_stage["colors"].cosine > 0.999999
    assert by_stage["occupancy"].gate == "IoU >= 0.999"


def test_verification_fails_on_other_weights(bundles, models, shoe):
    other = tiny_model(tiny_config())
    other.lrm_generator.renderer.latent_decoder[2].bias += 0.01
    with pytest.raises(VerificationError, match=r"differ from the torch model in \d of 9 stages"):
        verification.verify(bundles["token"], other, shoe)


def test_failed_verification_leaves_no_bundle_and_keeps_the_old_one(models, tmp_path):
    def refuse(folder):
        assert (folder / "manifest.json").is_file()
        raise VerificationError("no")

    source = Source("random", "", trained=False)
    with pytest.raises(VerificationError):
        write_bundle(models["token"], tmp_path / "b", name="t", source=source, verify=refuse)
    assert list(tmp_path.iterdir()) == []


def test_interrupted_export_leaves_nothing(models, tmp_path, monkeypatch):
    from geolrm.export import weights

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(weights, "write_weights", interrupt)
    source = Source("random", "", trained=False)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(models["token"], tmp_path / "b", name="t", source=source)
    assert list(tmp_path.iterdir()) == []


def test_exporting_leaves_the_model_unchanged(models):
    from geolrm.export.trace import prepare

    before = {k: v.clone() for k, v in models["token"].state_dict().items()}
    prepared = prepare(models["token"])
    assert len(prepared.serializer.encoder.deconv) == 1  # batch norm is gone in the copy
    for key, tensor in models["token"].state_dict().items():
        assert torch.equal(tensor, before[key])


def test_exports_where_only_the_gpus_onnx_runtime_is_installed(models, tmp_path, monkeypatch):
    """As our own remedy leaves it: the two packages hold the same module."""
    found = importlib.metadata.version

    def version(name):
        if name == "onnxruntime":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.31.1" if name == "onnxruntime-gpu" else found(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    source = Source("random", "", trained=False)
    manifest = write_bundle(models["token"], tmp_path / "b", name="t", source=source)
    assert manifest.versions["onnxruntime-gpu"] == "1.31.1"
    assert set(manifest.versions) == {"torch", "onnx", "onnxscript", "onnxruntime-gpu", "numpy"}


def test_ranges_are_checked(models, tmp_path):
    source = Source("random", "", trained=False)
    options = ExportOptions("fp32", Range(2, 1, 3))
    with pytest.raises(InputError, match=r"--views is 2:1:3; it must satisfy 1 <= MIN <= OPT"):
        write_bundle(models["token"], tmp_path / "b", name="t", source=source, options=options)


@pytest.mark.long
def test_export_of_the_bundled_model_at_another_size(tmp_path):
    """The bundle's weights file is a checkpoint: a bundle can be exported again from it."""
    lines = []
    summary = export_checkpoint(
        "mini",
        tmp_path / "b",
        name="mini",
        choice=backend_choice.choose("onnxruntime", "fp16", None),
        views=Range(1, 2, 4),
        tokens=Range(1, 128, 256),
        image_size=112,
        self_attention="auto",
        rope_scale=1.0,
        verify=True,
        progress=lines.append,
    )
    assert lines[1] == "comparing self-attention variants on the bundled capture"
    assert set(summary["comparison"]) == {"token", "head"}
    assert lines[-1] == "verifying against torch"
    assert summary["verify"]["status"] == "passed" and summary["self_attention"] == "token"
    manifest = Engine(tmp_path / "b").manifest
    assert (manifest.image_size, manifest.rope.xyz_scale, manifest.views.max) == (112, 1.0, 4)
    assert manifest.source.trained
    report = json.loads((tmp_path / "b" / "verify.json").read_text())
    assert report["status"] == "passed" and len(report["stages"]) == 9


def test_image_size_must_be_a_multiple_of_the_patch():
    with pytest.raises(InputError, match="--image-size is 450; .* patch size 14, such as 448"):
        resize(released(), 450)
    assert resize(released(), 560).image_size == 560


def test_head_needs_room_for_its_padding():
    with pytest.raises(InputError, match="at most 100 anchors, but the head variant .* 8192"):
        check_padding(released("head"), Range(1, 50, 100))
    check_padding(released("token"), Range(1, 50, 100))
