"""Whether a built TensorRT engine may be used on this GPU with the installed builder."""

from geolrm.engine.bundle.manifest import Artifact, EngineIdentity
from geolrm.engine.bundle.plan import ANY_GPU
from geolrm.engine.errors import BundleError
from geolrm.engine.system.present_gpu import PresentGpu


def choose_target(artifact: Artifact, gpu: PresentGpu) -> str:
    """Return which of the targets this GPU runs.

    Raises:
        BundleError: None of them; the message names both GPUs and the command that rebuilds.
    """
    if ANY_GPU in artifact.targets:
        return ANY_GPU
    if gpu.sm in artifact.targets:
        return gpu.sm
    built = " and ".join(artifact.targets)
    raise BundleError(
        f"{_first_file(artifact)} was built for {built}; this GPU is {gpu.sm}. Rebuild it: "
        f"{artifact.command}"
    )


def check_engine(file: str, artifact: Artifact, gpu: PresentGpu, builder: str) -> None:
    """Compare what a TensorRT engine was built for with what is here.

    Args:
        file: Of the TensorRT engine, as the plan names it.
        artifact: Of the manifest.
        gpu: The GPU of this machine.
        builder: What is installed, such as ``tensorrt 11.4.0.106``.

    Raises:
        BundleError: They differ; the message names the first field that does, and the remedy.
    """
    identity = artifact.engines.get(file)
    if identity is None:
        raise BundleError(f"{file} has no identity in the manifest. Rebuild it: {artifact.command}")
    difference = _difference(identity, gpu, builder)
    if difference:
        raise BundleError(f"{file} was built {difference}. Rebuild it: {artifact.command}")


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


def _first_file(artifact: Artifact) -> str:
    files = (file for step in artifact.segments for file in step.files.values())
    return next(files, "the bundle")
