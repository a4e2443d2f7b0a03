"""Export a model to a bundle folder: trace, lower, store, describe, verify."""

import contextlib
import importlib.metadata
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import onnx
from safetensors import SafetensorError

from geolrm.engine.bundle.bundle import file_sha256
from geolrm.engine.bundle.manifest import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    FileEntry,
    GpuPart,
    Manifest,
    Plan,
    Range,
    RopeTable,
    Source,
    encode,
)
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.voxel_grid import rope_indices, voxel_axis
from geolrm.engine.system.atomic import atomic_folder, error_text
from geolrm.export import gpu_artifact, lowering, weights
from geolrm.export.backend_choice import Choice
from geolrm.export.engine_builder import Profile
from geolrm.export.model import GeoLRM
from geolrm.export.trace import Graph, trace

CONFIG_KEY = "geolrm.config"
DEFAULT_VIEWS, DEFAULT_TOKENS = Range(1, 6, 21), Range(1, 8192, 16384)
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What a bundle is made for."""

    precision: str = "fp32"  # of the storage
    views: Range = DEFAULT_VIEWS
    tokens: Range = DEFAULT_TOKENS
    refine_steps: int = 0  # of gradient descent on the input pictures, after the network
    gpu: Choice | None = None  # None leaves the GPU part out
    command: str = ""  # that makes the bundle again


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
    options.tokens.check("--tokens")
    half = options.precision == "fp16"
    progress("tracing")
    graphs = trace(model)
    parameters = set(model.state_dict()) | _folded_biases(graphs)
    for graph in graphs:
        weights.qualify_constants(graph, parameters)
    gpu_graphs = None
    if options.gpu is not None:
        progress(f"lowering for {options.gpu.backend} in {options.gpu.precision}")
        gpu_graphs = gpu_artifact.lower_for_gpu(graphs, options.gpu, parameters)
    progress("lowering for onnxruntime")
    plans, models, stages = _lower(graphs)
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
            part = _gpu_part(gpu_graphs, options, temporary, folder, progress)
            manifest = describe(model, name, source, options, stages, plans, temporary, part)
            (temporary / MANIFEST_NAME).write_bytes(encode(manifest))
        if verify is not None:
            progress("verifying against torch")
            report = verify(temporary)
        else:
            report = {"status": "not run: switched off"}
        with _one_sentence(folder):
            (temporary / "verify.json").write_text(json.dumps(report, indent=1) + "\n")
    return manifest


@contextlib.contextmanager
def _one_sentence(folder: Path) -> Iterator[None]:
    """What the disk refuses while a bundle is written."""
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
    stages: dict[str, str],
    plans: dict[str, Plan],
    folder: Path,
    part: GpuPart | None = None,
) -> Manifest:
    """The manifest of a bundle whose graphs, weights and engines lie in ``folder``."""
    config = model.config
    grid, scale = config.reconstruction.grid_size, config.reconstruction.xyz_scale
    axis = voxel_axis(grid)
    return Manifest(
        schema_version=SCHEMA_VERSION,
        geolrm_version=importlib.metadata.version("geolrm"),
        model=name,
        backend="onnxruntime",
        precision=options.precision,  # pyright: ignore[reportArgumentType]
        self_attention=config.self_attention,
        image_size=config.image_size,
        fov_degrees=config.fov_degrees,
        views=options.views,
        tokens=options.tokens,
        padded_tokens=config.padded_tokens,
        level_shapes=list(model.level_shapes),
        feature_dim=config.encoder.feature_dim,
        gaussians_per_anchor=config.reconstruction.gaussians_per_anchor,
        rope=RopeTable(grid, scale, axis.tolist(), rope_indices(axis, grid, scale).tolist()),
        source=source,
        graphs=stages,
        plans=plans,
        files={
            path.name: FileEntry(path.stat().st_size, file_sha256(path))
            for path in sorted(folder.iterdir())
        },
        versions=_versions(),
        refine_steps=options.refine_steps or msgspec.UNSET,
        gpu=part or msgspec.UNSET,
    )


def _versions() -> dict[str, str]:
    """What exported; ONNX Runtime is one of two packages."""
    found = {}
    for package in ("torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _gpu_part(
    graphs: gpu_artifact.GpuGraphs | None,
    options: ExportOptions,
    folder: Path,
    previous: Path,
    progress: Progress,
) -> GpuPart | None:
    """Build what the chosen backend builds, and describe it."""
    if graphs is None or options.gpu is None:
        return None
    engines = {}
    if options.gpu.backend != "cuda":
        engines = gpu_artifact.build_engines(
            graphs,
            options.gpu,
            Profile(options.views, options.tokens),
            folder,
            previous=previous,
            progress=progress,
        )
    return gpu_artifact.describe_part(graphs, options.gpu, engines, options.command)


def _lower(
    graphs: list[Graph],
) -> tuple[dict[str, Plan], dict[str, onnx.ModelProto], dict[str, str]]:
    """Plans by stage, models by file name, and the graph file of each stage."""
    plans: dict[str, Plan] = {}
    models: dict[str, onnx.ModelProto] = {}
    stages: dict[str, str] = {}
    for graph in graphs:
        file = stages[graph.name] = f"{graph.name}.onnx"
        models[file] = graph.model
        lowered = lowering.lower(graph)
        plans[graph.name] = lowered.plan
        for segment_file, segment in lowered.segments.items():
            # Each file gets initializers of its own: they are changed in place later.
            models[segment_file] = onnx.ModelProto()
            models[segment_file].CopyFrom(segment)
    return plans, models, stages


def _folded_biases(graphs: list[Graph]) -> set[str]:
    """Biases that folding batch norm created; they are parameters in all but the checkpoint."""
    names = (tensor.name for graph in graphs for tensor in graph.model.graph.initializer)
    return {name for name in names if ".encoder." in name and name.endswith(".bias")}
