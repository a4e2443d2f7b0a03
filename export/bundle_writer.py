"""Export a model to a bundle folder: trace, lower, store, describe, verify."""

import contextlib
import importlib.metadata
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import onnx
from safetensors import SafetensorError

from geolrm.engine.bundle.bundle import file_sha256
from geolrm.engine.bundle.manifest import (
    CONFIG_KEY,
    MANIFEST_NAME,
    SCHEMA_VERSION,
    Artifact,
    FileEntry,
    Manifest,
    Range,
    RopeTable,
    Source,
    UpdateEntry,
    encode,
)
from geolrm.engine.bundle.plan import CPU, Stage
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.voxel_grid import rope_indices, voxel_axis
from geolrm.engine.system.atomic import atomic_folder, error_text
from geolrm.export import gpu_artifact, lowering, weights
from geolrm.export.backend_choice import Choice
from geolrm.export.engine_builder import Profile
from geolrm.export.model import GeoLRM, SplatUpdateConfig
from geolrm.export.trace import Graph, trace, trace_learned

DEFAULT_VIEWS, DEFAULT_ANCHORS = Range(1, 6, 21), Range(1, 8192, 16384)
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What a bundle is made for."""

    precision: Literal["fp32", "fp16"] = "fp32"  # of the storage
    views: Range = DEFAULT_VIEWS
    anchors: Range = DEFAULT_ANCHORS
    refine_steps: int = 0  # of gradient descent on the input images, after the network
    gpu: Choice | None = None  # None makes a bundle for the CPU alone
    command: str = ""  # that makes the bundle again
    divided: Mapping[str, int] = field(default_factory=dict)  # layers that float16 does not hold


def write_bundle(
    model: GeoLRM,
    folder: Path,
    *,
    name: str,
    source: Source,
    options: ExportOptions | None = None,
    verify: Callable[[Path], dict] | None = None,
    progress: Progress = lambda message: None,
) -> Manifest:
    """Export a model; the folder appears whole or not at all, and replaces an older bundle.

    Args:
        model: With its weights; left unchanged.
        folder: Of the new bundle.
        name: Of the model, for the manifest.
        source: Checkpoint the weights came from.
        options: Precision and ranges.
        verify: Called with the finished temporary bundle; returns the report for
            ``verify.json``, or raises to abandon the export.
        progress: Called with a line for each step.
    """
    options = options or ExportOptions()
    options.views.check("--views")
    options.anchors.check("--tokens")
    half = options.precision == "fp16"
    progress("tracing")
    graphs, learned = trace(model), trace_learned(model)
    parameters = set(model.state_dict()) | _folded_biases(graphs)
    named = {graph.name: graph.model for graph in graphs} | learned
    for title, proto in named.items():
        weights.qualify_constants(title, proto, parameters)
    gpu_graphs = None
    if options.gpu is not None:
        progress(f"lowering for {options.gpu.backend} in {options.gpu.precision}")
        gpu_graphs = gpu_artifact.lower_for_gpu(graphs, options.gpu, parameters, options.divided)
    progress("lowering for onnxruntime")
    stages, models = _lower_for_cpu(graphs, half=half)
    models |= {f"{name}.onnx": proto for name, proto in learned.items()}
    if half:
        for proto in models.values():
            weights.store_half(proto, parameters)
    if gpu_graphs is not None and options.gpu is not None and options.gpu.backend == "cuda":
        models |= gpu_graphs.files
    with atomic_folder(folder) as temporary:
        with _one_sentence(folder):
            progress("writing weights and graphs")
            complete = not model.config.encoder.batch_norm  # then nothing was folded: a checkpoint
            extra = weights.parameter_arrays(model, half) if complete else {}
            metadata = {CONFIG_KEY: json.dumps(asdict(model.config)), "format": "pt"}
            weights.write_weights(temporary, models.values(), extra, metadata)
            for file, proto in models.items():
                (temporary / file).write_bytes(proto.SerializeToString())
            artifacts = [
                Artifact("onnxruntime", options.precision, [CPU], stages, {}, options.command)
            ]
            if gpu_graphs is not None:
                gpu = _gpu_artifact(gpu_graphs, options, temporary, folder, progress)
                artifacts.append(gpu)
            files = {graph.name: f"{graph.name}.onnx" for graph in graphs}
            manifest = describe(model, name, source, options, files, artifacts, temporary)
            (temporary / MANIFEST_NAME).write_bytes(encode(manifest))
        if verify is not None:
            progress("verifying against torch")
            report = verify(temporary)
        else:
            report = {"status": "not run: switched off"}
        with _one_sentence(folder):
            content = json.dumps(report, indent=1) + "\n"
            (temporary / "verify.json").write_bytes(content.encode())
    return manifest


@contextlib.contextmanager
def _one_sentence(folder: Path) -> Iterator[None]:
    """Say in one sentence what the disk refuses while a bundle is written."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = error_text(error).removeprefix("Error while serializing: I/O error: ")
        raise InputError(f"cannot write {str(folder)!r}: {reason}; nothing was written") from error


