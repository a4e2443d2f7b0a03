"""How much GPU memory a run takes, from the manifest alone, and what fits."""

from dataclasses import dataclass

from geolrm.engine.backends.cuda.anchors import SelectAnchors
from geolrm.engine.backends.cuda.encoding import largest_batch
from geolrm.engine.backends.cuda.executor import sorts_anchors
from geolrm.engine.backends.cuda.onnxruntime_segment import arena_bytes
from geolrm.engine.backends.cuda.spatial_order import order_bytes
from geolrm.engine.backends.layout import bytes_of, lay_out, step_inputs, step_outputs
from geolrm.engine.bundle.manifest import WEIGHTS_NAME, GpuPart, GpuSegmentStep, Manifest
from geolrm.engine.cuda.array import nbytes


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
    activations: int  # the arena: the largest stage's intermediates, and the order of anchors
    outputs: int  # logits, volume, anchors, Gaussians
    scratch: int  # estimated

    @property
    def total(self) -> int:
        """Their sum."""
        return (
            self.weights + self.inputs + self.features + self.activations + self.outputs
            + self.scratch
        )  # fmt: skip

    @property
    def of_a_run(self) -> int:
        """What a run adds to a loaded engine."""
        return self.total - self.weights

    def rows(self) -> list[tuple[str, int]]:
        """For a table."""
        names = ("weights", "inputs", "features", "activations", "outputs", "scratch")
        return [(name, getattr(self, name)) for name in names] + [("total", self.total)]


def plan_memory(manifest: Manifest, part: GpuPart, views: int, tokens: int) -> MemoryPlan:
    """The memory of a run with ``views`` views and ``tokens`` anchors."""
    dims = {"views": views, "tokens": tokens}
    inputs: dict[str, int] = {}
    batches: dict[str, int] = {}  # of views that are encoded together, once more
    features = outputs = activations = scratch = 0
    for name, plan in part.plans.items():
        for spec in plan.inputs:
            if spec.name not in ("features", "anchors", "rope_index", "volume"):
                inputs[spec.name] = bytes_of([spec], dims)
        if name.startswith("encoder"):
            features += bytes_of(plan.outputs, dims)
            stage = {"views": largest_batch(views), "tokens": tokens}
            slots = [*plan.inputs, *(plan.outputs if part.backend != "cuda" else [])]
            batches |= {spec.name: bytes_of([spec], stage) for spec in slots}
        else:
            outputs += bytes_of(plan.outputs, dims)
            stage = dims
        order = order_bytes(tokens) if sorts_anchors(plan) else 0
        activations = max(activations, lay_out(plan, stage).nbytes + order)
        for step in plan.steps:
            if isinstance(step, GpuSegmentStep):
                scratch = max(scratch, _scratch(step, stage))
    if part.backend == "cuda":
        scratch = arena_bytes(scratch)
    select = SelectAnchors(manifest.rope.grid_size)
    outputs += select.state_bytes + select.counts_bytes
    outputs += nbytes((tokens, 4), "float32") + nbytes((tokens, 3), "int64")
    features += sum(batches.values())
    return MemoryPlan(
        _weights(manifest, part), sum(inputs.values()), features, activations, outputs, scratch
    )


def shortage(
    manifest: Manifest, part: GpuPart, views: int, tokens: int, available: int
) -> str | None:
    """Why a run does not fit into so many bytes beside the weights, and what does; or None."""
    need = plan_memory(manifest, part, views, tokens).of_a_run
    if need <= available:
        return None
    fitting = largest_setting(manifest, part, views, tokens, available)
    remedy = "not even the smallest setting fits: free memory of the GPU"
    if fitting is not None:
        remedy = f"{fitting[0]} views with --max-tokens {fitting[1]} fit"
    return (
        f"{views} views with {tokens} anchors need {need / 1e9:.2f} GB of GPU memory beside the "
        f"weights, and {available / 1e9:.2f} GB are free; {remedy}, or use the backend onnxruntime"
    )


def largest_setting(
    manifest: Manifest, part: GpuPart, views: int, tokens: int, available: int
) -> tuple[int, int] | None:
    """The largest setting no larger than this one whose run fits: fewer anchors before views.

    None where not even the smallest does.
    """

    def fits(v: int, n: int) -> bool:
        return plan_memory(manifest, part, v, n).of_a_run <= available

    for v in range(views, manifest.views.min - 1, -1):
        low, high = manifest.tokens.min, tokens
        if not fits(v, low):
            continue
        while low < high:  # the memory grows with the tokens
            middle = (low + high + 1) // 2
            low, high = (middle, high) if fits(v, middle) else (low, middle - 1)
        return v, low
    return None


def _scratch(step: GpuSegmentStep, dims: dict[str, int]) -> int:
    if step.scratch:
        return step.scratch.of(dims["views"], dims["tokens"])
    return bytes_of([*step_inputs(step), *step_outputs(step)], dims)


def _weights(manifest: Manifest, part: GpuPart) -> int:
    """Of one target's files: graphs keep their weights beside them, engines inside."""
    target = part.targets[0]
    files = {
        step.files[target]
        for plan in part.plans.values()
        for step in plan.steps
        if isinstance(step, GpuSegmentStep)
    }
    total = sum(manifest.files[file].bytes for file in files if file in manifest.files)
    if part.backend == "cuda" and WEIGHTS_NAME in manifest.files:
        total += manifest.files[WEIGHTS_NAME].bytes
    return total
