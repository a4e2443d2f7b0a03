"""Which backend an engine runs on, and why."""

from dataclasses import dataclass

from geolrm.engine.backends.engine_identity import check_engine, choose_target
from geolrm.engine.bundle.bundle import BUNDLED_MODELS, Bundle
from geolrm.engine.bundle.manifest import BACKENDS, GpuPart, GpuSegmentStep
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
        BundleError: The bundle has no part for it, or its part is for another GPU or builder.
        GeoLRMError: The driver, the GPU or a package is missing or too old.
    """
    if asked not in BACKENDS:
        raise InputError(f"backend is {asked!r}; it must be one of {', '.join(BACKENDS)}")
    part = bundle.manifest.gpu or None
    if asked == "onnxruntime":
        return Selected(asked, "it was asked for")
    if asked == "auto":
        if part is None:
            return Selected("onnxruntime", "the bundle holds no part for a GPU")
        try:
            return check_part(part, "auto", device)
        except GeoLRMError as error:
            return Selected("onnxruntime", f"not {part.backend}: {error}")
    if part is None or part.backend != asked:
        held = "onnxruntime" if part is None else f"{part.backend} and onnxruntime"
        model, checkpoint = bundle.manifest.model, bundle.manifest.source.checkpoint
        source = model if model in BUNDLED_MODELS else checkpoint or "CHECKPOINT"
        raise BundleError(
            f"backend is {asked!r}, but the bundle {str(bundle.path)!r} holds {held}; export it "
            f"again: geolrm-export {source} --backend {asked} --fp16 -o FOLDER"
        )
    return check_part(part, "asked", device)


def check_part(part: GpuPart, asked: str, device: int = 0) -> Selected:
    """Whether this machine runs the GPU part of a bundle.

    Raises:
        BundleError: It was made for another GPU or by another builder.
        GeoLRMError: The driver, the GPU or a package is missing or too old.
    """
    what = f"the backend {part.backend}"
    gpu = check_gpu(what, device, "or use the backend onnxruntime")
    package = PACKAGES[part.backend]  # what runs the segments; the kernels come in all of them
    for name in (*extras.KERNEL_PACKAGES, package):
        extras.require(name, what, extra=extras_of(part.backend))
    target = choose_target(part, gpu)
    if part.backend == "cuda":
        _check_provider()
    else:
        builder = f"{package} {extras.installed_version(package)}"
        for file in segment_files(part, target):
            check_engine(file, part, gpu, builder)
    what = "graphs" if part.backend == "cuda" else "engines"
    reason = f"the bundle holds {part.precision} {what} that run on {gpu.name} ({gpu.sm})"
    if asked == "asked":
        reason = f"it was asked for; {reason}"
    return Selected(part.backend, reason, target, gpu)


def extras_of(backend: str) -> str:
    """The extras of geolrm that a GPU backend needs: "gpu", or "gpu" and its own."""
    return ",".join(dict.fromkeys(("gpu", extras.EXTRAS[PACKAGES[backend]])))


def segment_files(part: GpuPart, target: str) -> list[str]:
    """Files of all segments for a target, each once."""
    files = [
        step.files.get(target)
        for plan in part.plans.values()
        for step in plan.steps
        if isinstance(step, GpuSegmentStep)
    ]
    if None in files:
        raise BundleError(f"the bundle lacks a file for {target}. Rebuild it: {part.command}")
    return list(dict.fromkeys(file for file in files if file is not None))


def _check_provider() -> None:
    import onnxruntime as ort

    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise GeoLRMError(
            "onnxruntime-gpu is installed, but the package onnxruntime lies over it and knows no "
            "GPU; run: pip uninstall -y onnxruntime && pip install --force-reinstall --no-deps "
            "onnxruntime-gpu"
        )
