"""One launch of a kernel: what it is made of, and how it reaches a device.

What a kernel computes of its grid, block and arguments is plain Python without CUDA: the run time,
the TensorRT plugin and the tests' emulation of a device all use the same.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from geolrm.engine.cuda.compiler import compile_source, require_packages
from geolrm.engine.errors import GeoLRMError

SHARED_LIMIT = 48 * 1024  # bytes a block gets on every GPU without asking for more


@dataclass(frozen=True, slots=True)
class Source:
    """A source with the macros that make it one machine code."""

    name: str
    defines: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Launch:
    """Geometry of a launch."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int = 0  # dynamic


@dataclass(frozen=True, slots=True)
class Call:
    """A kernel with all it needs but a stream."""

    source: Source
    entry: str
    launch: Launch
    arguments: tuple[int | np.int32, ...]  # device addresses as int, numbers as int32

    def __repr__(self) -> str:
        return f"Call({self.entry}, grid {self.launch.grid}, block {self.launch.block})"


def pointer(array: Any) -> int:
    """Return the device address of an array, a buffer or an address; 0 for None."""
    if array is None:
        return 0
    if isinstance(array, int):
        return array
    address = getattr(array, "address", None)  # of our own, which this does not mark as shared
    if address is not None:
        return address
    interface = getattr(array, "__cuda_array_interface__", None)
    return int(interface["data"][0] if interface else array.handle)


def integers(*numbers: int) -> tuple[np.int32, ...]:
    """Kernel arguments of 32 bits; OverflowError for what does not fit."""
    return tuple(np.int32(number) for number in numbers)


def ceil_div(amount: int, part: int) -> int:
    """Count the parts that cover an amount."""
    return -(-amount // part)


class Launcher:
    """Kernels loaded on a device, which becomes the current one; compiled on first use."""

    def __init__(self, index: int | None = None) -> None:
        require_packages()
        from cuda.core import Device  # pyright: ignore

        try:
            device = Device() if index is None else Device(index)
            device.set_current()
        except Exception as error:  # CUDAError, or the loader's error without a driver
            raise GeoLRMError(
                f"no CUDA device can be used ({str(error).splitlines()[0]}); install an NVIDIA "
                "driver of CUDA 13 or later, or choose the backend onnxruntime"
            ) from error
        self.arch = f"sm_{device.arch}"
        self._kernels: dict[tuple, Any] = {}
        self._lock = threading.Lock()

    def run(self, stream: int, calls: Iterable[Call]) -> None:
        """Queue calls on a stream, given by its handle; nothing is waited for."""
        from cuda.core import LaunchConfig, Stream, launch  # pyright: ignore

        queue = Stream.from_handle(stream)
        for call in calls:
            if 0 in call.launch.grid:
                continue
            config = LaunchConfig(
                grid=call.launch.grid,
                block=call.launch.block,
                shmem_size=call.launch.shared_bytes,
            )
            launch(queue, config, self.kernel(call.source, call.entry), *call.arguments)

    def kernel(self, source: Source, entry: str) -> Any:
        """Load a ``cuda.core.Kernel``, once."""
        from cuda.core import ObjectCode  # pyright: ignore

        key = (source.name, tuple(sorted(source.defines.items())), entry)
        with self._lock:
            if key not in self._kernels:
                compiled = compile_source(source.name, self.arch, source.defines)
                self._kernels[key] = ObjectCode.from_cubin(compiled.code).get_kernel(entry)
            return self._kernels[key]
