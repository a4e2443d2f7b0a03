"""The GPU artifact of a bundle: graphs in the chosen precision, or TensorRT engines of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import onnx

from geolrm.engine.bundle import manifest as manifests
from geolrm.engine.bundle.bundle import file_sha256
from geolrm.engine.bundle.manifest import MANIFEST_NAME, Artifact, EngineIdentity, Manifest
from geolrm.engine.bundle.plan import Stage
from geolrm.export import half_range, precision
from geolrm.export.backend_choice import Choice
from geolrm.export.engine_builder import (
    USER_ALLOCATION,
    EngineBuilder,
    Profile,
    Progress,
    load_tensorrt,
    serialized,
)
from geolrm.export.lowering import lower_attention, lower_split, lower_whole
from geolrm.export.padding_mask import mask_padding
from geolrm.export.provider_nodes import for_provider
from geolrm.export.trace import Graph

TIMING_CACHE_NAME = "timing.cache"


@dataclass(frozen=True, slots=True)
class GpuGraphs:
    """All stages, and the graphs of their segments by name."""

    stages: dict[str, Stage]
    segments: dict[str, onnx.ModelProto]

    @property
    def files(self) -> dict[str, onnx.ModelProto]:
        """The graphs by file name, where the stages run them as they are."""
        steps = (step for stage in self.stages.values() for step in stage.segments)
        return {file: self.segments[step.name] for step in steps for file in step.files.values()}


def lower_for_gpu(
    graphs: list[Graph],
    choice: Choice,
    parameters: set[str],
    divided: Mapping[str, int] | None = None,
) -> GpuGraphs:
    """Return typed graphs, split where the backend needs it.

    Args:
        graphs: As traced; left unchanged.
        choice: The backend, the precision and the targets.
        parameters: Names of the model's weights.
        divided: Feed-forward layers that float16 does not hold, with their divisors.
    """
    policy = precision.policy_of(choice.precision, choice.backend)
    targets = [target.name for target in choice.targets]

    def files(name: str) -> dict[str, str]:
        if choice.backend == "cuda":
            return {target: f"{name}.cuda.onnx" for target in targets}
        return {target: f"{name}.{target}.plan" for target in targets}

    lower = lower_whole if choice.backend == "tensorrt" else lower_split
    result = GpuGraphs({}, {})
    for graph in graphs:
        half = precision.stored_half(graph, parameters) if choice.stored_half else set()
        typed = precision.set_precision(graph, policy, parameters, half)
        typed = half_range.divide(typed, divided or {})
        if choice.buckets:
            typed = mask_padding(typed)
        if choice.backend == "cuda":
            typed = for_provider(replace(typed, model=lower_attention(typed.model)))
        lowered = lower(typed, files)
        result.stages[graph.name] = lowered.stage
        result.segments.update(lowered.segments)
    return result


def describe_artifact(
    graphs: GpuGraphs, choice: Choice, engines: dict[str, EngineIdentity], command: str
) -> Artifact:
    """Return what the manifest says of it; ``command`` makes the bundle again."""
    targets = [target.name for target in choice.targets]
    return Artifact(choice.backend, choice.precision, targets, graphs.stages, engines, command)


def build_engines(
    graphs: GpuGraphs,
    choice: Choice,
    profile: Profile,
    folder: Path,
    *,
    previous: Path | None = None,
    progress: Progress = lambda message: None,
    load: Callable = load_tensorrt,
) -> dict[str, EngineIdentity]:
    """Build the TensorRT engines of every target into a folder.

    Args:
        graphs: Of :func:`lower_for_gpu`.
        choice: The backend and its targets.
        profile: Ranges of views and anchors.
        folder: Where the TensorRT engines go, and the timing cache of TensorRT.
        previous: An older bundle, whose engines are taken where nothing that they depend on
            changed.
        progress: Called with a line for each TensorRT engine.
        load: Imports the builder's package by name.

    Returns:
        Identities by file.
    """
    tensorrt = load(choice.backend)
    kernels = USER_ALLOCATION
    if choice.backend == "tensorrt":
        from geolrm.plugins import registration

        plugin = load("tensorrt.plugin")
        kernels = registration.register(plugin, choice.targets[0].name)
    older = _manifest(previous)
    engines: dict[str, EngineIdentity] = {}
    for target in choice.targets:
        cache = _read(previous, TIMING_CACHE_NAME) if choice.backend == "tensorrt" else b""
        builder = EngineBuilder(
            tensorrt, choice.backend, target, profile, choice.precision,
            kernels=kernels, timing_cache=cache, progress=progress,
        )  # fmt: skip
        for stage in graphs.stages.values():
            for step in stage.segments:
                model, file = serialized(graphs.segments[step.name]), step.files[target.name]
                engines[file] = builder.identity(model)
                engine = _reusable(previous, older, file, engines[file])
                inputs = stage.named(step.reads)
                (folder / file).write_bytes(engine or builder.build(step.name, inputs, model))
        if builder.timing_cache:
            (folder / TIMING_CACHE_NAME).write_bytes(builder.timing_cache)
    return engines


def _manifest(folder: Path | None) -> Manifest | None:
    """Read the manifest of an older bundle, where there is one that can be read."""
    try:
        raw = _read(folder, MANIFEST_NAME)
        return manifests.decode(raw) if raw else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read(folder: Path | None, name: str) -> bytes:
    try:
        return (folder / name).read_bytes() if folder is not None else b""
    except OSError:
        return b""


def _reusable(
    folder: Path | None, older: Manifest | None, file: str, identity: EngineIdentity
) -> bytes | None:
    """Read the older bundle's TensorRT engine, if undamaged and what would be built again."""
    if folder is None or older is None or older.gpu is None:
        return None
    entry = older.files.get(file)
    if older.gpu.engines.get(file) != identity or entry is None:
        return None
    path = folder / file
    if not path.is_file() or file_sha256(path) != entry.sha256:
        return None
    return path.read_bytes()
