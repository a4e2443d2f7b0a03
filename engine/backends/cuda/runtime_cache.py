"""The kernels that TensorRT for RTX compiles on this machine, kept on disk between processes.

Its engines hold no machine code: kernels are compiled when an engine is loaded, and once more for
the very shapes of a run. One cache serves all engines of a bundle. It is written after loading and
when the engine goes or the process ends, whole or not at all.
"""

import hashlib
import json
import weakref
from pathlib import Path
from typing import Any

import msgspec

from geolrm.engine.bundle.manifest import Artifact
from geolrm.engine.cuda.disk_cache import cache_folder, read_code, write_code
from geolrm.engine.system.present_gpu import PresentGpu


def runtime_cache_path(
    artifact: Artifact, files: list[str], gpu: PresentGpu, version: str, driver: tuple[int, int]
) -> Path:
    """Return a name for what these TensorRT engines compile to on this GPU.

    Args:
        artifact: Of the manifest, with the engines' identities.
        files: Of the engines.
        gpu: That runs them.
        version: Of tensorrt-rtx.
        driver: The newest CUDA that it supports.
    """
    identities = {file: msgspec.to_builtins(artifact.engines[file]) for file in sorted(files)}
    machine = [gpu.name, gpu.sm, gpu.multiprocessors, gpu.memory_bytes]
    text = json.dumps([identities, machine, version, driver], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:24]
    return cache_folder() / "tensorrt-rtx" / f"{gpu.sm}.{key}.cache"


class RuntimeCache:
    """The cache of one loaded bundle; what is on disk is taken if TensorRT accepts it."""

    def __init__(self, path: Path):
        self._state = _State(path)
        weakref.finalize(self, self._state.save)

    def attach(self, config: Any) -> None:
        """Let contexts of this ``IRuntimeConfig`` read it and add to it."""
        if self._state.cache is None:
            self._state.load(config.create_runtime_cache())
        config.set_runtime_cache(self._state.cache)

    def save(self) -> None:
        """Write it if it has grown."""
        self._state.save()


class _State:
    """Apart from the class above, so that its finalizer can still save it."""

    def __init__(self, path: Path):
        self.path, self.cache, self.written = path, None, b""

    def load(self, cache: Any) -> None:
        self.cache, stored = cache, read_code(self.path)
        # TensorRT compares versions, GPU and driver itself, and leaves the cache empty if it must.
        if stored is not None and cache.deserialize(stored):
            self.written = hashlib.sha256(stored).digest()

    def save(self) -> None:
        content = None if self.cache is None else self.cache.serialize()
        if content is None:
            return
        code = bytes(memoryview(content))
        if code and hashlib.sha256(code).digest() != self.written:
            write_code(self.path, code)
            self.written = hashlib.sha256(code).digest()
