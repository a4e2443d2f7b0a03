"""Whether a manifest can be run: what its parts say of each other, checked before any is used.

Each part alone has been checked for its type and its range when it was decoded.
"""

from collections.abc import Iterable
from pathlib import Path

from geolrm.engine.bundle.contracts import FLOATS, Setting, check_step, extent, same_shape
from geolrm.engine.bundle.manifest import (
    MAX_ANCHORS,
    MAX_GRID,
    MAX_VIEWS,
    WEIGHTS_NAME,
    Artifact,
    Manifest,
    Range,
)
from geolrm.engine.bundle.plan import (
    ANCHOR_COUNT,
    ANY_GPU,
    CPU,
    Dim,
    SegmentStep,
    Stage,
    Tensor,
    split_dim,
)

MAX_TENSOR_BYTES = 1 << 36  # of a tensor, for one view and one anchor
MAX_BYTES = 1 << 42  # of all intermediates of a stage for as many views and anchors as there may be
ROLES = ("encoder", "proposal", "reconstruction")
COEFFICIENTS = (1, 4, 9, 16)  # of spherical harmonics


def check_manifest(manifest: Manifest) -> None:
    """Refuse a manifest whose parts do not fit each other.

    Raises:
        ValueError: One sentence without a full stop: which part, and what is wrong.
    """
    _check_range("views", manifest.views, MAX_VIEWS)
    _check_range("anchors", manifest.anchors, MAX_ANCHORS)
    if manifest.padded_anchors is not None and manifest.padded_anchors > manifest.anchors.max:
        limit = f"more than the largest number of anchors, {manifest.anchors.max}"
        raise ValueError(f"padded_anchors is {manifest.padded_anchors}, {limit}")
    for name in manifest.files:
        if Path(name).name != name or name in (".", ".."):
            raise ValueError(f"the file {name!r} is not a plain file name")
    for name, file in manifest.graphs.items():
        _check_listed(f"the graph of {name!r}", file, manifest)
    for name, entry in manifest.learned.items():
        _check_listed(f"the {name} network", entry.graph, manifest)
    backends = [artifact.backend for artifact in manifest.artifacts]
    _check_once("artifact for", backends)
    if "onnxruntime" not in backends:
        raise ValueError("there is no artifact for 'onnxruntime'")
    for artifact in manifest.artifacts:
        try:
            _check_artifact(artifact, manifest)
        except ValueError as error:
            raise ValueError(f"in the artifact for {artifact.backend!r}, {error}") from error


def _check_range(name: str, numbers: Range, most: int) -> None:
    numbers.check(name)
    if numbers.max > most:
        raise ValueError(f"{name} may be {numbers.max}, more than {most}")


def _check_once(what: str, names: Iterable[str]) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise ValueError(f"there is more than one {what} {name!r}")
        seen.add(name)


def _check_listed(what: str, file: str, manifest: Manifest) -> None:
    if file not in manifest.files:
        raise ValueError(f"{what} is in {file!r}, which is not among the files")


def _check_artifact(artifact: Artifact, manifest: Manifest) -> None:
    cpu, graphs = artifact.backend == "onnxruntime", artifact.backend == "cuda"
    _check_once("target", artifact.targets)
    wanted = [CPU] if cpu else [ANY_GPU] if graphs else artifact.targets
    if artifact.targets != wanted:
        raise ValueError(f"the targets are {artifact.targets}, not {wanted}")
    for name, identity in artifact.engines.items():
        _check_range(f"views of {name!r}", identity.views, MAX_VIEWS)
        _check_range(f"anchors of {name!r}", identity.anchors, MAX_ANCHORS)
    if artifact.weights and WEIGHTS_NAME not in manifest.files:
        raise ValueError(f"steps have weights, but {WEIGHTS_NAME!r} is not among the files")
    _check_roles(artifact)
    features = {name: _features(artifact, name) for name in ("proposal", "reconstruction")}
    for name, stage in artifact.stages.items():
        try:
            _check_stage(stage, artifact, manifest)
            _check_inputs(stage, artifact, manifest, features.get(name))
            _check_outputs(stage, artifact, manifest)
        except ValueError as error:
            raise ValueError(f"stage {name!r}: {error}") from error


