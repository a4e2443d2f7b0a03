"""Optional packages: whether one is installed, and which extra of geolrm installs it."""

import importlib.metadata

from geolrm.engine.errors import GeoLRMError

KERNEL_PACKAGES = ("cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc")  # compile and launch kernels
EXTRAS = {
    "av": "video",
    "fast-simplification": "mesh",
    "fastapi": "fleet",
    "huggingface_hub": "hub",
    "matplotlib": "eval",
    "nvidia-cuda-nvdisasm": "test",
    "onnx": "export",
    "onnxruntime-gpu": "gpu",
    "onnxscript": "export",
    "pillow-heif": "photos",
    "prometheus-client": "fleet",
    "pycolmap": "colmap",
    "python-multipart": "fleet",
    "ray": "fleet",
    "rembg": "rembg",
    "scikit-image": "mesh",
    "scipy": "eval",
    "tensorrt": "tensorrt",
    "tensorrt-rtx": "rtx",
    "torch": "export",
    "usd-core": "usd",
    "uvicorn": "fleet",
    "websockets": "fleet",
    "xatlas": "mesh",
} | dict.fromkeys(KERNEL_PACKAGES, "gpu")
TITLES = {"av": "PyAV"}  # packages whose usual name is not the registry's


def installed_version(package: str) -> str | None:
    """Return the version of a package, None where it is not installed; nothing is imported."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def require(package: str, purpose: str, *, extra: str | None = None, instead: str = "") -> None:
    """Refuse in one sentence when a package is not installed.

    Args:
        package: Its name in the registry.
        purpose: What needs it, in the singular.
        extra: The extra of geolrm that installs it; default: that of :data:`EXTRAS`.
        instead: Another way out, which ends the sentence after an "or".

    Raises:
        GeoLRMError: Names the package and the command that installs it.
    """
    if installed_version(package) is None:
        remedy = f"pip install 'geolrm[{extra or EXTRAS[package]}]'"
        raise GeoLRMError(
            f"{purpose} needs {TITLES.get(package, package)}, which is not installed; run: {remedy}"
            + (f", or {instead}" if instead else "")
        )
