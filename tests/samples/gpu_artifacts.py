"""The GPU part of a manifest, alone."""

from geolrm.engine.bundle.manifest import (
    EngineIdentity,
    GpuIdentity,
    GpuPart,
    GpuPlan,
    GpuSegmentStep,
    Range,
)


def make_part(backend="cuda", sm="sm_89", builder="1.7.1", multiprocessors=None):
    target = "any" if backend == "cuda" else sm
    step = GpuSegmentStep("proposal.segment00", {target: "proposal.plan"}, [], [])
    identity = EngineIdentity(
        "0" * 64, f"{backend} {builder}", "", "fp16", Range(1, 6, 21), Range(1, 64, 512),
        GpuIdentity(sm, multiprocessors),
    )  # fmt: skip
    engines = {} if backend == "cuda" else {"proposal.plan": identity}
    plans = {"proposal": GpuPlan([], [], [step])}
    return GpuPart(backend, "fp16", [target], plans, engines, "geolrm-export mini --fp16")