def _check_roles(artifact: Artifact) -> None:
    """Each stage by its role, and features for each stage that reads them."""
    for name, stage in artifact.stages.items():
        if stage.role != "encoder" and stage.role != name:
            raise ValueError(f"the stage {name!r} has the role {stage.role!r}")
        if stage.role != "encoder" and stage.features_for:
            raise ValueError(f"the stage {name!r} makes features and is no encoder")
    encoders = [stage for stage in artifact.stages.values() if stage.role == "encoder"]
    there = {stage.role for stage in artifact.stages.values()}
    if missing := [role for role in ROLES if role not in there]:
        raise ValueError(f"it lacks the plan of {' and '.join(missing)}")
    readers = [reader for stage in encoders for reader in stage.features_for]
    if sorted(readers) != ["proposal", "reconstruction"]:
        raise ValueError(f"the encoders make features for {sorted(readers)}, not for each stage")


def _features(artifact: Artifact, reader: str) -> Tensor | None:
    """Find what an encoder makes for a stage; None where that is not one tensor."""
    (encoder,) = (
        stage
        for stage in artifact.stages.values()
        if stage.role == "encoder" and reader in stage.features_for
    )
    return encoder.outputs[0] if len(encoder.outputs) == 1 else None


def _check_stage(stage: Stage, artifact: Artifact, manifest: Manifest) -> None:
    tensors = {tensor.name: tensor for tensor in stage.tensors}
    _check_once("tensor", (tensor.name for tensor in stage.tensors))
    _check_tensors(stage, manifest)
    _check_once("step that writes", (name for step in stage.steps for name in step.writes))
    written = {name for step in stage.steps for name in step.writes}
    for tensor in stage.tensors:
        made_here = tensor.lifetime != "input" and tensor.view_of is None
        if made_here and tensor.name not in written:
            raise ValueError(f"no step writes {tensor.name!r}")
        if not made_here and tensor.name in written:
            raise ValueError(f"a step writes {tensor.name!r}, which is an input or a view")
    pixels = sum(height * width for height, width in manifest.level_shapes)
    setting = Setting(artifact.backend != "onnxruntime", len(manifest.level_shapes), pixels)
    for index, step in enumerate(stage.steps):
        try:
            check_step(step, tensors, setting)
            if isinstance(step, SegmentStep):
                _check_segment(step, artifact, manifest)
        except ValueError as error:
            raise ValueError(f"step {index} ({step.operator}): {error}") from error


def _check_segment(step: SegmentStep, artifact: Artifact, manifest: Manifest) -> None:
    for target in artifact.targets:
        if target not in step.files:
            raise ValueError(f"it lacks a file for {target!r}")
    for file in step.files.values():
        _check_listed("it", file, manifest)
        if artifact.backend.startswith("tensorrt") and file not in artifact.engines:
            raise ValueError(f"the engine {file!r} has no identity")


def _check_tensors(stage: Stage, manifest: Manifest) -> None:
    known: dict[str, Tensor] = {}
    most = {"views": manifest.views.max, "anchors": manifest.anchors.max}
    sized = {dim for tensor in stage.inputs for dim in tensor.shape if isinstance(dim, str)}
    total = 0
    for tensor in stage.tensors:
        symbols = {split_dim(dim)[1] for dim in tensor.shape if isinstance(dim, str)}
        if not symbols <= sized:
            raise ValueError(f"no input says how many {min(symbols - sized)} {tensor.name!r} has")
        if tensor.nbytes_at({"views": 1, "anchors": 1}) > MAX_TENSOR_BYTES:
            raise ValueError(f"{tensor.name!r} has the shape {tensor.shape}, which is too large")
        if tensor.view_of is None:
            total += tensor.nbytes_at(most)
        else:
            _check_view(tensor, known)
        known[tensor.name] = tensor
    if total > MAX_BYTES:
        raise ValueError(f"its tensors take {total / 1e9:.0f} GB, more than {MAX_BYTES / 1e9:.0f}")


