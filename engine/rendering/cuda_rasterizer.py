"""Render Gaussians on an NVIDIA GPU: the images of the CPU rasterizer, within its own gates."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from geolrm import _C
from geolrm.engine.cuda.array import DeviceArray
from geolrm.engine.cuda.launch import Call
from geolrm.engine.errors import InputError
from geolrm.engine.rendering.frame import Frame, Posed
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.model import Splats, pack
from geolrm.engine.rendering.options import RenderOptions, native_errors
from geolrm.engine.rendering.splat_plan import BUDGET, PACKED_BYTES, VIEW_BYTES, SplatPlan

GEOMETRY = {"means": (3,), "opacities": (), "scales": (3,), "quats": (4,)}


class Array(Protocol):
    """A contiguous tensor on the device that keeps its memory."""

    shape: tuple[int, ...]

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Describe the memory, version 3: torch, CuPy and Numba take it without a copy."""
        ...

    def numpy(self) -> np.ndarray:
        """Copy to the host; waits for the stream."""
        ...


class Device(Protocol):
    """What is asked of a GPU: one stream, on which everything here is queued in order."""

    def empty(self, shape: Sequence[int], dtype: str) -> Any:
        """Allocate an `Array` without values, aligned to 256 bytes."""
        ...

    def upload(self, array: np.ndarray) -> Any:
        """Copy a host array, which may be changed at once, into an `Array`."""
        ...

    def copy(self, source: Any, target: Any) -> None:
        """Queue a copy on the device."""
        ...

    def clear(self, array: Any) -> None:
        """Queue filling with zero bytes."""
        ...

    def launch(self, calls: Iterable[Call]) -> None:
        """Queue kernels."""
        ...


@dataclass(frozen=True, slots=True)
class DeviceRenders:
    """Images of V cameras on the device; depth is the sum of alpha T z."""

    rgb: Array  # [V, H, W, 3]
    alpha: Array  # [V, H, W]
    depth: Array  # [V, H, W]

    @classmethod
    def empty(cls, device: Device, views: int, size: tuple[int, int]) -> DeviceRenders:
        """Allocate images, to be reused over calls as `out`."""
        shape = (views, size[1], size[0])
        return cls(*(device.empty(s, "float32") for s in ((*shape, 3), shape, shape)))

    def numpy(self) -> Renders:
        """Copy the images to the host; waits for the stream."""
        return Renders(self.rgb.numpy(), self.alpha.numpy(), self.depth.numpy())


@dataclass(frozen=True, slots=True, weakref_slot=True)
class DeviceSplats:
    """A packed scene on the device."""

    count: int
    packed: Any
    source: tuple[Any, Any, Any, Any]  # means, opacities, scales, quats: read where float ends
    sh: Any  # [N, coefficients, 3] or None
    coefficients: int


