"""Encode several views at once: an encoder is many small kernels, whose launches take the time."""

from collections.abc import Mapping

from geolrm.engine.backends.cuda.executor import Block, CudaExecutor
from geolrm.engine.bundle.plan import Role
from geolrm.engine.cuda.array import DeviceArray
from geolrm.engine.cuda.device import Device
from geolrm.engine.cuda.launch import ceil_div

AT_ONCE = 8  # views; more would need more scratch memory than the later stages do


def view_batches(views: int) -> list[slice]:
    """Return as few batches as there can be, and as equal: one size is one CUDA graph."""
    size = largest_batch(views)
    return [slice(first, min(first + size, views)) for first in range(0, views, size)]


def largest_batch(views: int) -> int:
    """Return the views of the largest of :func:`view_batches`."""
    return ceil_div(views, ceil_div(views, AT_ONCE))


class BatchExecutor:
    """An encoder that reads, and where it is captured also writes, at fixed addresses.

    One execution context and one graph then serve all batches of a size, and what a batch reads is
    aligned wherever it begins.

    Args:
        executor: Of the stage.
        device: Where it runs.
        slots: By name; shared by encoders, which run in turn.
    """

    def __init__(self, executor: CudaExecutor, device: Device, slots: dict[str, Block]):
        self._executor, self._device, self._slots = executor, device, slots
        self.stage, self.seconds = executor.stage, executor.seconds
        self.role: Role = executor.role

    @property
    def settled(self) -> bool:
        """See :class:`geolrm.engine.backends.cuda.executor.CudaExecutor`."""
        return self._executor.settled

    def run(
        self,
        inputs: Mapping[str, DeviceArray],
        outputs: Mapping[str, DeviceArray] | None = None,
    ) -> dict[str, DeviceArray]:
        """Queue all steps, see :meth:`geolrm.engine.backends.executor.Executor.run`."""
        placed = {}
        for spec in self.stage.inputs:
            given = inputs[spec.name]
            placed[spec.name] = self._slot(spec.name, given)
            self._device.copy(given, placed[spec.name])
        if outputs is None or not self._executor.capturable:
            return self._executor.run(placed, outputs)
        made = {name: self._slot(name, array) for name, array in outputs.items()}
        self._executor.run(placed, made)
        for name, array in made.items():
            self._device.copy(array, outputs[name])
        return dict(outputs)

    def _slot(self, name: str, like: DeviceArray) -> DeviceArray:
        if name not in self._slots:
            self._slots[name] = Block(self._device)
        place = self._slots[name].take(like.nbytes)
        return DeviceArray(place.address, like.shape, like.dtype, self._device, place.owner)