def _check_view(tensor: Tensor, known: dict[str, Tensor]) -> None:
    source = known.get(tensor.view_of or "")
    if source is None or source.view_of is not None:
        raise ValueError(
            f"{tensor.name!r} is a view of {tensor.view_of!r}, which is no tensor before it"
        )
    if tensor.lifetime != "intermediate":
        raise ValueError(f"the view {tensor.name!r} is an {tensor.lifetime}")
    if extent(tensor.shape) != extent(source.shape) or tensor.dtype != source.dtype:
        raise ValueError(
            f"the view {tensor.name!r} is {tensor.dtype} {tensor.shape}, what it shows is "
            f"{source.dtype} {source.shape}"
        )


def _check_inputs(
    stage: Stage, artifact: Artifact, manifest: Manifest, features: Tensor | None
) -> None:
    """Compare a stage's inputs with what an engine gives to a stage of its role."""
    side = manifest.image_size
    given: dict[str, tuple[str, list[Dim]]] = {}
    if stage.role == "encoder":
        given["images"] = "float32", ["views", 3, side, side]
        given["c2w"] = "float32", ["views", 4, 4]
        given["intrinsics"] = "float32", ["views", 3, 3]
    else:
        given["projection"] = "float32", ["views", 3, 4]
        given["foreground"] = "float32", ["views", 4, side, side]
        given["valid"] = "float32", ["views", side, side]
        if features is not None:
            given["features"] = features.dtype, features.shape
    if stage.role == "reconstruction":
        given["anchors"] = "float32", ["anchors", 3]
        given["rope_index"] = "int64", ["anchors", 3]
        for tensor in artifact.stages["proposal"].outputs:
            if tensor.name == "volume":
                given["volume"] = tensor.dtype, tensor.shape
        if artifact.backend != "onnxruntime":
            given[ANCHOR_COUNT] = "int32", [1]
    for tensor in stage.inputs:
        if tensor.name not in given:
            raise ValueError(f"there is no input {tensor.name!r} for the role {stage.role!r}")
        dtype, shape = given[tensor.name]
        if tensor.dtype != dtype or not same_shape(tensor.shape, shape):
            raise ValueError(
                f"the input {tensor.name!r} is {tensor.dtype} {tensor.shape}, not {dtype} {shape}"
            )


def _check_outputs(stage: Stage, artifact: Artifact, manifest: Manifest) -> None:
    """Compare a stage's outputs with what an engine takes from a stage of its role."""
    outputs = {tensor.name: tensor for tensor in stage.outputs}
    if stage.role == "encoder":
        pixels = sum(height * width for height, width in manifest.level_shapes)
        dtypes = FLOATS[:1] if artifact.backend == "onnxruntime" else FLOATS
        _take(outputs, "features", ["views", pixels, manifest.feature_dim], dtypes)
    elif stage.role == "proposal":
        grid = manifest.rope.grid_size
        logits = outputs.get("logits")
        if artifact.backend == "onnxruntime" and logits is not None and logits.shape:
            own = logits.shape[0]  # only kernels on GPUs need that of the reconstruction
            grid = own if isinstance(own, int) and 2 <= own <= MAX_GRID else grid
        _take(outputs, "logits", [grid] * 3, FLOATS[:1])
        outputs.pop("volume", None)
    else:
        count: Dim = f"{manifest.gaussians_per_anchor}*anchors"
        for name, width in (("means", 3), ("scales", 3), ("quats", 4)):
            _take(outputs, name, [count, width], FLOATS[:1])
        _take(outputs, "opacities", [count], FLOATS[:1])
        colors = outputs.get("colors")
        number = colors.shape[1] if colors is not None and len(colors.shape) == 3 else None
        harmonics = [number] if number in COEFFICIENTS else []
        _take(outputs, "colors", [count, *harmonics, 3], FLOATS[:1])
    if outputs:
        raise ValueError(f"the output {min(outputs)!r} is none of the role {stage.role!r}")


def _take(outputs: dict[str, Tensor], name: str, shape: list[Dim], dtypes: tuple[str, ...]) -> None:
    tensor = outputs.pop(name, None)
    if tensor is None:
        raise ValueError(f"there is no output {name!r}")
    if not same_shape(tensor.shape, shape) or tensor.dtype not in dtypes:
        raise ValueError(
            f"the output {name!r} is {tensor.dtype} {tensor.shape}, not {' or '.join(dtypes)} "
            f"{shape}"
        )
