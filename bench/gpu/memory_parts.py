"""The released model's GPU memory as planned: ``python -m geolrm.bench.gpu.memory_parts``.

No GPU and no weights are needed: a layer is like the next, so that few are traced.
"""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from geolrm.bench.gpu.choices import TARGETS, Settings
from geolrm.bench.gpu.packing.logged_graphs import LAYERS, shallow
from geolrm.engine.backends.cuda.memory_plan import MemoryPlan, plan_memory
from geolrm.engine.backends.cuda.onnxruntime_segment import handle_bytes
from geolrm.engine.bundle.manifest import Artifact, Manifest
from geolrm.engine.bundle.plan import ANY_GPU
from geolrm.engine.system.exit_codes import one_sentence_errors


def planned(config: Any, settings: Settings, precision: Any = "fp16") -> list[MemoryPlan]:
    """Plan the memory of a model on the backend ``cuda``, for each number of views and anchors."""
    artifact = _artifact(shallow(config), precision)
    told = SimpleNamespace(
        rope=SimpleNamespace(grid_size=config.reconstruction.grid_size),
        anchors=SimpleNamespace(max=max(anchors for _, anchors in settings)),
        files={},
    )
    sessions = _sessions(config, artifact, _artifact(shallow(config, LAYERS - 1), precision))
    weights, libraries = weight_bytes(config, half=precision != "fp32"), sessions * handle_bytes()
    return [
        replace(
            plan_memory(cast(Manifest, told), artifact, *setting),
            weights=weights,
            libraries=libraries,
        )
        for setting in settings
    ]


def weight_bytes(config: Any, *, half: bool) -> int:
    """Return the bytes of a model's weights as a bundle stores them; none of them is made."""
    import torch

    from geolrm.export.model import GeoLRM
    from geolrm.export.weights import is_stored_half

    with torch.device("meta"):
        stored = GeoLRM(config).state_dict().values()
    return sum(
        tensor.numel() * (2 if half and is_stored_half(tuple(tensor.shape)) else 4)
        for tensor in stored
    )


def table(settings: Settings, plans: Sequence[MemoryPlan]) -> str:
    """Write Markdown: a row for each part, a column for each setting, in MB."""
    heads = [f"V = {views}, N = {anchors}" for views, anchors in settings]
    lines = [f"| MB | {' | '.join(heads)} |", f"|---|{'--:|' * len(heads)}"]
    for rows in zip(*(plan.rows() for plan in plans), strict=True):
        lines.append(f"| {rows[0][0]} | {' | '.join(f'{size / 1e6:.0f}' for _, size in rows)} |")
    return "\n".join(lines)


def _artifact(config: Any, precision: Any) -> Artifact:
    """Lower a model of random weights for the backend ``cuda``."""
    import torch

    from geolrm.export.backend_choice import Choice, Target
    from geolrm.export.gpu_artifact import describe_artifact, lower_for_gpu
    from geolrm.export.model import GeoLRM
    from geolrm.export.trace import trace

    torch.manual_seed(0)
    model = GeoLRM(config).eval().requires_grad_(False)
    choice = Choice("cuda", precision, (Target(ANY_GPU),), "a plan of memory")
    lowered = lower_for_gpu(trace(model), choice, set(model.state_dict()))
    return describe_artifact(lowered, choice, {}, "")


def _sessions(config: Any, shallow: Artifact, shallower: Artifact) -> int:
    """Count the segments of a deep model.

    Each layer adds what the last one of the shallow model did: which attention cuts a graph
    depends on the precision and on the width of a head.
    """
    sessions = len(shallow.segments)
    for role, part in (("proposal", config.proposal), ("reconstruction", config.reconstruction)):
        more, fewer = (
            sum(len(stage.segments) for stage in each.stages.values() if stage.role == role)
            for each in (shallow, shallower)
        )
        sessions += (more - fewer) * (part.transformer.num_layers - LAYERS)
    return sessions


def main() -> None:
    """Print the plan at the settings of the targets."""
    from geolrm.export.model import released

    print(table(TARGETS, planned(released("token"), TARGETS)))


if __name__ == "__main__":
    with one_sentence_errors():
        main()
