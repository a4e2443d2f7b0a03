"""Which backend an engine runs on, and why."""

from dataclasses import dataclass

from geolrm.engine.backends.engine_identity import check_engine, choose_target
from geolrm.engine.bundle.bundle import BUNDLED_MODELS, Bundle
from geolrm.engine.bundle.manifest import BACKENDS, Artifact
from geolrm.engine.errors import BundleError, GeoLRMError, InputError
from geolrm.engine.system import extras
from geolrm.engine.system.present_gpu import PresentGpu
from geolrm.engine.system.usable_gpu import check_gpu

PACKAGES = {"tensorrt-rtx": "tensorrt-rtx", "tensorrt": "tensorrt", "cuda": "onnxruntime-gpu"}


@dataclass(frozen=True, slots=True)
class Selected:
    """A backend that this machine can run."""

    name: str
    reason: str  # half a sentence
    target: str | None = None  # of the bundle's files; None on the CPU
    gpu: PresentGpu | None = None


def select_backend(asked: str, bundle: Bundle, device: int = 0) -> Selected:
    """Check what was asked against the bundle and the machine; ``auto`` takes the best.

    Raises:
        InputError: There is no such backend.
        BundleError: The bundle has no artifact for it, or one for another GPU or builder.
        GeoLRMError: The driver, the GPU or a package is missing or too old.
    """
    if asked not in BACKENDS:
        raise InputError(f"backend is {asked!r}; it must be one of {', '.join(BACKENDS)}")
    manifest = bundle.manifest
    if asked == "auto":
        if manifest.gpu is None:
            return Selected("onnxruntime", "the bundle holds nothing for a GPU")
        try:
            return check_artifact(manifest.gpu, "auto", device)
        except GeoLRMError as error:
            return Selected("onnxruntime", f"not {manifest.gpu.backend}: {error}")
    artifact = manifest.artifact(asked)
    if artifact is None:
        held = " and ".join(each.backend for each in manifest.artifacts)
        model, checkpoint = manifest.model, manifest.source.checkpoint
        source = model if model in BUNDLED_MODELS else checkpoint or "CHECKPOINT"
        raise BundleError(
            f"backend is {asked!r}, but the bundle {str(bundle.path)!r} holds {held}; export it "
            f"again: geolrm-export {source} --backend {asked} --fp16 -o FOLDER"
        )
    if asked == "onnxruntime":
        return Selected(asked, "it was asked for")
    return check_artifact(artifact, "asked", device)


def check_artifact(artifact: Artifact, asked: str, device: int = 0) -> Selected:
    """Check that this machine runs the GPU artifact of a bundle.

    Raises:
        BundleError: It was made for another GPU or by another builder.
        GeoLRMError: The driver, the GPU or a package is missing or too old.
    """
    what = f"the backend {artifact.backend}"
    gpu = check_gpu(what, device, "or use the backend onnxruntime")
    package = PACKAGES[artifact.backend]  # what runs the segments; the kernels come in all of them
    for name in (*extras.KERNEL_PACKAGES, package):
        extras.require(name, what, extra=extras_of(artifact.backend))
    target = choose_target(artifact, gpu)
    if artifact.backend == "cuda":
        _check_provider()
    else:
        builder = f"{package} {extras.installed_version(package)}"
        for file in segment_files(artifact, target):
            check_engine(file, artifact, gpu, builder)
    what = "graphs" if artifact.backend == "cuda" else "TensorRT engines"
    reason = f"the bundle holds {artifact.precision} {what} that run on {gpu.name} ({gpu.sm})"
    if asked == "asked":
        reason = f"it was asked for; {reason}"
    return Selected(artifact.backend, reason, target, gpu)


def extras_of(backend: str) -> str:
    """Return the extras of geolrm that a GPU backend needs: "gpu", or "gpu" and its own."""
    return ",".join(dict.fromkeys(("gpu", extras.EXTRAS[PACKAGES[backend]])))


def segment_files(artifact: Artifact, target: str) -> list[str]:
    """Return the files of all segments for a target, each once."""
    files = [step.files.get(target) for step in artifact.segments]
    if None in files:
        raise BundleError(f"the bundle lacks a file for {target}. Rebuild it: {artifact.command}")
    return list(dict.fromkeys(file for file in files if file is not None))


def _check_provider() -> None:
    import onnxruntime as ort

    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise GeoLRMError(
            "onnxruntime-gpu is installed, but the package onnxruntime lies over it and knows no "
            "GPU; run: pip uninstall -y onnxruntime && pip install --force-reinstall --no-deps "
            "onnxruntime-gpu"
        )
