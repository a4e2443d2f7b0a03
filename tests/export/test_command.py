"""Whole exports, and what is asked of their options."""

import json

import pytest

from geolrm import Engine, InputError
from geolrm.engine.bundle.manifest import Range
from geolrm.export import backend_choice
from geolrm.export.command import check_padding, export_checkpoint, resize
from geolrm.export.model import released


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
    check_padding(released("token"), Range(1, 50, 100), buckets=True)
    with pytest.raises(InputError, match="--buckets is for a number of anchors that changes, but"):
        check_padding(released("head"), Range(1, 50, 16384), buckets=True)
