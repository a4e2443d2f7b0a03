"""A graph on ONNX Runtime's CUDA provider, on our stream and in our buffers.

It is not put into CUDA graphs. The provider computes shapes on the host and copies them from
pageable memory, whose address a capture would freeze; and its own ``enable_cuda_graph`` makes the
host wait for the stream at every replay.
"""

import contextlib
import ctypes
import functools
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from geolrm.engine.backends.cuda.segments import Arrays, Binding, Scratch
from geolrm.engine.backends.onnxruntime_session import failure, open_session
from geolrm.engine.bundle.bundle import StoredSegment
from geolrm.engine.cuda.array import DeviceArray
from geolrm.engine.cuda.device import Device
from geolrm.engine.cuda.nvidia_libraries import load_libraries
from geolrm.engine.errors import GeoLRMError

PROVIDER = "CUDAExecutionProvider"
BFLOAT16 = 16  # of onnx.TensorProto; NumPy has none
CUDNN = "cudnn64_9.dll" if sys.platform == "win32" else "libcudnn.so.9"
OPTIONS = {
    "use_tf32": "0",
    # ONNX Runtime's flash attention (1) or, where that cannot be (float32, bfloat16, sm_75), its
    # memory-efficient one (2): without the latter it would hold the scores. Never cuDNN's, the
    # default of sm_90: it plans anew for each number of anchors, while the host waits.
    "sdpa_kernel": "3",
    "cudnn_conv_algo_search": "HEURISTIC",  # not by timing all of them at each new shape
}
# What cuBLAS keeps for each session, as KiB by pieces: its own choice for GPUs before sm_90, where
# it would take 32 MiB. It reads the variable when a session makes its handle.
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
PIECES = ":4096:2:16:8"
ARENA_START = 128 << 20  # bytes; each further piece of the arena is twice as large
SILENT = 4  # severity of messages: an error is raised, so it need not be printed as well


def arena_bytes(needed: int) -> int:
    """Return what the arena holds for segments that need so much; it fills its pieces with gaps."""
    held = ARENA_START
    while held < needed + needed // 8:
        held = 2 * held + ARENA_START
    return held


def handle_bytes() -> int:
    """Return what cuBLAS keeps for a session: as the user's variable says, or else ours."""
    numbers = [int(n) for n in re.findall(r":(\d{1,9})", os.environ.get(WORKSPACE, PIECES))]
    pieces = zip(numbers[::2], numbers[1::2], strict=False)
    return sum(1024 * size * count for size, count in pieces)


class OnnxRuntimeLoader:
    """See :class:`geolrm.engine.backends.cuda.segments.Loader`."""

    def load(self, stored: StoredSegment, device: Device) -> "OnnxRuntimeSegment":
        """Open a session of its own, in the arena of all.

        Raises:
            BundleError: ONNX Runtime refuses the graph.
            GeoLRMError: A library of CUDA is missing.
        """
        share_arena(device.index)
        return OnnxRuntimeSegment(stored, device)

    def keep(self) -> None:
        """Do nothing: the provider keeps nothing."""


@functools.cache
def share_arena(index: int) -> None:
    """Let all sessions on a GPU take scratch memory from one arena, which lasts like the process.

    Each would hold its own for good otherwise. What one session frees the next may take while the
    GPU still works on it: they all must run on one stream, the device's.

    Raises:
        GeoLRMError: The provider does not load.
    """
    import onnxruntime as ort

    os.environ.setdefault(WORKSPACE, PIECES)
    _load_libraries(ort)
    memory = ort.OrtMemoryInfo(
        "Cuda", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, index, ort.OrtMemType.DEFAULT
    )
    doubling = 0
    arena = ort.OrtArenaCfg(
        {"arena_extend_strategy": doubling, "initial_chunk_size_bytes": ARENA_START}
    )
    try:
        ort.create_and_register_allocator_v2(PROVIDER, memory, {"device_id": str(index)}, arena)
    except Exception as error:  # a library it needs is missing, or there is no such device
        raise _does_not_load(ort, error) from error


def _load_libraries(ort: Any) -> None:
    ort.set_default_logger_severity(SILENT)
    load_libraries()
    if hasattr(ort, "preload_dlls"):  # also registers what a later package may bring
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            ort.preload_dlls(directory="")
    # ONNX Runtime loads cuDNN only when a node needs it: in the midst of the first run.
    try:
        ctypes.CDLL(CUDNN)
    except OSError as error:
        raise _does_not_load(ort, error) from error


def _does_not_load(ort: Any, error: Exception | None = None) -> GeoLRMError:
    told = [] if error is None else [" ".join(str(error).split())]
    library = Path(ort.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
    try:
        if library.exists():
            ctypes.CDLL(str(library))
    except OSError as missing:  # the system's own reason, which ONNX Runtime leaves out
        told.append(" ".join(str(missing).split()))
    reason = f" ({'; '.join(told)})" if told else ""
    return GeoLRMError(
        f"onnxruntime-gpu {ort.__version__} does not load its CUDA provider, which needs "
        f"CUDA 13 and cuDNN 9{reason}; run: pip install 'onnxruntime-gpu[cuda,cudnn]'"
    )


class OnnxRuntimeSegment:
    """See :class:`geolrm.engine.backends.cuda.segments.Segment`."""

    capturable = False

    def __init__(self, stored: StoredSegment, device: Device):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = SILENT
        # Else the second run of a size takes all its scratch once more, as one block.
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.use_env_allocators", "1")
        # Weights come and go with a session; in the arena they would leave holes.
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        provider = {
            "device_id": str(device.index),
            "user_compute_stream": str(device.stream),
            **OPTIONS,
        }
        providers = [(PROVIDER, provider), "CPUExecutionProvider"]
        self._session = open_session(stored, options, providers)
        if PROVIDER not in self._session.get_providers():  # it falls back without a word
            raise _does_not_load(ort)
        self._inputs = {value.name for value in self._session.get_inputs()}
        self._name, self._device = stored.path.name, device
        self._options = ort.RunOptions()
        self._options.log_severity_level = SILENT
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def bind(
        self, inputs: Arrays, outputs: Arrays, scratch: Scratch, *, lasting: bool = False
    ) -> Binding:
        """Every binding lasts; scratch memory is of the arena that all segments share."""
        binding = self._session.io_binding()
        for name, array in inputs.items():
            if name in self._inputs:
                binding.bind_input(name, *self._place(array))
        for name, array in outputs.items():
            binding.bind_output(name, *self._place(array))

        def enqueue() -> None:
            try:
                self._session.run_with_iobinding(binding, self._options)
            except Exception as error:  # of classes of its own, one per code
                raise failure("run", self._name, error, GeoLRMError) from error

        return Binding(enqueue, lambda: False)

    def _place(self, array: DeviceArray) -> tuple:
        kind = BFLOAT16 if array.dtype == "bfloat16" else np.dtype(array.dtype)
        return "cuda", self._device.index, kind, array.shape, array.address
