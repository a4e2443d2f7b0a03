"""A graph on ONNX Runtime's CUDA provider, on our stream and in our buffers.

It is not put into CUDA graphs. The provider computes shapes on the host and copies them from
pageable memory, whose address a capture would freeze; and its own ``enable_cuda_graph`` makes the
host wait for the stream at every replay.
"""

from pathlib import Path

import numpy as np

from geolrm.engine.cuda.array import DeviceArray
from geolrm.engine.cuda.device import Device
from geolrm.engine.cuda.segments import Arrays, Binding, Scratch
from geolrm.engine.errors import BundleError, GeoLRMError

PROVIDER = "CUDAExecutionProvider"
BFLOAT16 = 16  # of onnx.TensorProto; NumPy has none


class OnnxRuntimeLoader:
    """See :class:`geolrm.engine.cuda.segments.Loader`."""

    def load(self, path: Path, device: Device) -> "OnnxRuntimeSegment":
        """A session of its own."""
        return OnnxRuntimeSegment(path, device)

    def keep(self) -> None:
        """The provider keeps nothing."""


class OnnxRuntimeSegment:
    """See :class:`geolrm.engine.cuda.segments.Segment`."""

    capturable = False

    def __init__(self, path: Path, device: Device):
        import onnxruntime as ort

        if hasattr(ort, "preload_dlls"):  # of CUDA and cuDNN, where pip has put them
            ort.preload_dlls(directory="")
        options = ort.SessionOptions()
        options.log_severity_level = 3
        provider = {
            "device_id": str(device.index),
            "user_compute_stream": str(device.stream),
            "use_tf32": "0",
            "arena_extend_strategy": "kSameAsRequested",
        }
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=[(PROVIDER, provider), "CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises classes of its own, one per code
            reason = " ".join(str(error).split())
            raise BundleError(f"ONNX Runtime cannot load {path}: {reason}") from error
        if PROVIDER not in self._session.get_providers():  # it falls back without a word
            raise GeoLRMError(
                f"onnxruntime-gpu {ort.__version__} does not load its CUDA provider, which needs "
                "CUDA 13 and cuDNN 9; run: pip install 'onnxruntime-gpu[cuda,cudnn]'"
            )
        self._inputs = {value.name for value in self._session.get_inputs()}
        self._device = device
        self._options = ort.RunOptions()
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def bind(
        self, inputs: Arrays, outputs: Arrays, scratch: Scratch, *, lasting: bool = False
    ) -> Binding:
        """Every binding lasts; scratch memory is ONNX Runtime's own."""
        binding = self._session.io_binding()
        for name, array in inputs.items():
            if name in self._inputs:
                binding.bind_input(name, *self._place(array))
        for name, array in outputs.items():
            binding.bind_output(name, *self._place(array))
        return Binding(
            lambda: self._session.run_with_iobinding(binding, self._options), lambda: False
        )

    def _place(self, array: DeviceArray) -> tuple:
        kind = BFLOAT16 if array.dtype == "bfloat16" else np.dtype(array.dtype)
        return "cuda", self._device.index, kind, array.shape, array.address
