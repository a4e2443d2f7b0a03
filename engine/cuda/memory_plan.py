"""How much GPU memory a run takes, from the manifest alone, and what fits."""

from dataclasses import dataclass

from geolrm.engine.cuda.anchors import SelectAnchors
from geolrm.engine.cuda.array import nbytes
from geolrm.engine.cuda.layout import bytes_of, lay_out, step_inputs, step_outputs
from geolrm.engine.manifest import WEIGHTS_NAME, GpuPart, GpuSegmentStep, Manifest


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes on the GPU for one setting.

    All but ``scratch`` are what is allocated. Scratch lies inside the segments, where only the
    built engine knows it; it is taken to be as much as the largest segment reads and writes.
    """

    weights: int  # files of the segments and constants of the kernels
    inputs: int  # images, cameras, foreground
    features: int
    activations: int  # the arena: the largest stage's intermediates
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
    features = outputs = activations = scratch = 0
    for name, plan in part.plans.items():
        for spec in plan.inputs:
            if spec.name not in ("features", "anchors", "rope_index", "volume"):
                inputs[spec.name] = bytes_of([spec], dims)
        if name.startswith("encoder"):
            features += bytes_of(plan.outputs, dims)
            stage = {"views": 1, "tokens": tokens}  # it runs view by view
        else:
            outputs += bytes_of(plan.outputs, dims)
            stage = dims
        activations = max(activations, lay_out(plan, stage).nbytes)
        for step in plan.steps:
            if isinstance(step, GpuSegmentStep):
                bound = bytes_of([*step_inputs(step), *step_outputs(step)], stage)
                scratch = max(scratch, bound)
    select = SelectAnchors(manifest.rope.grid_size)
    outputs += select.state_bytes + select.counts_bytes
    outputs += nbytes((tokens, 4), "float32") + nbytes((tokens, 3), "int64")
    return MemoryPlan(
        _weights(manifest, part), sum(inputs.values()), features, activations, outputs, scratch
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
