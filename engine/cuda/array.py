"""A tensor in device memory: an address, a shape and a type."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from geolrm.engine.cuda.device import Device

ITEMSIZE = {"float32": 4, "int64": 8, "float16": 2, "bfloat16": 2, "uint8": 1, "int32": 4}


def nbytes(shape: Sequence[int], dtype: str) -> int:
    """Bytes of a contiguous tensor."""
    return math.prod(shape) * ITEMSIZE[dtype]


@dataclass(frozen=True, slots=True, eq=False)
class DeviceArray:
    """A contiguous tensor on the device; its memory lives as long as anything refers to it.

    Libraries that know ``__cuda_array_interface__`` (PyTorch, CuPy, Numba) read it in place;
    ``numpy.asarray`` copies it to the host. Only the latter takes bfloat16.
    """

    address: int
    shape: tuple[int, ...]
    dtype: str
    device: "Device"
    owner: Any = None  # keeps the memory

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return nbytes(self.shape, self.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> "DeviceArray":
        """Rows of the first axis, without a copy."""
        start, stop, step = rows.indices(self.shape[0])
        if step != 1:
            raise ValueError(f"step is {step}; a device array is sliced in steps of 1")
        offset = start * nbytes(self.shape[1:], self.dtype)
        shape = (max(stop - start, 0), *self.shape[1:])
        return DeviceArray(self.address + offset, shape, self.dtype, self.device, self.owner)

    def numpy(self) -> NDArray:
        """A copy on the host, bfloat16 widened to float32; waits for the stream."""
        narrow = self.dtype == "bfloat16"
        out = np.empty(self.shape, np.uint16 if narrow else np.dtype(self.dtype))
        self.device.download(self, out)
        self.device.synchronize()
        return (out.astype(np.uint32) << 16).view(np.float32) if narrow else out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        out = self.numpy()
        return out if dtype is None else out.astype(dtype)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": np.dtype(self.dtype).str,
            "data": (self.address, False),
            "strides": None,
            "stream": self.device.stream,
        }

    def __repr__(self) -> str:
        return f"DeviceArray({list(self.shape)}, {self.dtype})"
