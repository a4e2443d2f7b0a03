"""The GPU artifact of a manifest, alone."""

from geolrm.engine.bundle.manifest import Artifact, EngineIdentity, GpuIdentity, Range
from geolrm.engine.bundle.plan import SegmentStep, Stage


def segment(name, files):
    return SegmentStep(name=name, files=files, reads=[], writes=[])


def make_artifact(backend="cuda", sm="sm_89", builder="1.7.1", multiprocessors=None):
    target = "any" if backend == "cuda" else sm
    step = segment("proposal.segment00", {target: "proposal.plan"})
    identity = EngineIdentity(
        "0" * 64, f"{backend} {builder}", "", "fp16", Range(1, 6, 21), Range(1, 64, 512),
        GpuIdentity(sm, multiprocessors),
    )  # fmt: skip
    engines = {} if backend == "cuda" else {"proposal.plan": identity}
    stages = {"proposal": Stage("proposal", [], [step])}
    return Artifact(backend, "fp16", [target], stages, engines, "geolrm-export mini --fp16")
