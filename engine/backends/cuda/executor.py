"""Run a stage on a GPU: its operators in order, on one stream, over one arena.

What a run queues is remembered by its sizes and addresses. Where every segment allows it, the third
run with the same ones is the replay of a CUDA graph. A graph is kept per exact number of anchors,
which recurs where ``max_tokens`` bounds it, or where anchors are padded (``padding.py``).
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from geolrm.engine.backends.cuda.operators import OPERATORS, Context, workspaces
from geolrm.engine.backends.cuda.segments import Binding, Enqueue
from geolrm.engine.backends.executor import REMEMBERED, Executor
from geolrm.engine.backends.layout import Layout
from geolrm.engine.bundle.plan import Dims, Stage
from geolrm.engine.cuda.array import DeviceArray
from geolrm.engine.cuda.device import Device


class Block:
    """Device memory that grows to the largest size asked for; all stages share it in turn."""

    def __init__(self, device: Device):
        self._device, self._array = device, device.empty((0,), "uint8")

    def take(self, size: int) -> DeviceArray:
        """Return at least so many bytes; what was taken before stays alive with its references."""
        if self._array.nbytes < size:
            self._array = self._device.empty((size,), "uint8")
        return self._array

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._array.nbytes


@dataclass(slots=True)
class _Sequence:
    """What one combination of sizes and addresses queues."""

    seen: int = 0
    bound: list[Binding] | None = None  # lasting; what a replay was captured from outlives it
    replay: Enqueue | None = None
    resists: bool = False  # a capture has failed and is not tried again


class CudaExecutor(Executor[DeviceArray]):
    """One stage of a bundle on a device.

    Args:
        stage: Its plan.
        context: What its operators are made with.
        arena: For intermediates.
    """

    def __init__(self, stage: Stage, context: Context, arena: Block):
        super().__init__(stage, arena)
        self._device: Device = context.device
        self._operators = [OPERATORS[step.operator](step, context) for step in stage.steps]
        self.capturable = all(operator.capturable for operator in self._operators)
        self._sequences: OrderedDict[tuple, _Sequence] = OrderedDict()

    @property
    def settled(self) -> bool:
        """Whether what has run twice is replayed by now, or never will be."""
        again = [sequence for sequence in self._sequences.values() if sequence.seen > 1]
        return not self.capturable or all(s.replay is not None or s.resists for s in again)

    def workspaces(self, dims: Dims) -> Sequence[int]:
        """Return what the kernels need."""
        return workspaces(self.stage, dims)

    def empty(self, shape: tuple[int, ...], dtype: str) -> DeviceArray:
        """Return new memory of the device's pool."""
        return self._device.empty(shape, dtype)

    def place(
        self, memory: DeviceArray, offset: int, shape: tuple[int, ...], dtype: str
    ) -> DeviceArray:
        """Return an array that does not keep the arena's memory alive."""
        return DeviceArray(memory.address + offset, shape, dtype, self._device)

    def view(self, array: DeviceArray, shape: tuple[int, ...]) -> DeviceArray:
        """Return the same memory in another shape."""
        return array.view(shape)

    def execute(
        self, dims: Dims, layout: Layout, memory: DeviceArray, outside: Mapping[str, DeviceArray]
    ) -> None:
        """Queue the steps, as one replay where they were captured with these very addresses."""
        addresses = (tensor.address for tensor in outside.values())
        key = (*sorted(dims.items()), memory.address, *addresses)
        sequence = self._sequences.setdefault(key, _Sequence())
        self._sequences.move_to_end(key)
        if len(self._sequences) > REMEMBERED:
            self._sequences.popitem(last=False)
        sequence.seen += 1
        if sequence.replay is not None:
            sequence.replay()
            return
        if sequence.bound is not None:
            bound = sequence.bound
        else:
            lasting = not self.capturable or sequence.seen > 1
            bound = self._bind(dims, layout, memory, outside, lasting=lasting)
            sequence.bound = bound if lasting else None
        _enqueue(bound)  # a segment must have run with its shapes before it is captured
        if sequence.bound is None or sequence.resists:
            return
        if all(binding.can_capture() for binding in bound):
            sequence.replay = self._device.capture(lambda: _enqueue(bound))
            sequence.resists = sequence.replay is None

    def _bind(
        self,
        dims: Dims,
        layout: Layout,
        memory: DeviceArray,
        outside: Mapping[str, DeviceArray],
        *,
        lasting: bool,
    ) -> list[Binding]:
        """All steps; what is bound keeps no memory alive, neither the arena's nor the caller's."""
        outside = {
            name: DeviceArray(array.address, array.shape, array.dtype, self._device)
            for name, array in outside.items()
        }
        arrays = self.arrays(dims, layout, memory, outside)
        steps = zip(self.stage.steps, self._operators, layout.workspaces, strict=True)
        return [
            operator.bind(
                [arrays[name] for name in step.reads],
                [arrays[name] for name in step.writes],
                memory.address + workspace,
                lasting=lasting,
            )
            for step, operator, workspace in steps
        ]


def _enqueue(bound: list[Binding]) -> None:
    for binding in bound:
        binding.enqueue()
