"""Run a stage on the CPU: its operators one after another, over one arena."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.backends.cpu.operators import OPERATORS, Context
from geolrm.engine.backends.executor import Executor, check_weights
from geolrm.engine.backends.layout import ALIGNMENT, Layout
from geolrm.engine.bundle.bundle import Bundle
from geolrm.engine.bundle.contents import memory_of_machine
from geolrm.engine.bundle.plan import Dims, Stage
from geolrm.engine.errors import BundleError, GeoLRMError


class Block:
    """Memory that grows to the largest size asked for; all stages share it in turn.

    It is aligned: a vector load across two cache lines costs twice.
    """

    def __init__(self) -> None:
        self._array = np.empty(0, np.uint8)

    def take(self, size: int) -> NDArray[np.uint8]:
        """Return at least so many bytes; what was taken before may be the same memory.

        Raises:
            GeoLRMError: This machine does not have them; the system would lend them all the same,
                and end the process when they are used.
        """
        if self._array.nbytes < size:
            there = memory_of_machine()
            if there is not None and size > there:
                raise GeoLRMError(
                    f"out of memory: a stage needs {size / 1e9:.1f} GB for its tensors, and this "
                    f"machine has {there / 1e9:.1f} GB; use fewer views or anchors"
                )
            self._array = np.empty(0, np.uint8)  # frees the old memory first
            raw = np.empty(size + ALIGNMENT, np.uint8)
            start = -raw.ctypes.data % ALIGNMENT
            self._array = raw[start : start + size]
        return self._array

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._array.nbytes


class CpuExecutor(Executor[NDArray]):
    """One stage of a bundle on the CPU.

    Args:
        stage: Its plan.
        bundle: With the files and the weights that its steps name.
        arena: For intermediates.
        threads: For graphs and kernels.
    """

    def __init__(self, stage: Stage, bundle: Bundle, arena: Block, threads: int):
        super().__init__(stage, arena)
        stored = bundle.weights(stage.weights) if stage.weights else {}
        check_weights(stage, stored)
        weights = {name: array.astype(np.float32) for name, array in stored.items()}
        context = Context(bundle, weights, threads)
        try:
            self._operators = [OPERATORS[step.operator](step, context) for step in stage.steps]
        except (TypeError, ValueError) as error:  # of kernels that refuse their weights
            raise BundleError(
                f"the stage {stage.role} of the bundle {str(bundle.path)!r} does not load: {error}"
            ) from error

    def workspaces(self, dims: Dims) -> Sequence[int]:
        """Return none: what the kernels need is among the tensors."""
        return []

    def empty(self, shape: tuple[int, ...], dtype: str) -> NDArray:
        """Return new memory of NumPy's."""
        return np.empty(shape, dtype)

    def place(self, memory: NDArray, offset: int, shape: tuple[int, ...], dtype: str) -> NDArray:
        """Return an array within the arena's memory."""
        return np.ndarray(shape, dtype, memory, offset)

    def view(self, array: NDArray, shape: tuple[int, ...]) -> NDArray:
        """Return the same memory in another shape."""
        return array.reshape(shape)

    def execute(
        self, dims: Dims, layout: Layout, memory: NDArray, outside: Mapping[str, NDArray]
    ) -> None:
        """Execute the steps, and add up their seconds."""
        arrays = self.arrays(dims, layout, memory, outside)
        for step, operator in zip(self.stage.steps, self._operators, strict=True):
            start = time.perf_counter()
            operator.run(
                [arrays[name] for name in step.reads], [arrays[name] for name in step.writes]
            )
            elapsed = time.perf_counter() - start
            self.seconds[step.operator] = self.seconds.get(step.operator, 0.0) + elapsed