def describe(
    model: GeoLRM,
    name: str,
    source: Source,
    options: ExportOptions,
    graphs: dict[str, str],
    artifacts: list[Artifact],
    folder: Path,
) -> Manifest:
    """Return the manifest of a bundle whose files lie in ``folder``.

    Args:
        model: What was exported.
        name: Of the model.
        source: Checkpoint the weights came from.
        options: Precision and ranges.
        graphs: The portable graph file of each stage.
        artifacts: What each backend runs.
        folder: Of the new bundle.
    """
    config = model.config
    grid, scale = config.reconstruction.grid_size, config.reconstruction.xyz_scale
    axis = voxel_axis(grid)
    return Manifest(
        schema_version=SCHEMA_VERSION,
        geolrm_version=importlib.metadata.version("geolrm"),
        model=name,
        precision=options.precision,
        self_attention=config.self_attention,
        image_size=config.image_size,
        fov_degrees=config.fov_degrees,
        views=options.views,
        anchors=options.anchors,
        padded_anchors=config.padded_tokens,
        level_shapes=list(model.level_shapes),
        feature_dim=config.encoder.feature_dim,
        gaussians_per_anchor=config.reconstruction.gaussians_per_anchor,
        rope=RopeTable(grid, scale, axis.tolist(), rope_indices(axis, grid, scale).tolist()),
        source=source,
        graphs=graphs,
        artifacts=artifacts,
        files={
            path.name: FileEntry(path.stat().st_size, file_sha256(path))
            for path in sorted(folder.iterdir())
        },
        versions=_versions(),
        refine_steps=options.refine_steps,
        update=_update_entry("update", config.update),
        closing=_update_entry("closing", config.closing),
    )


def _update_entry(name: str, config: SplatUpdateConfig | None) -> UpdateEntry | None:
    return config and UpdateEntry(f"{name}.onnx", config.steps, config.views)


def _versions() -> dict[str, str]:
    """List what exported; ONNX Runtime is one of two packages."""
    found = {}
    for package in ("torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _gpu_artifact(
    graphs: gpu_artifact.GpuGraphs,
    options: ExportOptions,
    folder: Path,
    previous: Path,
    progress: Progress,
) -> Artifact:
    """Build what the chosen backend builds, and describe it."""
    assert options.gpu is not None, "graphs are lowered for the chosen backend"
    engines = {}
    if options.gpu.backend != "cuda":
        engines = gpu_artifact.build_engines(
            graphs,
            options.gpu,
            Profile(options.views, options.anchors),
            folder,
            previous=previous,
            progress=progress,
        )
    return gpu_artifact.describe_artifact(graphs, options.gpu, engines, options.command)


def _lower_for_cpu(
    graphs: list[Graph], *, half: bool
) -> tuple[dict[str, Stage], dict[str, onnx.ModelProto]]:
    """Stages by name; and models by file name, the portable graphs among them."""
    stages: dict[str, Stage] = {}
    models: dict[str, onnx.ModelProto] = {}
    for graph in graphs:
        models[f"{graph.name}.onnx"] = graph.model
        lowered = lowering.lower_for_cpu(graph, half=half)
        stages[graph.name] = lowered.stage
        for step in lowered.stage.segments:
            # Each file gets initializers of its own: they are changed in place later.
            models[step.files[CPU]] = onnx.ModelProto()
            models[step.files[CPU]].CopyFrom(lowered.segments[step.name])
    return stages, models


def _folded_biases(graphs: list[Graph]) -> set[str]:
    """Biases that folding batch norm created; they are parameters in all but the checkpoint."""
    names = (tensor.name for graph in graphs for tensor in graph.model.graph.initializer)
    return {name for name in names if ".encoder." in name and name.endswith(".bias")}
