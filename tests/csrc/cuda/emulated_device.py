"""A device whose memory is the host's and whose launches are emulated."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from csrc.cuda import emulation
from geolrm.engine.cuda.launch import Call
from geolrm.engine.rendering.splat_plan import ALIGNMENT


@dataclass(frozen=True, eq=False)
class EmulatedArray:
    values: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        typestr, address = self.values.dtype.str, self.values.ctypes.data
        return {"shape": self.shape, "typestr": typestr, "data": (address, False), "version": 3}

    def numpy(self) -> np.ndarray:
        return self.values.copy()


class EmulatedDevice:
    """Host memory for a device's, and launches by the emulation; ``seed`` shuffles schedules."""

    def __init__(self, seed: int = 0):
        self.seed, self.calls = seed, []

    def empty(self, shape: Sequence[int], dtype: str) -> EmulatedArray:
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        raw = np.full(nbytes + ALIGNMENT, 0xFF, np.uint8)  # NaN, or a count beyond everything
        start = -raw.ctypes.data % ALIGNMENT
        return EmulatedArray(raw[start : start + nbytes].view(dtype).reshape(shape))

    def upload(self, array: np.ndarray) -> EmulatedArray:
        out = self.empty(array.shape, array.dtype.name)
        out.values[...] = array
        return out

    def copy(self, source: EmulatedArray, target: EmulatedArray) -> None:
        target.values[...] = source.values

    def clear(self, array: EmulatedArray) -> None:
        array.values.view(np.uint8)[...] = 0

    def launch(self, calls: Iterable[Call]) -> None:
        self.calls = list(calls)
        emulation.run(self.calls, self.seed)
