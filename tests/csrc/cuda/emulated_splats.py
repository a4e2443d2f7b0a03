"""Frames of splats on the emulated device."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from csrc.scenes import Scene
from reference.rasterizer import Parameters

from csrc.cuda import emulation
from geolrm import _C
from geolrm.engine.cuda.launch import Call
from geolrm.engine.rendering.cuda_rasterizer import SplatRasterizer
from geolrm.engine.rendering.frame import Frame
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.splat_plan import ALIGNMENT, BUDGET


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

    def launch(self, calls: Iterable[Call]) -> None:
        self.calls = list(calls)
        emulation.run(self.calls, self.seed)


def draw(
    scene: Scene, cams, size, *, p: Parameters | None = None, seed: int = 0, budget: int = BUDGET
) -> Renders:
    """The images of cameras [(w2c, intrinsics)]."""
    rasterizer = SplatRasterizer(EmulatedDevice(seed), budget=budget)
    w2c, intrinsics = (np.stack([cam[i] for cam in cams]) for i in (0, 1))
    frame = Frame(w2c, intrinsics, size, _C.RasterParameters(**vars(p or Parameters())))
    return rasterizer.render_frame(rasterizer.pack(Arrays(scene)), frame).numpy()


class Arrays:
    """A scene's arrays, and nothing where it has none."""

    def __init__(self, scene: Scene):
        self.__dict__.update(scene.arrays())
