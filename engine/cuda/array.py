"""A tensor in device memory, and the device that holds it: neither is told without the other.

Other libraries read it in place by DLPack or ``__cuda_array_interface__``. Either way the memory
stays as it is while anything refers to it, whatever the engine runs meanwhile, and is used again
only behind what others have queued by then.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geolrm import _C
from geolrm.engine.cuda.pool import Loan

if TYPE_CHECKING:
    from geolrm.engine.cuda.launch import Call

ITEMSIZE = {"float32": 4, "int64": 8, "float16": 2, "bfloat16": 2, "uint8": 1, "int32": 4}
DLPACK_CODE = {"int": 0, "uint": 1, "float": 2, "bfloat": 4}  # DLDataTypeCode
DLPACK_CPU = (1, 0)  # DLDeviceType and number
LEGACY_STREAM = 1  # what DLPack means by no stream on a GPU


def nbytes(shape: Sequence[int], dtype: str) -> int:
    """Return the bytes of a contiguous tensor."""
    return math.prod(shape) * ITEMSIZE[dtype]


class Device(Protocol):
    """A GPU, as all of this asks for it; everything is queued on ``stream``, in order."""

    index: int
    stream: int  # handle
    dlpack_device: tuple[int, int]  # DLDeviceType and number
    lock: threading.RLock  # of whoever queues: nothing may come between what a graph captures
    attached: dict[str, Any]  # what is made for this device once, by others, and lives as long

    def empty(self, shape: Sequence[int], dtype: str) -> DeviceArray:
        """Take uninitialised memory, which returns to the pool with its last reference."""
        ...

    def upload(self, array: NDArray) -> DeviceArray:
        """Copy a host array, which may be changed at once, to the device."""
        ...

    def download(self, array: DeviceArray, out: NDArray) -> None:
        """Queue a copy to the host; ``out`` is filled once :meth:`synchronize` returns."""
        ...

    def empty_on_host(self, shape: Sequence[int], dtype: Any) -> NDArray:
        """Make an array that a download fills without a copy on the host.

        Its memory is pinned where it is large, and returns to a pool with its last reference.
        """
        ...

    def copy(self, source: DeviceArray, target: DeviceArray) -> None:
        """Queue a copy on the device."""
        ...

    def clear(self, array: DeviceArray) -> None:
        """Queue filling with zero bytes."""
        ...

    def launch(self, calls: Iterable[Call]) -> None:
        """Queue kernels."""
        ...

    def capture(self, enqueue: Callable[[], None]) -> Callable[[], None] | None:
        """Record what ``enqueue`` queues, without running it; the result queues it again.

        None where it cannot be captured; a warning says why.
        """
        ...

    def synchronize(self) -> None:
        """Wait for everything queued so far."""
        ...

    def order_before(self, stream: int) -> None:
        """Let what another stream is given from now on wait for what is queued here so far."""
        ...

    def free_bytes(self) -> int:
        """Return the bytes that could still be allocated."""
        ...

    def release(self) -> None:
        """Wait, and give the driver back what lies idle, so that a reading of memory is of use."""
        ...

    def engage(self) -> None:
        """Keep memory for later runs: one more engine is here."""
        ...

    def retire(self) -> None:
        """Keep nothing once the last engine has gone; scenes and their arrays may live on."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class DeviceArray:
    """A contiguous tensor on the device; its memory lives as long as anything refers to it.

    ``torch.from_dlpack``, ``cupy.from_dlpack`` and what knows ``__cuda_array_interface__`` read it
    in place; ``numpy.asarray`` and :meth:`numpy` copy it to the host.
    """

    address: int
    shape: tuple[int, ...]
    dtype: str
    device: Device
    owner: Any = None  # keeps the memory

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return nbytes(self.shape, self.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> DeviceArray:
        """Slice rows of the first axis, without a copy."""
        start, stop, step = rows.indices(self.shape[0])
        if step != 1:
            raise ValueError(f"step is {step}; a device array is sliced in steps of 1")
        offset = start * nbytes(self.shape[1:], self.dtype)
        shape = (max(stop - start, 0), *self.shape[1:])
        return DeviceArray(self.address + offset, shape, self.dtype, self.device, self.owner)

    def view(self, shape: tuple[int, ...]) -> DeviceArray:
        """View the same memory in another shape of the same size."""
        assert math.prod(shape) == math.prod(self.shape), f"{self!r} has no view {list(shape)}"
        return DeviceArray(self.address, shape, self.dtype, self.device, self.owner)

    def numpy(self) -> NDArray:
        """Copy to the host, bfloat16 widened to float32; waits for the stream."""
        narrow = self.dtype == "bfloat16"
        with self.device.lock:
            out = self.device.empty_on_host(self.shape, np.uint16 if narrow else self.dtype)
            self.device.download(self, out)
            self.device.synchronize()
        return (out.astype(np.uint32) << 16).view(np.float32) if narrow else out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        out = self.numpy()
        return out if dtype is None else out.astype(dtype)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device.dlpack_device

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """Give a capsule, by the array API standard.

        Args:
            stream: Of the consumer, by its handle: its later work waits for ours. None and 1 are
                the legacy default stream, 2 the thread's; -1: the consumer sees to it.
            max_version: Of DLPack that the consumer reads.
            dl_device: Where it is wanted: here, or on the CPU as a copy.
            copy: True for memory of the consumer's own; False to refuse a copy.

        Raises:
            BufferError: It is wanted elsewhere, or a copy is needed and refused.
        """
        here = self.__dlpack_device__()
        if dl_device is not None and tuple(dl_device) != here:
            if tuple(dl_device) != DLPACK_CPU or copy is False:
                raise BufferError(
                    f"{self!r} is on DLPack device {here}; it is given there without a copy, or on "
                    f"{DLPACK_CPU} as a copy"
                )
            return self.numpy().__dlpack__(max_version=max_version)
        stream = LEGACY_STREAM if stream is None else stream
        if stream == 0 or stream < -1:
            raise BufferError(f"stream is {stream}; it must be -1, or the handle of a stream")
        with self.device.lock:
            array = self._duplicate() if copy else self
            if stream != -1:
                self.device.order_before(stream)
        array._share()
        kind = self.dtype.rstrip("0123456789")
        return _C.dlpack_capsule(
            address=array.address,
            shape=list(self.shape),
            dtype=(DLPACK_CODE[kind], 8 * ITEMSIZE[self.dtype]),
            device=here,
            owner=array.owner,
            versioned=max_version is not None and max_version[0] >= 1,
            copied=bool(copy),
        )

    def _duplicate(self) -> DeviceArray:
        copied = self.device.empty(self.shape, self.dtype)
        self.device.copy(self, copied)
        return copied

    def _share(self) -> None:
        if isinstance(self.owner, Loan):
            self.owner.shared = True

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self.dtype == "bfloat16":
            raise AttributeError(
                "__cuda_array_interface__ has no type bfloat16; read the array by DLPack"
            )
        # PyTorch does not look at ``stream``, so what is given must be finished.
        with self.device.lock:
            self.device.synchronize()
        self._share()
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": np.dtype(self.dtype).str,
            "data": (self.address, False),
            "strides": None,
            "stream": None,
        }

    def __repr__(self) -> str:
        return f"DeviceArray({list(self.shape)}, {self.dtype})"
