import json
import shutil

import pytest

from geolrm import BundleError, Engine
from geolrm.engine.bundle import manifest
from geolrm.engine.bundle.bundle import Bundle, bundled_path
from geolrm.engine.bundle.manifest import SCHEMA_VERSION


def edit(folder, change, sign=False):
    """Change the manifest; ``sign`` gives it a valid checksum again."""
    file = folder / "manifest.json"
    content = json.loads(file.read_text())
    change(content)
    raw = json.dumps(content).encode()
    file.write_bytes(manifest.encode(manifest.decode(raw)) if sign else raw)


def stages(content):
    return content["artifacts"][0]["stages"]


def test_the_bundled_model_fits_the_package():
    folder = bundled_path("mini")
    assert sum(file.stat().st_size for file in folder.rglob("*")) <= 25e6
    assert Bundle.open("mini").manifest.model == "mini"


def test_missing_folder(tmp_path):
    with pytest.raises(BundleError, match=r"no bundle at .*none'.*geolrm-export CHECKPOINT"):
        Engine(tmp_path / "none")


def test_folder_without_manifest(tmp_path):
    with pytest.raises(BundleError, match=r"holds no manifest\.json, so it is not a bundle"):
        Engine(tmp_path)


def test_newer_schema(bundle_copy):
    edit(bundle_copy, lambda c: c.update(schema_version=SCHEMA_VERSION + 1))
    with pytest.raises(BundleError, match=r"has schema version 3; this geolrm reads .* Upgrade"):
        Engine(bundle_copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("artifacts"),
        lambda c: c.update(image_size="large"),
        lambda c: stages(c)["proposal"]["steps"][0].update(operator="shell"),
        lambda c: stages(c)["proposal"]["steps"].pop(),
        lambda c: stages(c)["proposal"].update(role="other"),
        lambda c: c.update(unknown=1),
    ],
)
def test_manifest_of_another_shape(bundle_copy, change):
    edit(bundle_copy, change)
    with pytest.raises(BundleError, match=r"manifest\.json(:| is corrupt)"):
        Engine(bundle_copy)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"a":' + b"[" * 10**5]
)
def test_unreadable_manifest(bundle_copy, content):
    (bundle_copy / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json is corrupt"):
        Engine(bundle_copy)


@pytest.mark.parametrize("name", ["weights.safetensors", "proposal.segment01.onnx"])
def test_truncated_file(bundle_copy, name):
    file = bundle_copy / name
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(BundleError, match=rf"{name} of the bundle .* truncated .* --force"):
        Engine(bundle_copy)


@pytest.mark.parametrize("name", ["weights.safetensors", "reconstruction.onnx"])
def test_flipped_byte(bundle_copy, name):
    file = bundle_copy / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} of the bundle .* it is corrupt"):
        Engine(bundle_copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(image_size=112),
        lambda c: c.update(precision="fp16"),
        lambda c: c["views"].update(opt=2),
        lambda c: stages(c)["proposal"]["steps"][-1]["files"].update(cpu="encoder.onnx"),
    ],
)
def test_changed_manifest(bundle_copy, change):
    edit(bundle_copy, change)
    with pytest.raises(BundleError, match="it does not match its own checksum"):
        Engine(bundle_copy)


def test_missing_plan(bundle_copy):
    edit(bundle_copy, lambda c: stages(c).pop("proposal"), sign=True)
    with pytest.raises(BundleError, match="lacks the plan of proposal"):
        Engine(bundle_copy)


def test_missing_file(bundle_copy):
    (bundle_copy / "encoder_proposal.onnx").unlink()
    with pytest.raises(BundleError, match=r"encoder_proposal\.onnx of the bundle .* is missing"):
        Engine(bundle_copy)


def test_files_outside_the_bundle_are_refused(bundle_copy, tmp_path):
    shutil.copy(bundle_copy / "proposal.onnx", tmp_path / "proposal.onnx")
    entry = {"../proposal.onnx": {"bytes": 1, "sha256": "0" * 64}}
    edit(bundle_copy, lambda c: c["files"].update(entry), sign=True)
    with pytest.raises(
        BundleError, match=r"the file '\.\./proposal\.onnx' is not a plain file name"
    ):
        Engine(bundle_copy)


def test_other_axes_are_refused(bundle_copy):
    edit(bundle_copy, lambda c: c["rope"]["index"].__setitem__(3, 99), sign=True)
    with pytest.raises(BundleError, match="holds other voxel axes"):
        Engine(bundle_copy)
