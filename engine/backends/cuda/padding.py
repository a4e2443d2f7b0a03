"""Anchors in buckets: padded to one of few numbers, so that what is captured for one is replayed.

A plan that reads ``anchor_count`` leaves what stands behind that many anchors out of attention; the
rest of it treats each anchor alone. What is decoded of the padding is dropped.
"""

from collections.abc import Mapping

import numpy as np

from geolrm.engine.backends.cuda.executor import Block, CudaExecutor
from geolrm.engine.bundle.plan import ANCHOR_COUNT, Role, Stage
from geolrm.engine.cuda.array import DeviceArray, nbytes
from geolrm.engine.cuda.device import Device

SMALLEST = 64  # anchors, and the least step
STEPS = 16  # between powers of two: padding is a sixteenth at most


def bucket(anchors: int, most: int) -> int:
    """Return the number that anchors are padded to, at most ``most`` of the bundle."""
    step = max(SMALLEST, (1 << (anchors - 1).bit_length()) // (2 * STEPS))
    return max(anchors, min(-(-anchors // step) * step, most))


def padded_anchors(stage: Stage, anchors: int, most: int) -> int:
    """Return the anchors that a stage runs with: those that are given where it cannot be padded."""
    return bucket(anchors, most) if stage.reads(ANCHOR_COUNT) else anchors


class PaddedExecutor:
    """A stage over anchors that runs with as many as their bucket holds.

    Args:
        executor: Of the stage, which reads ``anchor_count``.
        device: Where it runs.
        most: The bundle's largest number of anchors.
    """

    def __init__(self, executor: CudaExecutor, device: Device, most: int):
        self._executor, self._device, self._most = executor, device, most
        self.stage, self.seconds = executor.stage, executor.seconds
        self.role: Role = executor.role
        self._slots: dict[str, Block] = {}  # what is padded lies at fixed addresses

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
        assert not outputs, "the padded outputs are larger than the caller's"
        anchors = len(inputs["anchors"])
        padded = bucket(anchors, self._most)
        placed = dict(inputs)
        placed[ANCHOR_COUNT] = self._fixed(
            ANCHOR_COUNT, self._device.upload(np.array([anchors], np.int32)), 1
        )
        for tensor in self.stage.inputs:
            if tensor.shape[0] == "anchors":
                placed[tensor.name] = self._fixed(tensor.name, inputs[tensor.name], padded)
        made = self._executor.run(placed)
        rows = {t.name: t.shape_at({"anchors": anchors})[0] for t in self.stage.outputs}
        return {name: array[: rows[name]] for name, array in made.items()}

    def _fixed(self, name: str, given: DeviceArray, rows: int) -> DeviceArray:
        """Copy rows to where the stage always reads them, with zeros behind."""
        if name not in self._slots:
            self._slots[name] = Block(self._device)
        shape = (rows, *given.shape[1:])
        place = self._slots[name].take(nbytes(shape, given.dtype))
        whole = DeviceArray(place.address, shape, given.dtype, self._device, place.owner)
        self._device.copy(given, whole[: len(given)])
        if rows > len(given):
            self._device.clear(whole[len(given) :])
        return whole
