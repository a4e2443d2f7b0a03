"""Bundles with an artifact for GPUs, made without one."""

import hashlib
import shutil
from pathlib import Path

from doubles.device import rewrite_manifest

from geolrm.engine.bundle.manifest import Range, Source
from geolrm.export import backend_choice
from geolrm.export.bundle_writer import ExportOptions, write_bundle
from samples.tiny_models import tiny_config, tiny_model

TARGET = backend_choice.Target("any")


def write_gpu_bundle(
    model, folder: Path, precision: str, choice=None, *, name="tiny", refine_steps=0, divided=()
) -> Path:
    """For the backend ``cuda``, unless another choice is given."""
    choice = choice or backend_choice.Choice("cuda", precision, (TARGET,), "a test")
    stored = "fp32" if precision == "fp32" else "fp16"
    command = f"geolrm-export {name} --backend {choice.backend} --{precision}"
    options = ExportOptions(
        stored, Range(1, 3, 21), Range(1, 64, 512), refine_steps, choice, command, dict(divided)
    )
    source = Source("random", "", trained=False)
    write_bundle(model, folder, name=name, source=source, options=options)
    return folder


def write_tiny_gpu_bundle(folder: Path, variant="token", precision="fp32", **choice) -> Path:
    chosen = backend_choice.Choice("cuda", precision, (TARGET,), "a test", **choice)
    return write_gpu_bundle(tiny_model(tiny_config(variant)), folder, precision, chosen)


def as_engines(folder: Path, copy: Path, backend="tensorrt-rtx", sm="sm_89") -> Path:
    """The same bundle as if its graphs were engines; a double of the module runs them as graphs."""
    shutil.copytree(folder, copy)

    def change(content):
        (artifact,) = (each for each in content["artifacts"] if each["backend"] == "cuda")
        artifact.update(backend=backend, targets=[sm], command="geolrm-export tiny --fp16")
        for stage in artifact["stages"].values():
            for step in stage["steps"]:
                if step["operator"] == "segment":
                    file = step["files"].pop("any")
                    step["files"] = {sm: file}
                    artifact["engines"][file] = {
                        "onnx_sha256": hashlib.sha256(file.encode()).hexdigest(),
                        "builder": f"{backend} 1.7.1",
                        "kernels": "",
                        "precision": "fp16",
                        "views": {"min": 1, "opt": 3, "max": 21},
                        "anchors": {"min": 1, "opt": 64, "max": 512},
                        "gpu": {"sm": sm},
                    }

    rewrite_manifest(copy, change)
    return copy
