"""A bundle is written whole or not at all."""

import importlib.metadata

import pytest

from geolrm import InputError, VerificationError
from geolrm.engine.bundle.manifest import Range, Source
from geolrm.export.bundle_writer import ExportOptions, write_bundle


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
