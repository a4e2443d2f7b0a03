"""ONNX Runtime on the CPU: one graph file, run into buffers of the caller."""

import functools

from numpy.typing import NDArray

from geolrm.engine.backends.cpu.graph_threads import GraphThreads
from geolrm.engine.backends.onnxruntime_session import failure, open_session
from geolrm.engine.bundle.bundle import StoredSegment


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
    """A graph on the CPU provider.

    Raises:
        BundleError: ONNX Runtime refuses the graph.
        GeoLRMError: There is not the memory for it.
    """

    def __init__(self, stored: StoredSegment, threads: int):
        import onnxruntime as ort

        _shared_arena()
        self._threads = GraphThreads(threads)
        options = ort.SessionOptions()
        self._threads.configure(options)
        options.log_severity_level = 3
        options.use_deterministic_compute = True
        options.add_session_config_entry("session.use_env_allocators", "1")
        self._name = stored.path.name
        with self._threads.opening():
            self._session = open_session(stored, options, ["CPUExecutionProvider"])
        self._inputs = {value.name for value in self._session.get_inputs()}

    def run(self, inputs: dict[str, NDArray], outputs: dict[str, NDArray]) -> None:
        """Run once; the results are written into the arrays of ``outputs``.

        Raises:
            BundleError: The graph does not run with these tensors.
            GeoLRMError: There is not the memory for it.
        """
        try:
            binding = self._session.io_binding()
            for name, array in inputs.items():
                if name in self._inputs:
                    binding.bind_input(name, "cpu", 0, array.dtype, array.shape, _pointer(array))
            for name, array in outputs.items():
                binding.bind_output(name, "cpu", 0, array.dtype, array.shape, _pointer(array))
            with self._threads.running():
                self._session.run_with_iobinding(binding)
        except AssertionError:  # ours
            raise
        except Exception as error:  # ONNX Runtime raises classes of its own, one per code
            raise failure("run", self._name, error) from error


def _pointer(array: NDArray) -> int:
    assert array.flags.c_contiguous, "segments read and write C-contiguous arrays"
    return array.ctypes.data
