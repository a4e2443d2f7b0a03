"""Whether a built engine may be used on this GPU with the installed builder."""

from geolrm.engine.bundle.manifest import ANY_GPU, EngineIdentity, GpuPart, GpuSegmentStep
from geolrm.engine.errors import BundleError
from geolrm.engine.system.present_gpu import PresentGpu


def choose_target(part: GpuPart, gpu: PresentGpu) -> str:
    """Which of a bundle's targets this GPU runs.

    Raises:
        BundleError: None of them; the message names both GPUs and the command that rebuilds.
    """
    if ANY_GPU in part.targets:
        return ANY_GPU
    if gpu.sm in part.targets:
        return gpu.sm
    built = " and ".join(part.targets)
    raise BundleError(
        f"{_first_file(part)} was built for {built}; this GPU is {gpu.sm}. Rebuild it: "
        f"{part.command}"
    )


def check_engine(file: str, part: GpuPart, gpu: PresentGpu, builder: str) -> None:
    """Compare what an engine was built for with what is here.

    Args:
        file: Of the engine, as the plan names it.
        part: Of the manifest.
        gpu: The GPU of this machine.
        builder: What is installed, such as ``tensorrt 11.4.0.106``.

    Raises:
        BundleError: They differ; the message names the first field that does, and the remedy.
    """
    identity = part.engines.get(file)
    if identity is None:
        raise BundleError(f"{file} has no identity in the manifest. Rebuild it: {part.command}")
    difference = _difference(identity, gpu, builder)
    if difference:
        raise BundleError(f"{file} was built {difference}. Rebuild it: {part.command}")


def _difference(identity: EngineIdentity, gpu: PresentGpu, builder: str) -> str:
    built = identity.gpu
    if built.sm != gpu.sm:
        return f"for {built.sm}; this GPU is {gpu.sm}"
    if built.multiprocessors not in (None, gpu.multiprocessors):
        return (
            f"for a GPU of {built.multiprocessors} multiprocessors; this one has "
            f"{gpu.multiprocessors}"
        )
    if built.memory_bytes not in (None, gpu.memory_bytes):
        return (
            f"for a GPU with {built.memory_bytes / 1e9:.1f} GB; this one has "
            f"{gpu.memory_bytes / 1e9:.1f} GB"
        )
    if identity.builder != builder:
        return f"by {identity.builder}; installed is {builder}"
    return ""


def _first_file(part: GpuPart) -> str:
    for plan in part.plans.values():
        for step in plan.steps:
            if isinstance(step, GpuSegmentStep):
                return next(iter(step.files.values()))
    return "the bundle"