class SplatRasterizer:
    """Renders scenes with one device; buffers are kept from call to call.

    Args:
        device: memory and launches.
        budget: bytes of workspace; exceeded only where the fixed arrays of one camera need more.
    """

    def __init__(self, device: Device, *, budget: int = BUDGET) -> None:
        self.device, self.budget = device, budget
        self._scenes: weakref.WeakKeyDictionary[Any, DeviceSplats] = weakref.WeakKeyDictionary()
        self._plan: SplatPlan | None = None
        self._workspace: Any = None
        self._views: Any = None

    def pack(self, gaussians: Splats) -> DeviceSplats:
        """Upload and pack a scene.

        Arrays with ``__cuda_array_interface__`` are read where they are and their values are not
        checked: a splat with a value that is no number is not rendered. What writes them must
        have finished, or run on the device's stream; they are read by later frames, too, and must
        stay as they are.

        Raises:
            InputError: for shapes and types that the kernels do not read.
            ValueError: NumPy arrays whose values cannot be rendered, as on the CPU.
        """
        sh = getattr(gaussians, "sh", None)
        arrays = {name: getattr(gaussians, name) for name in GEOMETRY}
        arrays["sh" if sh is not None else "colors"] = (
            sh if sh is not None else gaussians.colors  # type: ignore[attr-defined]
        )
        count = int(arrays["means"].shape[0])
        shapes = {**GEOMETRY, "colors": (3,)}
        on_device = {name: array for name, array in arrays.items() if _is_on_device(array)}
        for name, array in on_device.items():
            _check_device_array(name, array, count, shapes.get(name))
        if not on_device:
            pack(gaussians)  # the CPU's checks
        coefficients = 0 if sh is None else int(sh.shape[1])
        plan = SplatPlan.of(count, 1, (1, 1))
        memory = {name: self._uploaded(array) for name, array in arrays.items()}
        packed = self.device.empty((PACKED_BYTES * count,), "uint8")
        geometry = {name: memory[name] for name in GEOMETRY}
        calls = plan.pack(**geometry, colors=memory.get("colors"), packed=packed)
        self.device.launch(calls)
        source = tuple(memory[name] for name in GEOMETRY)
        return DeviceSplats(count, packed, source, memory.get("sh"), coefficients)

    def render(
        self,
        gaussians: Splats | DeviceSplats,
        cameras: Posed,
        size: tuple[int, int],
        *,
        out: DeviceRenders | None = None,
        **options: Any,
    ) -> DeviceRenders:
        """Queue every camera of a batch; the arguments of :func:`geolrm.render`.

        Nothing is waited for: ``.numpy()`` of the result does, and its arrays give their stream to
        whoever reads them through ``__cuda_array_interface__``.

        Args:
            gaussians: The scene, or what :meth:`pack` has made of it.
            cameras: V cameras.
            size: Width and height in px.
            out: Images to write into; None makes new ones.
            options: Those of :class:`RenderOptions`.
        """
        frame = Frame.of(cameras, size, RenderOptions(**options))
        return self.render_frame(gaussians, frame, out=out)

    def render_frame(
        self,
        gaussians: Splats | DeviceSplats,
        frame: Frame,
        *,
        out: DeviceRenders | None = None,
    ) -> DeviceRenders:
        """Queue the images of a frame; see :meth:`render`."""
        calls, out = self.prepare(gaussians, frame, out=out)
        self.device.launch(calls)
        return out

    def prepare(
        self,
        gaussians: Splats | DeviceSplats,
        frame: Frame,
        *,
        out: DeviceRenders | None = None,
    ) -> tuple[list[Call], DeviceRenders]:
        """Upload cameras and return the launches that render them, to be run now or captured.

        They stay valid until the next call for other sizes, and read the cameras of the last call.
        """
        size = frame.size
        with native_errors():
            rows = _C.raster_views(frame.w2c, frame.intrinsics, *size, frame.parameters)
        splats = gaussians if isinstance(gaussians, DeviceSplats) else self._scene(gaussians)
        plan = self._planned(splats.count, len(rows), size)
        expected = (len(rows), size[1], size[0])
        if out is None:
            out = DeviceRenders.empty(self.device, len(rows), size)
        elif out.alpha.shape != expected:
            raise InputError(
                f"out holds images {list(out.alpha.shape)}; {len(rows)} views of "
                f"{size[0]}x{size[1]} px need {list(expected)}"
            )
        if len(rows) == 0:
            return [], out
        self.device.copy(self.device.upload(rows.view(np.uint8)), self._views)
        calls = plan.render(
            splats.packed,
            splats.source,
            self._views,
            self._workspace,
            out.rgb,
            out.alpha,
            out.depth,
            sh=splats.sh,
            coefficients=splats.coefficients,
        )
        return calls, out

    def _scene(self, gaussians: Splats) -> DeviceSplats:
        try:
            held = self._scenes.get(gaussians)
        except TypeError:  # no weak reference or no hash: packed again each time
            return self.pack(gaussians)
        if held is None:
            held = self._scenes[gaussians] = self.pack(gaussians)
        return held

    def _planned(self, count: int, views: int, size: tuple[int, int]) -> SplatPlan:
        plan = self._plan
        if plan is None or (plan.count, plan.views, plan.width, plan.height) != (
            count,
            views,
            *size,
        ):
            plan = SplatPlan.of(count, views, size, budget=self.budget)
            self._plan = self._workspace = self._views = None  # freed before more is taken
            self._workspace = self.device.empty((plan.nbytes,), "uint8")
            self._views = self.device.empty((views, VIEW_BYTES), "uint8")
            self._plan = plan  # not where memory has run out
        return plan

    def _uploaded(self, array: Any) -> Any:
        if _is_on_device(array):
            return array
        return self.device.upload(np.ascontiguousarray(array, np.float32))


def _is_on_device(array: Any) -> bool:
    # Ours are not asked for the interface, which counts as sharing them with another library.
    return isinstance(array, DeviceArray) or hasattr(array, "__cuda_array_interface__")


def _check_device_array(name: str, array: Any, count: int, tail: tuple[int, ...] | None) -> None:
    if isinstance(array, DeviceArray):
        interface: Any = {"shape": array.shape, "typestr": np.dtype(array.dtype).str}
    else:
        interface = array.__cuda_array_interface__
    shape = tuple(interface["shape"])
    fits = shape[:1] == (count,) and (
        shape[1:] == tail
        if tail is not None
        else len(shape) == 3 and shape[1] in (1, 4, 9, 16) and shape[2] == 3
    )
    if not fits:
        wanted = "[N, 1 | 4 | 9 | 16, 3]" if tail is None else str(["N", *tail]).replace("'", "")
        raise InputError(f"{name} has shape {list(shape)}; with {count} means it must be {wanted}")
    if interface["typestr"] != "<f4":
        raise InputError(f"{name} has type {interface['typestr']}; it must be float32 ('<f4')")
    strides = interface.get("strides")
    if strides is not None:
        dense, step = [], 4
        for side in reversed(shape):
            dense.append(step)
            step *= side
        if tuple(strides) != tuple(reversed(dense)):
            raise InputError(f"{name} is not contiguous on the device; pass a contiguous copy")
