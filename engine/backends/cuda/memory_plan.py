"""How much GPU memory a run takes, from the manifest alone, and what fits."""

from dataclasses import dataclass, fields

from geolrm.engine.backends.cuda.anchors import SelectAnchors
from geolrm.engine.backends.cuda.encoding import largest_batch
from geolrm.engine.backends.cuda.onnxruntime_segment import arena_bytes, handle_bytes
from geolrm.engine.backends.cuda.operators import workspaces
from geolrm.engine.backends.cuda.padding import padded_anchors
from geolrm.engine.backends.layout import bytes_of, lay_out
from geolrm.engine.bundle.manifest import WEIGHTS_NAME, Artifact, Manifest
from geolrm.engine.bundle.plan import ANCHOR_COUNT, Dims, SegmentStep, Stage
from geolrm.engine.cuda.array import ITEMSIZE, nbytes

MADE = ("features", "anchors", "rope_index", "volume", ANCHOR_COUNT)  # inputs that a run makes


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes on the GPU for one setting.

    All but ``scratch`` are what is allocated. Scratch lies inside the segments, which use it in
    turn: it is the estimate of the exporter, or what the largest segment reads and writes where
    there is none.
    """

    weights: int  # files of the segments and constants of the kernels
    inputs: int  # images, cameras, foreground
    features: int  # of all views, and what an encoder's batch reads and writes
    activations: int  # the arena: the largest stage's intermediates, and what kernels need
    outputs: int  # logits, volume, anchors, Gaussians
    scratch: int  # estimated
    libraries: int = 0  # what cuBLAS keeps for each session of ONNX Runtime

    @property
    def total(self) -> int:
        """Their sum."""
        return (
            self.weights + self.inputs + self.features + self.activations + self.outputs
            + self.scratch + self.libraries
        )  # fmt: skip

    @property
    def of_a_run(self) -> int:
        """What a run adds to a loaded engine."""
        return self.total - self.weights

    def rows(self) -> list[tuple[str, int]]:
        """Return the lines of a table."""
        names = [field.name for field in fields(self)]
        return [(name, getattr(self, name)) for name in names] + [("total", self.total)]


def plan_memory(manifest: Manifest, artifact: Artifact, views: int, anchors: int) -> MemoryPlan:
    """Return the memory of a run with ``views`` views and ``anchors`` anchors."""
    dims = {"views": views, "anchors": anchors}
    inputs: dict[str, int] = {}
    batches: dict[str, int] = {}  # of views that are encoded together, once more
    features = outputs = activations = scratch = 0
    for stage in artifact.stages.values():
        for tensor in stage.inputs:
            if tensor.name not in MADE:
                inputs[tensor.name] = bytes_of([tensor], dims)
                if tensor.name == "images":  # go up as bytes where they can
                    inputs["pixels"] = inputs["images"] // ITEMSIZE["float32"]
        if stage.role == "encoder":
            features += bytes_of(stage.outputs, dims)
            at_once = {"views": largest_batch(views), "anchors": anchors}
            slots = [*stage.inputs, *(stage.outputs if artifact.backend != "cuda" else [])]
            batches |= {tensor.name: bytes_of([tensor], at_once) for tensor in slots}
        else:
            padded = padded_anchors(stage, anchors, manifest.anchors.max)
            at_once = {"views": views, "anchors": padded}
            outputs += bytes_of(stage.outputs, at_once)
            if stage.reads(ANCHOR_COUNT):  # once more, at fixed addresses
                fixed = (each for each in stage.inputs if each.shape[0] == "anchors")
                outputs += bytes_of([*fixed, *stage.named([ANCHOR_COUNT])], at_once)
        layout = lay_out(stage, at_once, workspaces(stage, at_once))
        activations = max(activations, layout.nbytes)
        for step in stage.segments:
            scratch = max(scratch, _scratch(stage, step, at_once))
    libraries = 0
    if artifact.backend == "cuda":
        scratch = arena_bytes(scratch)
        libraries = len(artifact.segments) * handle_bytes()
    select = SelectAnchors(manifest.rope.grid_size)
    outputs += select.state_bytes + select.counts_bytes
    outputs += nbytes((anchors, 4), "float32") + nbytes((anchors, 3), "int64")
    features += sum(batches.values())
    weights = _weights(manifest, artifact)
    placed = sum(inputs.values())
    return MemoryPlan(weights, placed, features, activations, outputs, scratch, libraries)


def shortage(
    manifest: Manifest, artifact: Artifact, views: int, anchors: int, available: int
) -> str | None:
    """Say why a run does not fit into so many bytes beside the weights, and what does; or None."""
    need = plan_memory(manifest, artifact, views, anchors).of_a_run
    if need <= available:
        return None
    fitting = largest_setting(manifest, artifact, views, anchors, available)
    remedy = "not even the smallest setting fits: free memory of the GPU"
    if fitting is not None:
        remedy = f"{fitting[0]} views with --max-tokens {fitting[1]} fit"
    return (
        f"{views} views with {anchors} anchors need {need / 1e9:.2f} GB of GPU memory beside the "
        f"weights, and {available / 1e9:.2f} GB are free; {remedy}, or use the backend onnxruntime"
    )


def largest_setting(
    manifest: Manifest, artifact: Artifact, views: int, anchors: int, available: int
) -> tuple[int, int] | None:
    """Return the largest setting up to this one whose run fits: fewer anchors before views.

    None where not even the smallest does.
    """

    def fits(v: int, n: int) -> bool:
        return plan_memory(manifest, artifact, v, n).of_a_run <= available

    for v in range(views, manifest.views.min - 1, -1):
        low, high = manifest.anchors.min, anchors
        if not fits(v, low):
            continue
        while low < high:  # the memory grows with the anchors
            middle = (low + high + 1) // 2
            low, high = (middle, high) if fits(v, middle) else (low, middle - 1)
        return v, low
    return None


def _scratch(stage: Stage, step: SegmentStep, dims: Dims) -> int:
    if step.scratch is not None:
        return step.scratch.at(dims)
    return bytes_of(stage.named([*step.reads, *step.writes]), dims)


def _weights(manifest: Manifest, artifact: Artifact) -> int:
    """Sum the bytes of one target's files.

    Graphs keep their weights beside them, TensorRT engines inside.
    """
    target = artifact.targets[0]
    files = {step.files[target] for step in artifact.segments}
    total = sum(manifest.files[file].bytes for file in files if file in manifest.files)
    if artifact.backend == "cuda" and WEIGHTS_NAME in manifest.files:
        total += manifest.files[WEIGHTS_NAME].bytes
    return total
