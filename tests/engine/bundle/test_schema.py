"""A bundle of an older schema: what its refusal asks for works."""

import json
import shlex

import pytest
from samples.tiny_models import one_layer, tiny_config, tiny_model, write_tiny

from geolrm import BundleError, Engine
from geolrm.commands.export import app
from geolrm.engine.bundle.bundle import Bundle


def as_schema_1(folder, **changed):
    """The fields of a manifest of schema 1 that say what was asked for."""
    content = {
        "schema_version": 1,
        "model": "tiny",
        "precision": "fp32",
        "views": {"min": 1, "opt": 3, "max": 21},
        "tokens": {"min": 1, "opt": 64, "max": 512},
        "source": {"checkpoint": "the weights.ckpt", "sha256": "", "trained": True},
        "refine_steps": 7,
        "plans": {},
    } | changed
    (folder / "manifest.json").write_text(json.dumps(content))


def refused(folder):
    with pytest.raises(BundleError) as caught:
        Engine(folder)
    start = f"{folder / 'manifest.json'} has schema version 1; this geolrm reads version 2. Export "
    assert str(caught.value).startswith(start)
    return shlex.split(str(caught.value).partition("Export it again: ")[2])


def test_a_bundle_that_holds_its_checkpoint_is_exported_again_over_itself(tmp_path):
    config = one_layer(tiny_config(batch_norm=False, rays="unit"))
    folder = write_tiny(tiny_model(config), tmp_path / "my bundle")
    kept = Bundle.open(folder).manifest
    as_schema_1(folder)
    command, *arguments = refused(folder)
    assert command == "geolrm-export"
    app(arguments, standalone_mode=False)
    manifest = Engine(folder).manifest
    assert (manifest.model, manifest.precision, manifest.refine_steps) == ("tiny", "fp32", 7)
    assert (manifest.views, manifest.anchors) == (kept.views, kept.anchors)
    assert manifest.artifacts[0].stages == kept.artifacts[0].stages


def test_another_is_exported_from_the_checkpoint_it_came_from(bundle_copy):
    as_schema_1(bundle_copy)
    assert refused(bundle_copy)[:5] == (
        ["geolrm-export", "the weights.ckpt", "--name", "tiny", "--backend"]
    )
    gpu = {"backend": "tensorrt-rtx", "precision": "bf16", "targets": ["sm_86", "sm_120"]}
    as_schema_1(bundle_copy, gpu=gpu)
    command = shlex.join(refused(bundle_copy))
    assert "--backend tensorrt-rtx --sm 86,120 " in command and " --bf16 " in command
    assert command.endswith(f"-o {bundle_copy} --force")


def test_what_is_of_no_schema_is_corrupt(bundle_copy):
    as_schema_1(bundle_copy, views=3)
    with pytest.raises(BundleError, match=r"manifest\.json is corrupt: Expected `object`"):
        Engine(bundle_copy)
