"""A GPU as the run time needs it: memory, one stream, launches, graphs, and one way to wait."""

import contextlib
import functools
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.cuda.array import Device, DeviceArray, nbytes
from geolrm.engine.cuda.faults import check, first_line, one_sentence
from geolrm.engine.cuda.launch import Call, Launcher
from geolrm.engine.cuda.pinned import PinnedArrays, is_pinned
from geolrm.engine.cuda.pool import Pool
from geolrm.engine.cuda.staging import Staging
from geolrm.engine.errors import DeviceMemoryError
from geolrm.engine.system.present_gpu import present_gpu

__all__ = ["CudaDevice", "Device", "open_device"]  # `Device`: declared beside the arrays it holds

DLPACK_CUDA = 2  # DLDeviceType


class CudaDevice:
    """A GPU through ``cuda.core``.

    Raises:
        GeoLRMError: A package of the extra is missing, or the driver gives no device.
    """

    def __init__(self, index: int = 0):
        self._launcher = Launcher(index)
        from cuda.core import (  # pyright: ignore
            Device,  # pyright: ignore[reportAttributeAccessIssue]
            LegacyPinnedMemoryResource,  # pyright: ignore[reportAttributeAccessIssue]
        )

        self.index = index
        self.dlpack_device: tuple[int, int] = (DLPACK_CUDA, index)
        self.lock = threading.RLock()
        self.attached: dict[str, Any] = {}
        self._device = Device(index)
        self._stream = self._device.create_stream()
        self.stream = int(self._stream.handle)
        self._event: Any = None
        pinned = LegacyPinnedMemoryResource()
        self._staging, self._landing = Staging(pinned), Staging(pinned)
        self._host = PinnedArrays(pinned, self._device.set_current)
        self._pool = Pool(self._allocate, self._wait_for_others)
        self._downloads: list[tuple[NDArray[np.uint8], NDArray]] = []
        self._written: list[NDArray] = []  # pinned, and not to be lent again before they are

    def empty(self, shape: Sequence[int], dtype: str) -> DeviceArray:
        """See :class:`Device`."""
        self._device.set_current()  # of this thread: an engine may be used from several
        loan = self._pool.take(nbytes(shape, dtype))
        return DeviceArray(loan.address, tuple(shape), dtype, self, loan)

    def _allocate(self, size: int) -> tuple[int, Any]:
        try:
            buffer = self._device.allocate(size, stream=self._stream)
        except Exception as error:  # CUDAError
            raise DeviceMemoryError(
                f"the GPU has no {size / 1e9:.2f} GB left ({first_line(error)}); use fewer views "
                "or a smaller --max-tokens, or close what else uses the GPU"
            ) from error
        return int(buffer.handle), buffer

    def upload(self, array: NDArray) -> DeviceArray:
        """See :class:`Device`; through pinned memory, so that the host goes on at once."""
        array = np.ascontiguousarray(array)
        target = self.empty(array.shape, array.dtype.name)
        if array.nbytes:
            place = self._staging.take(array.nbytes, self.synchronize)
            place[:] = array.reshape(-1).view(np.uint8)
            self._copy(target.address, place.ctypes.data, array.nbytes)
        return target

    def download(self, array: DeviceArray, out: NDArray) -> None:
        """See :class:`Device`."""
        assert out.flags.c_contiguous and out.nbytes == array.nbytes
        if not out.nbytes:
            return
        self._device.set_current()
        if is_pinned(out):
            self._copy(out.ctypes.data, array.address, out.nbytes)
            self._written.append(out)
            return
        # A copy to pageable memory would make the host wait here.
        place = self._landing.take(out.nbytes, self.synchronize)
        self._copy(place.ctypes.data, array.address, out.nbytes)
        self._downloads.append((place, out))

    def empty_on_host(self, shape: Sequence[int], dtype: Any) -> NDArray:
        """See :class:`Device`."""
        return self._host.empty(shape, dtype)

    def copy(self, source: DeviceArray, target: DeviceArray) -> None:
        """See :class:`Device`."""
        assert source.nbytes == target.nbytes
        self._copy(target.address, source.address, source.nbytes)

    def clear(self, array: DeviceArray) -> None:
        """See :class:`Device`."""
        from cuda.bindings import driver  # pyright: ignore

        check(driver.cuMemsetD8Async(array.address, 0, array.nbytes, self.stream))

    def launch(self, calls: Iterable[Call]) -> None:
        """See :class:`Device`."""
        with one_sentence():
            self._device.set_current()
            self._launcher.run(self.stream, calls)

    def capture(self, enqueue: Callable[[], None]) -> Callable[[], None] | None:
        """See :class:`Device`."""
        graph = builder = None
        try:
            builder = self._stream.create_graph_builder()
            # Relaxed: TensorRT may ask the driver harmless things while it queues its kernels.
            builder.begin_building("relaxed")
            enqueue()
            builder.end_building()
            graph = builder.complete()
        except Exception as error:  # of the driver or of a segment; nothing of it has run
            reason = first_line(error.__cause__ or error)
            warnings.warn(
                f"the GPU's work cannot be captured ({reason}); it is queued step by step instead, "
                "which takes longer",
                stacklevel=2,
            )
        finally:
            self._end_capture(builder)
        return None if graph is None else functools.partial(graph.launch, self._stream)

    def _end_capture(self, builder: Any) -> None:
        """Leave the stream as it was, also where a capture was cut short."""
        from cuda.bindings import driver  # pyright: ignore

        if builder is not None:
            with contextlib.suppress(Exception):  # an invalidated capture
                builder.close()
        none = driver.CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_NONE
        status, capturing = driver.cuStreamIsCapturing(self.stream)
        if int(status) != 0 or capturing != none:
            driver.cuStreamEndCapture(self.stream)  # reports what is known; the capture ends

    def synchronize(self) -> None:
        """See :class:`Device`."""
        with one_sentence():
            self._device.set_current()
            self._stream.sync()
        for place, out in self._downloads:
            out.reshape(-1).view(np.uint8)[:] = place
        self._downloads.clear()
        self._written.clear()
        self._staging.reset()
        self._landing.reset()

    def order_before(self, stream: int) -> None:
        """See :class:`Device`."""
        from cuda.bindings import driver  # pyright: ignore

        if stream != self.stream:
            self._device.set_current()
            event = self._one_event()
            check(driver.cuEventRecord(event, self.stream))
            check(driver.cuStreamWaitEvent(stream, event, 0))

    def _wait_for_others(self) -> bool:
        """Wait for all of the context: a stream that read an array may be destroyed by now.

        False while a stream is capturing: its work has not run, and may run again at any time.
        """
        from cuda.bindings import driver  # pyright: ignore

        self._device.set_current()
        (context,) = check(driver.cuCtxGetCurrent())
        (status,) = driver.cuCtxRecordEvent(context, self._one_event())
        if status == driver.CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED:
            return False
        check((status,))
        check(driver.cuStreamWaitEvent(self.stream, self._one_event(), 0))
        return True

    def _one_event(self) -> Any:
        """Share one event: a wait is for what was recorded last before it."""
        from cuda.bindings import driver  # pyright: ignore

        if self._event is None:
            flags = int(driver.CUevent_flags.CU_EVENT_DISABLE_TIMING)
            (self._event,) = check(driver.cuEventCreate(flags))
        return self._event

    def free_bytes(self) -> int:
        """See :class:`Device`."""
        from cuda.bindings import driver  # pyright: ignore

        self._device.set_current()
        free, _ = check(driver.cuMemGetInfo())
        # The driver keeps what was freed, for us or for whoever asks when all else is taken.
        kept = getattr(self._device.memory_resource, "attributes", None)
        spare = 0 if kept is None else kept.reserved_mem_current - kept.used_mem_current
        return int(free) + spare + self._pool.idle_bytes

    def release(self) -> None:
        """See :class:`Device`; the driver's pool keeps what it gets until it is trimmed."""
        from cuda.bindings import driver  # pyright: ignore

        self._pool.release()
        self.synchronize()
        (pool,) = check(driver.cuDeviceGetDefaultMemPool(self.index))
        check(driver.cuMemPoolTrimTo(pool, 0))

    def engage(self) -> None:
        """See :class:`Device`."""
        self._pool.start_keeping()
        self._host.start_keeping()

    def retire(self) -> None:
        """See :class:`Device`."""
        self._pool.stop_keeping()
        self._host.stop_keeping()

    def _copy(self, target: int, source: int, size: int) -> None:
        from cuda.bindings import driver  # pyright: ignore

        check(driver.cuMemcpyAsync(target, source, size, self.stream))


_opened: dict[int, CudaDevice] = {}
_opening = threading.Lock()


def open_device(index: int) -> Device:
    """Open the GPU with this number: one object, one stream and one lock for all of the process.

    Engines therefore share memory that any of them has freed, and take turns.

    Raises:
        GeoLRMError: There is no driver or no such GPU, or a package of the extra is missing.
    """
    present_gpu(index)  # says in one sentence what the library would only trip over
    with _opening:
        if index not in _opened:
            _opened[index] = CudaDevice(index)
        return _opened[index]
