"""Which loader reads the files of a backend's segments."""

from pathlib import Path

from geolrm.engine.backends.cuda.segments import Loader


def loader(backend: str, cache: Path | None = None) -> Loader:
    """Return what loads files of this backend; ``cache`` is for what TensorRT for RTX compiles."""
    if backend == "cuda":
        from geolrm.engine.backends.cuda.onnxruntime_segment import OnnxRuntimeLoader

        return OnnxRuntimeLoader()
    from geolrm.engine.backends.cuda.tensorrt_segment import Runtime

    return Runtime(backend, cache)
