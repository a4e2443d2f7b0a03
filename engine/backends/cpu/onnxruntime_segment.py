"""ONNX Runtime on the CPU: one graph file, run into buffers of the caller."""

import functools
from pathlib import Path

from numpy.typing import NDArray

from geolrm.engine.backends.cpu.graph_threads import GraphThreads
from geolrm.engine.errors import BundleError


@functools.cache
def _shared_arena() -> bool:
    """One allocator for all sessions, so that scratch memory is not held once per segment."""
    import onnxruntime as ort

    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    grow_as_requested = 1
    arena = ort.OrtArenaCfg(0, grow_as_requested, -1, -1)
    ort.create_and_register_allocator(memory, arena)
    return True


class OnnxRuntimeSegment:
    """A graph file on the CPU provider."""

    def __init__(self, path: Path, threads: int):
        import onnxruntime as ort

        _shared_arena()
        self._threads = GraphThreads(threads)
        options = ort.SessionOptions()
        self._threads.configure(options)
        options.log_severity_level = 3
        options.use_deterministic_compute = True
        options.add_session_config_entry("session.use_env_allocators", "1")
        try:
            with self._threads.opening():
                self._session = ort.InferenceSession(
                    str(path), options, providers=["CPUExecutionProvider"]
                )
        except Exception as error:  # ONNX Runtime raises classes of its own, one per code
            reason = " ".join(str(error).split())
            raise BundleError(f"ONNX Runtime cannot load {path}: {reason}") from error
        self._inputs = {value.name for value in self._session.get_inputs()}

    def run(self, inputs: dict[str, NDArray], outputs: dict[str, NDArray]) -> None:
        """Run once; the results are written into the arrays of ``outputs``."""
        binding = self._session.io_binding()
        for name, array in inputs.items():
            if name in self._inputs:
                binding.bind_input(name, "cpu", 0, array.dtype, array.shape, _pointer(array))
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, _pointer(array))
        with self._threads.running():
            self._session.run_with_iobinding(binding)


def _pointer(array: NDArray) -> int:
    assert array.flags.c_contiguous, "segments read and write C-contiguous arrays"
    return array.ctypes.data
